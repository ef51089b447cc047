"""The words that mlenv.toml is made of: names, paths, addresses, each checked where it is read.

Each type is a plain Python value with an annotation that checks it. The annotation says the same to pydantic, which
parses, and to the JSON Schema, by which an editor checks while somebody types.
"""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema


class InvalidValueError(ValueError):
    """A value that cannot stand in mlenv.toml; `hint` says in one line what could."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Text:
    """Annotates a string that `pattern` must match as a whole; `check` may look closer and return another spelling.

    `pattern` stays within what Python's `re` and JSON Schema's ECMA 262 have in common. `expected` completes "not
    <expected>: ...".
    """

    pattern: str
    expected: str
    hint: str
    check: Callable[[str], str] | None = None

    def parse(self, text: str) -> str:
        """The text, or an InvalidValueError."""
        if re.fullmatch(self.pattern, text) is None:
            raise InvalidValueError(f"not {self.expected}: {quoted(text)}", self.hint)
        return self.check(text) if self.check else text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.parse, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


def quoted(text: str) -> str:
    """A value as messages show it, long ones cut."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


# Names

Name = Annotated[
    str,
    Text(
        r"[a-z0-9]+(?:[._-][a-z0-9]+)*",
        "a name of lower-case letters and digits with single . _ - between them",
        'write it as in "sentiment-service"',
    ),
]
TagName = Annotated[
    str,
    Text(
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
        "a version of 1 to 128 letters, digits, dots, underscores and hyphens",
        "the version becomes the image's tag; write - in place of +",
    ),
]
EnvName = Annotated[
    str,
    Text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable", "use letters, digits and underscores only"),
]
EnvValue = Annotated[
    str, Text(r"[^\x00]*", "a value that a process can be given", "a process cannot be given a NUL character")
]
Line = Annotated[str, Text(r"[^\x00-\x1f\x7f]+", "one line of text", "remove line breaks and control characters")]
DebianPackage = Annotated[
    str,
    Text(r"[a-z0-9][a-z0-9+.-]+", "the name of a Debian package", "write the name alone; the lock pins the version"),
]
Suite = Annotated[str, Text(r"[a-z][a-z0-9.-]*", "the name of a Debian suite", 'write its code name, as in "trixie"')]
PythonMinor = Annotated[
    str, Text(r"3\.[0-9]{1,2}", "a Python version", 'write major and minor version only, as in "3.12"')
]
CudaVersion = Annotated[
    str, Text(r"[0-9]{1,2}\.[0-9]{1,2}(?:\.[0-9]{1,4})?", "a CUDA version", 'write it as in "12.8"')
]
CudnnVersion = Annotated[str, Text(r"[0-9]{1,3}(?:\.[0-9]{1,4}){1,3}", "a cuDNN version", 'write it as in "9.10"')]
GpuArchitecture = Annotated[str, Text(r"sm_[0-9]{2,3}[af]?", "a GPU architecture", 'write it as in "sm_90"')]
MigProfile = Annotated[
    str, Text(r"[0-9]g\.[0-9]{1,3}gb(?:\+me)?", "a MIG profile", 'write it as nvidia-smi does: "1g.5gb"')
]
LimitName = Annotated[str, Text(r"[a-z]{2,16}", "the name of a limit", 'write it as in "memlock" or "nofile"')]
Signal = Annotated[str, Text(r"SIG[A-Z0-9]+(?:[+-][0-9]{1,2})?", "the name of a signal", 'write it as in "SIGTERM"')]
User = Annotated[
    str,
    Text(
        r"(?:[0-9]{1,9}|[a-z_][a-z0-9_-]{0,31})(?::(?:[0-9]{1,9}|[a-z_][a-z0-9_-]{0,31}))?",
        "a user",
        'write user and group as in "10001:10001"',
    ),
]
Owner = Annotated[str, Text(r"[0-9]{1,7}:[0-9]{1,7}", "a numeric owner", 'write user and group as in "0:0"')]
LabelName = Annotated[
    str,
    Text(
        r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,253}[A-Za-z0-9])?",
        "the name of a label",
        'write it as in "com.example.team"',
    ),
]


def _distribution_name(text: str) -> str:
    return str(canonicalize_name(text))


DistributionName = Annotated[
    str,
    Text(
        r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?",
        "the name of a Python package",
        "write the name alone",
        _distribution_name,
    ),
]
"""A Python package's name, normalised (PyPA specification "Names and normalization")."""


def _requirement(text: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        hint = 'write it as pip does: "torch==2.9.1" or "uvicorn[standard]>=0.30"'
        raise InvalidValueError(f"not a requirement: {quoted(text)}: {reason}", hint) from error
    if requirement.url is not None:
        hint = 'put the wheel into a folder, name that folder in find-links, and write "name==version" here'
        raise InvalidValueError(f"a requirement with an address is not supported: {quoted(text)}", hint)
    return str(requirement)


RequirementText = Annotated[str, Text(r"[^\r\n]+", "a requirement on one line", "remove the line break", _requirement)]
"""A requirement (PyPA specification "Dependency specifiers") in normal spelling, without a direct reference."""


# Paths

_RELATIVE = "write it relative to mlenv.toml, without .. and backslashes"
_ABSOLUTE = 'write it from the root, as in "/app", without backslashes'
_PLAIN = r"[^\x00-\x1f\x7f\\]"
TAKEN = {
    "/bin": "use /usr/bin: /bin is a link to it",
    "/sbin": "use /usr/sbin: /sbin is a link to it",
    "/lib": "use /usr/lib: /lib is a link to it",
    "/lib64": "use /usr/lib64: /lib64 is a link to it",
    "/proc": "the kernel mounts its own there",
    "/sys": "the kernel mounts its own there",
    "/dev": "the container's devices are mounted there",
    "/opt/venv": "the Python packages are installed there; name yours in [python]",
}
"""Folders of an image that files of a project cannot lie in, each with what to do instead."""


def taken(path: str) -> str | None:
    """The folder in TAKEN that an absolute path is or lies in, if there is one."""
    return next((folder for folder in TAKEN if path == folder or path.startswith(f"{folder}/")), None)


def _absolute(text: str) -> str:
    if text != posixpath.normpath(text) or text.startswith("//"):
        normal = posixpath.normpath("/" + text.lstrip("/"))
        raise InvalidValueError(f"not a normal path: {quoted(text)}", f'write "{normal}"')
    return text


def _target(text: str) -> str:
    path = _absolute(text)
    if path == "/":
        raise InvalidValueError("the root of the image cannot be a target", 'name a folder, such as "/app"')
    if folder := taken(path):
        raise InvalidValueError(f"nothing can be placed in {folder}", TAKEN[folder])
    return path


def _relative(text: str) -> str:
    if text.startswith("/") or ".." in text.split("/"):
        raise InvalidValueError(
            f"not a path within the project's folder: {quoted(text)}",
            _RELATIVE,
        )
    return posixpath.normpath(text)


AbsolutePath = Annotated[str, Text(f"/{_PLAIN}*", "an absolute path", _ABSOLUTE, _absolute)]
TargetPath = Annotated[str, Text(f"/{_PLAIN}*", "an absolute path", _ABSOLUTE, _target)]
RelativePath = Annotated[str, Text(f"{_PLAIN}+", "a path within the project's folder", _RELATIVE, _relative)]
"""A path below the folder of mlenv.toml, normalised; "." is that folder itself."""


def _glob(text: str) -> str:
    if text.startswith("!"):
        raise InvalidValueError(f"a pattern cannot take back another one: {quoted(text)}", "narrow the other pattern")
    if ".." in text.split("/"):
        raise InvalidValueError(f"a pattern cannot leave its folder: {quoted(text)}", "write it without ..")
    return text


Glob = Annotated[str, Text(f"{_PLAIN}+", "a pattern", 'write it as in "*.log" or "data/**"', _glob)]


# Addresses


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise InvalidValueError(f"not an address: {quoted(text)}: {error}", "write it as in a browser") from error
    if parts.username is not None or parts.password is not None:
        raise InvalidValueError(
            "an address with a password in it", "leave the credentials to ~/.netrc or to uv's own settings"
        )
    if not parts.hostname and parts.scheme != "file":
        raise InvalidValueError(f"an address without a host: {quoted(text)}", "write it as in a browser")
    return text


Url = Annotated[
    str, Text(r"(?:https?|file)://[^\s]+", "an address", "begin it with https://, http:// or file://", _url)
]


def _model_uri(text: str) -> str:
    if text.startswith("https:"):
        return _url(text)
    return text


ModelUri = Annotated[
    str,
    Text(
        r"(?:(?:hf|s3|gs|az|https|oci)://|file:)[^\s]+",
        "a model's address (hf:// s3:// gs:// az:// https:// oci:// or file:)",
        "write hf://organisation/model@revision, or file:weights for a folder of the project",
        _model_uri,
    ),
]

_DIGEST = "sha256:[0-9a-f]{64}"
_COMPONENT = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"

ImageText = Annotated[
    str,
    Text(
        rf"(?:oci:[^\x00-\x1f\x7f\\:@]+|(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::{_TAG})?(?:@{_DIGEST})?",
        "an image reference",
        "write registry/name:tag@sha256:… or oci:FOLDER@sha256:…",
    ),
]
"""`[host/]name[:tag][@digest]` (distribution's reference grammar) or `oci:DIR[:TAG][@digest]`."""


def _port(text: str) -> str:
    number, _, protocol = text.partition("/")
    if not 1 <= int(number) <= 65535:
        raise InvalidValueError(f"not a port between 1 and 65535: {number}", 'write it as in "8000/tcp"')
    return f"{int(number)}/{protocol or 'tcp'}"


Port = Annotated[
    str,
    Text(r"[0-9]{1,5}(?:/(?:tcp|udp|sctp))?", "a port", 'write it as in "8000/tcp"', _port),
]
"""`number/protocol`, the protocol filled in (OCI image configuration, ExposedPorts)."""
