"""Requirements files: what uv does not tell and mlenv must know.

uv reads these files itself. Read here are the names that they list (they get REQUESTED), the hashes that they demand
(`uv pip compile` does not enforce them), and what mlenv does not allow in them: indexes, which would apply to every
package, and editable installs.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.pylock import is_valid_pylock_path
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.redact import redact

_NESTED = re.compile(r"(?:-r|--requirement)[ =]?\s*(?P<requirement>.+)|(?:-c|--constraint)[ =]?\s*(?P<constraint>.+)")
_INDEX_OPTIONS = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index")


@dataclass(frozen=True, slots=True)
class ListedRequirement:
    """One line. `name` is normalised and empty where only uv can tell; `url` is that of a direct reference."""

    name: str
    url: str
    hashes: frozenset[Digest]
    constraint: bool


def read_requirements(path: Path) -> list[ListedRequirement]:
    """All lines of a file and of those that it includes. Raises ManifestError for what is not allowed."""
    return list(_read(path, constraint=False, seen=set(), named_in=""))


def _read(path: Path, *, constraint: bool, seen: set[Path], named_in: str) -> Iterator[ListedRequirement]:
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ManifestError(f"cannot read {path}: {reason}", where=named_in, hint="check the path") from error
    for number, line in _logical_lines(text):
        where = f"{path}:{number}"
        if nested := _nested(line):
            file, as_constraints = nested
            yield from _read(path.parent / file, constraint=constraint or as_constraints, seen=seen, named_in=where)
        elif line.startswith("-"):
            _check_option(line, where)
        else:
            yield _listed(line, constraint=constraint, where=where)


def included_files(text: str) -> list[str]:
    """The files that a requirements file includes, as it names them."""
    return [nested[0] for _, line in _logical_lines(text) if (nested := _nested(line))]


def is_lock_file(path: Path) -> bool:
    """Whether what stands among the requirements is a lock that another tool made, and no requirements file."""
    return path.name == "uv.lock" or is_valid_pylock_path(path)


def _nested(line: str) -> tuple[str, bool] | None:
    """The file that a line includes, and whether as constraints."""
    match = _NESTED.fullmatch(line)
    if match is None:
        return None
    return (match["requirement"] or match["constraint"]).strip().strip("\"'"), match["requirement"] is None


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined and comments gone, each with the number of its first physical line."""
    start, held = 0, ""
    for number, physical in enumerate(text.splitlines(), 1):
        start = start or number
        if physical.endswith("\\"):
            held += physical[:-1]
            continue
        line = re.sub(r"(^|\s)#.*$", "", held + physical).strip()
        if line:
            yield start, line
        start, held = 0, ""
    if held.strip():
        yield start, held.strip()


def _check_option(line: str, where: str) -> None:
    option = re.split(r"[ =]", line, maxsplit=1)[0]
    if option in _INDEX_OPTIONS or re.match(r"-[if]\S", line):
        raise ManifestError(
            f"{option} in a requirements file would apply to every package",
            where=where,
            hint="name the index in mlenv.toml together with the packages that come from it, and remove the line here",
        )
    if option in ("-e", "--editable"):
        raise ManifestError(
            "an editable install has no place in an image",
            where=where,
            hint="copy the code with [[files]], or build a wheel and name its folder in find-links",
        )


def _listed(line: str, *, constraint: bool, where: str) -> ListedRequirement:
    demand, *options = re.split(r"\s(?=--)", line)
    hashes = set()
    for option in options:
        for word in shlex.split(option):
            algorithm, _, value = word.removeprefix("--hash=").partition(":")
            if algorithm == "sha256":
                try:
                    hashes.add(Digest(value.lower()))
                except ValueError as error:
                    raise ManifestError(f"not a sha256: {value[:80]}", where=where, hint="write it again") from error
    demand = demand.strip()
    requirement = _requirement(demand)
    if requirement is None:
        if not re.search(r"/|\.whl$", demand):  # no path and no URL: a mistake, which uv explains
            return ListedRequirement("", "", frozenset(hashes), constraint)
        check_reference(demand, where=where)
        return ListedRequirement(_wheel_name(demand), demand, frozenset(hashes), constraint)
    if requirement.url:
        check_reference(requirement.url, where=where)
    name = canonicalize_name(requirement.name)
    return ListedRequirement(name, requirement.url or "", frozenset(hashes), constraint)


def _requirement(demand: str) -> Requirement | None:
    if demand.endswith(".whl") and "@" not in demand:  # a file name has the form of a package name
        return None
    try:
        return Requirement(demand)
    except InvalidRequirement:
        return None


def check_reference(url: str, *, where: str) -> None:
    """Raise ManifestError for a direct reference that is not a wheel, or that depends on a working directory."""
    parts = urlsplit(url)
    if not parts.path.endswith(".whl") or parts.scheme not in ("http", "https", "file", ""):
        raise ManifestError(
            f"{redact(url)} is no wheel, and nothing is built here",
            where=where,
            hint="build a wheel and name its folder in find-links, or refer to a wheel",
        )
    if parts.scheme not in ("http", "https") and not parts.path.startswith("/"):
        raise ManifestError(
            f"{url} is a relative path", where=where, hint="name the package, and the folder of its wheel in find-links"
        )


def _wheel_name(demand: str) -> str:
    try:
        return parse_wheel_filename(demand.strip().rsplit("/", 1)[-1].split("#")[0])[0]
    except InvalidWheelFilename:
        return ""
