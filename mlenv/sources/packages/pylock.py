"""pylock.toml: from a lock file of others, or from uv's answer, to one wheel a package.

The format is that of packaging.python.org, "pylock.toml Specification", read by `packaging.pylock`. Which wheel of
several is taken is decided here and by the base's tags alone, so that the order in a file decides nothing.
"""

import hashlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from packaging.pylock import Package, PackageArchive, PackageWheel, Pylock, PylockValidationError
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from mlenv.errors import DigestMismatchError, ManifestError, ResolutionError
from mlenv.model.digest import Digest
from mlenv.model.tags import PythonTarget, target_environment, target_tags


@dataclass(frozen=True, slots=True)
class ResolvedWheel:
    """A wheel that was chosen.

    `name` is normalised, `version` as PEP 440 writes it, `url` where the file lies today (https, http or file; it may
    hold a password: never print it without `redact`). `size` is in bytes and what the index claims, None where it
    claims nothing. `requested` is true for what the manifest or a requirements file names.
    """

    name: str
    version: str
    filename: str
    sha256: Digest
    url: str
    size: int | None = None
    requested: bool = False


def read_pylock(text: str, *, where: str, folder: Path) -> Pylock:
    """Parse and validate. `where` names it in messages; relative paths in it start at `folder` and become absolute."""
    try:
        return Pylock.from_dict(_completed(tomllib.loads(text), folder))
    except (tomllib.TOMLDecodeError, PylockValidationError, ValueError) as error:
        raise ManifestError(
            f"not a valid pylock.toml: {' '.join(str(error).split())}",
            where=where,
            hint="write it again with the tool that made it",
        ) from error


def _completed(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make paths absolute, and hash local wheels: older versions of uv give no hashes of them."""
    packages = content.get("packages")
    for package in packages if isinstance(packages, list) else ():
        wheels = package.get("wheels") if isinstance(package, dict) else None
        archive = package.get("archive") if isinstance(package, dict) else None
        for file in [*(wheels if isinstance(wheels, list) else ()), archive]:
            if isinstance(file, dict):
                _complete(file, folder)
    return content


def _complete(file: dict[str, Any], folder: Path) -> None:
    if isinstance(file.get("path"), str):
        file["path"] = os.path.normpath(folder / file["path"])
    if file.get("hashes") == {}:
        url = urlsplit(str(file.get("url", "")))
        path = file.get("path") or (unquote(url.path) if url.scheme == "file" else None)
        # Of a file elsewhere no hash is known: `_resolved` says so, with its name.
        file["hashes"] = {"none": ""} if path is None else {"sha256": _sha256(Path(path))}


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ManifestError(f"cannot read: {error.strerror}", where=str(path), hint="check the path") from error


def chosen_wheels(
    lock: Pylock,
    target: PythonTarget,
    *,
    where: str,
    allowed: Mapping[str, frozenset[Digest]] | None = None,
) -> tuple[ResolvedWheel, ...]:
    """One wheel for each package that the target needs, sorted by name.

    `allowed` are the only digests that a package may have. Raises ResolutionError where a package has no wheel that
    fits, DigestMismatchError where none of those is allowed.
    """
    ranks = {tag: rank for rank, tag in enumerate(target_tags(target))}
    chosen: dict[str, ResolvedWheel] = {}
    for package in _needed(lock, target, where=where):
        if package.name in chosen:
            raise ResolutionError(f"{package.name} is listed twice for {target}", where=where)
        fitting = _fitting(package, ranks)
        if not fitting:
            raise no_wheel(package.name, str(package.version or ""), target, available_tags(package), where=where)
        wheel = _allowed(package.name, fitting, (allowed or {}).get(package.name))
        chosen[package.name] = _resolved(package, wheel, where=where)
    return tuple(chosen[name] for name in sorted(chosen))


def _needed(lock: Pylock, target: PythonTarget, *, where: str) -> list[Package]:
    # Extras and groups: the file's default groups, no extra, as the specification has it for an installer.
    environment = dict(target_environment(target))
    groups = frozenset(lock.default_groups or ())
    values = cast("Any", environment | {"extras": frozenset(), "dependency_groups": groups})
    if lock.requires_python and not lock.requires_python.contains(target.python, prereleases=True):
        raise ResolutionError(f"it is for Python {lock.requires_python}, the base has {target.python}", where=where)
    if lock.environments and not any(m.evaluate(cast("Any", environment)) for m in lock.environments):
        raise ResolutionError(f"none of its environments is {target}", where=where)
    return [p for p in lock.packages if p.marker is None or p.marker.evaluate(values, context="lock_file")]


def _fitting(package: Package, ranks: Mapping[Tag, int]) -> list[PackageWheel | PackageArchive]:
    """The wheels that fit, best first: by tag, then the highest build number, then by name, for an order in ties."""
    wheels: list[PackageWheel | PackageArchive] = [*(package.wheels or ())]
    if package.archive is not None and _filename(package.archive).endswith(".whl"):
        wheels.append(package.archive)
    keyed = []
    for wheel in wheels:
        _, _, build, tags = parse_wheel_filename(_filename(wheel))
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None:
            number, suffix = build or (-1, "")
            keyed.append(((rank, -number, suffix, _filename(wheel)), wheel))
    return [wheel for _, wheel in sorted(keyed, key=lambda item: item[0])]


def _allowed(
    name: str, fitting: Sequence[PackageWheel | PackageArchive], allowed: frozenset[Digest] | None
) -> PackageWheel | PackageArchive:
    if allowed is None:
        return fitting[0]
    for wheel in fitting:
        if wheel.hashes.get("sha256") in {digest.hex for digest in allowed}:
            return wheel
    offered = fitting[0].hashes.get("sha256")
    raise DigestMismatchError(
        f"no --hash of {name} in the requirements files is that of {_filename(fitting[0])}: sha256:{offered}",
        hint="find out who changed the file or the hashes; where both are right, add the hash",
    )


def _filename(file: PackageWheel | PackageArchive) -> str:
    if isinstance(file, PackageWheel):
        return file.filename
    return (file.path or urlsplit(file.url or "").path).rsplit("/", 1)[-1]


def _resolved(package: Package, wheel: PackageWheel | PackageArchive, *, where: str) -> ResolvedWheel:
    filename = _filename(wheel)
    sha256 = wheel.hashes.get("sha256", "")
    try:
        digest = Digest(sha256.lower())
    except ValueError:
        raise ResolutionError(
            f"no sha256 is given for {filename}",
            where=where,
            hint="an index must give one for each file; or put the wheel into a folder that find-links names",
        ) from None
    return ResolvedWheel(
        name=package.name,
        version=str(package.version or parse_wheel_filename(filename)[1]),
        filename=filename,
        sha256=digest,
        url=wheel.url or Path(wheel.path or "/").as_uri(),
        size=wheel.size,
    )


def available_tags(package: Package) -> list[str]:
    """What the files of a package are for: the tags of its wheels, `sdist` for a source distribution."""
    tags = [_compressed(wheel.filename) for wheel in package.wheels or ()]
    if package.archive is not None and _filename(package.archive).endswith(".whl"):
        tags.append(_compressed(_filename(package.archive)))
    if package.sdist is not None or package.vcs or package.directory or (package.archive and not tags):
        tags.append("sdist")
    return sorted(set(tags))


def wheel_tags(filename: str) -> frozenset[Tag]:
    """All tags that a wheel's name stands for."""
    return parse_wheel_filename(filename)[3]


def _compressed(filename: str) -> str:
    """The three tags as the file name writes them: `cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64`."""
    return "-".join(filename.removesuffix(".whl").split("-")[-3:])


def no_wheel(
    name: str, version: str, target: PythonTarget, available: Sequence[str], *, where: str = ""
) -> ResolutionError:
    """The error for a package that has no wheel for the base: wanted, existing, what to do."""
    tags = target_tags(target)
    wanted = f"{tags[1]} or older, {tags[0].interpreter}-abi3-*, or py3-none-any"
    package = f"{name} {version}".strip()
    if list(available) == ["sdist"]:
        problem = "has only a source distribution, and nothing is built here"
        hint = f"build a wheel and name its folder in find-links, or take a version of {name} that has one"
    else:
        # Those for the right machine first, then those for the right Python: the rest matters less.
        machine, python = target.platform.machine, f"{tags[0].interpreter}-"
        ordered = sorted(available, key=lambda tag: ("linux" not in tag or machine not in tag, python not in tag, tag))
        existing = _shortened([tag for tag in ordered if tag != "sdist"])
        problem = f"has wheels for {existing}" if existing else "has no wheel"
        hint = f"take another version of {name} or another base, or build a wheel and name its folder in find-links"
    return ResolutionError(
        f"no wheel of {package} fits {target}: it {problem}; wanted: {wanted}", where=where, hint=hint
    )


def _shortened(tags: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(tags[:most])
    return f"{shown} and {len(tags) - most} more" if len(tags) > most else shown
