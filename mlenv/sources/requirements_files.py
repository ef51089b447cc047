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

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest

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
        if nested := _NESTED.fullmatch(line):
            file = nested["requirement"] or nested["constraint"]
            included = path.parent / file.strip().strip("\"'")
            yield from _read(
                included, constraint=constraint or nested["requirement"] is None, seen=seen, named_in=where
            )
        elif line.startswith("-"):
            _check_option(line, where)
        else:
            yield _listed(line, constraint=constraint, where=where)


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
    try:
        requirement = Requirement(demand.strip())
    except InvalidRequirement:
        # A bare path or URL, or a mistake that uv will explain.
        return ListedRequirement(_wheel_name(demand), demand.strip(), frozenset(hashes), constraint)
    name = canonicalize_name(requirement.name)
    return ListedRequirement(name, requirement.url or "", frozenset(hashes), constraint)


def _wheel_name(demand: str) -> str:
    try:
        return parse_wheel_filename(demand.strip().rsplit("/", 1)[-1].split("#")[0])[0]
    except InvalidWheelFilename:
        return ""
