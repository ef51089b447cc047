"""Names of images, as the containers ecosystem writes them.

A `Reference` names an image in a registry: `registry.example.com:5000/team/image:tag@sha256:…` (distribution
specification, and the familiar names of Docker). A `Target` names an image anywhere, behind a transport
(containers-transports(5)): `oci:DIR`, `docker://REF` and so on.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from mlenv.errors import UsageError
from mlenv.model.digest import Digest

DOCKER_HUB = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_REF_NAME = re.compile(r"[A-Za-z0-9]+(?:(?:--|[-._:@+/])[A-Za-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry. `registry` is host[:port]; `repository` is the full path in it (`library/python`)."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference, or raise ValueError.

        The first component is a registry if it holds `.` or `:` or a capital, or is `localhost`; otherwise the image is
        one of Docker Hub's, and a single component one of its `library`.
        """
        rest, at, digest = text.partition("@")
        if at:
            parsed = Digest.parse(digest)
        if _HEX64.fullmatch(rest):
            raise ValueError(f"{text[:100]!r} is an image ID, not the name of an image")
        first, slash, path = rest.partition("/")
        if not slash or (first != "localhost" and first == first.lower() and not set(first) & set(".:")):
            first, path = DOCKER_HUB, rest
        path, colon, tag = path.partition(":")
        if first in ("docker.io", "index.docker.io"):
            first, path = DOCKER_HUB, path if "/" in path else f"library/{path}"
        if not _REGISTRY.fullmatch(first):
            raise ValueError(f"{first[:100]!r} is not the name of a registry (host or host:port)")
        if not _REPOSITORY.fullmatch(path) or len(first) + 1 + len(path) > 255:
            raise ValueError(
                f"{path[:100]!r} is not the name of a repository (lower-case letters, digits, . _ - and /)"
            )
        if colon and not _TAG.fullmatch(tag):
            raise ValueError(f"{tag[:100]!r} is not a tag (up to 128 letters, digits, . _ and -)")
        return cls(first, path, tag, parsed if at else None)

    @property
    def name(self) -> str:
        """Registry and repository: `docker.io/library/python`."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """What Docker prints: `python:3.12`."""
        name = self.repository.removeprefix("library/") if self.registry == DOCKER_HUB else self.name
        return name + self._suffix

    def with_digest(self, digest: Digest) -> Self:
        """The same image, pinned."""
        return type(self)(self.registry, self.repository, self.tag, digest)

    def with_default_tag(self) -> Self:
        """The same image; with neither tag nor digest it is `latest`."""
        return self if self.tag or self.digest else type(self)(self.registry, self.repository, "latest")

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix


class Transport(StrEnum):
    """Where an image can lie, by the prefix that skopeo and podman give it."""

    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DOCKER_DAEMON = "docker-daemon"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class Target:
    """An image anywhere.

    `path` is set for `oci`, `oci-archive` and `docker-archive`; `tag` is the name inside a layout (`oci`,
    `oci-archive`), empty for none; `reference` is always set for `docker` and `docker-daemon`, and where it was given
    for `docker-archive`.
    """

    transport: Transport
    path: Path | None = None
    tag: str = ""
    reference: Reference | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`, `docker-daemon:REF`, `docker://REF`.

        A path ends at its first colon, as in skopeo. Raises UsageError.
        """
        prefix, colon, rest = text.partition(":")
        if not colon or prefix not in set(Transport):
            raise _wrong(text, "it does not begin with a transport")
        transport = Transport(prefix)
        try:
            match transport:
                case Transport.OCI | Transport.OCI_ARCHIVE:
                    path, tag = _path(rest)
                    return cls(transport, path=path, tag=_ref_name(tag))
                case Transport.DOCKER_ARCHIVE:
                    path, name = _path(rest)
                    return cls(transport, path=path, reference=_tagged(name) if name else None)
                case Transport.DOCKER_DAEMON:
                    return cls(transport, reference=_named(rest))
                case Transport.DOCKER:
                    return cls(transport, reference=_registered(rest))
        except ValueError as error:
            raise _wrong(text, str(error)) from None

    def __str__(self) -> str:
        slashes = "//" if self.transport is Transport.DOCKER else ""
        name = self.tag or (self.reference.familiar if self.reference else "")
        place = str(self.path) if self.path is not None else ""
        return f"{self.transport}:{slashes}{place}{':' if place and name else ''}{name}"


class Output(Target):
    """A `Target` that an image can be written to: a name in an engine or an archive needs a tag and takes no digest."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """As `Target.parse`; UsageError where nothing can be written there."""
        output = super().parse(text)
        if output.reference is not None and output.reference.digest is not None:
            raise _wrong(text, "a digest can't be chosen for what is written")
        return output


def _path(rest: str) -> tuple[Path, str]:
    path, _, name = rest.partition(":")
    if not path:
        raise ValueError("the path is empty")
    if "\0" in path:
        raise ValueError("the path holds a NUL")
    return Path(path), name


def _ref_name(tag: str) -> str:
    if tag and not _REF_NAME.fullmatch(tag):
        raise ValueError(
            f"{tag[:100]!r} is not a name inside an OCI layout (letters and digits, between them - . _ : @ + /)"
        )
    return tag


def _tagged(text: str) -> Reference:
    reference = Reference.parse(text).with_default_tag()
    if reference.digest is not None:
        raise ValueError("an archive holds tags, not digests")
    return reference


def _named(text: str) -> Reference:
    reference = Reference.parse(text)
    if not reference.tag and reference.digest is None:
        raise ValueError("an image in an engine is named with a tag")
    return reference


def _registered(text: str) -> Reference:
    if not text.startswith("//"):
        raise ValueError("`docker:` is followed by `//`")
    return Reference.parse(text[2:]).with_default_tag()


_FORMS = "write oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker-daemon:NAME:TAG"


def _wrong(text: str, reason: str) -> UsageError:
    return UsageError(f"{text[:200]!r} does not name an image: {reason}", hint=_FORMS)
