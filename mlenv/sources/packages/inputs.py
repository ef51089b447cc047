"""What a request for packages names, read: requirements, requirements files, and lock files of others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlenv.errors import ManifestError, ResolutionError
from mlenv.model.digest import Digest
from mlenv.model.redact import redact
from mlenv.model.tags import PythonTarget
from mlenv.sources.packages.pylock import ResolvedWheel, chosen_wheels, read_pylock
from mlenv.sources.packages.requirements_files import (
    ListedRequirement,
    check_reference,
    is_lock_file,
    read_requirements,
)
from mlenv.sources.packages.uv_lock import export
from mlenv.sources.packages.uv_project import PackageRequest


@dataclass(frozen=True, slots=True)
class PackageInputs:
    """The files of a request, read: requirements files for uv, and the wheels that lock files of others name."""

    files: tuple[Path, ...]
    listed: tuple[ListedRequirement, ...]
    locked: tuple[ResolvedWheel, ...]
    direct: frozenset[str]

    @property
    def hashes(self) -> dict[str, frozenset[Digest]]:
        """The sha256 digests that requirements files allow, by package."""
        demanded: dict[str, frozenset[Digest]] = {}
        for line in self.listed:
            if line.hashes:
                demanded[line.name] = demanded.get(line.name, line.hashes) & line.hashes
        return demanded

    def marked(self, wheels: Iterable[ResolvedWheel]) -> tuple[ResolvedWheel, ...]:
        """The wheels with `requested` set on those that the manifest or a requirements file names, by name."""
        ordered = sorted(wheels, key=lambda wheel: wheel.name)
        return tuple(replace(wheel, requested=wheel.name in self.direct) for wheel in ordered)


def read_inputs(request: PackageRequest, target: PythonTarget, environ: Mapping[str, str]) -> PackageInputs:
    """Read all files of a request. Raises ManifestError for what is wrong in them."""
    files: list[Path] = []
    listed: list[ListedRequirement] = []
    locked: dict[str, ResolvedWheel] = {}
    for path in request.requirements:
        if is_lock_file(path):
            for wheel in _wheels_of_lock(path, target, environ, offline=request.offline):
                other = locked.setdefault(wheel.name, wheel)
                if other.sha256 != wheel.sha256:
                    raise ResolutionError(
                        f"{other.filename} is locked elsewhere, {wheel.filename} here",
                        where=str(path),
                        hint="keep one lock file, or make both again together",
                    )
        else:
            files.append(path)
            listed += read_requirements(path)
    asked = [requirement(package) for package in request.packages]
    for one in asked:
        if one.url:
            check_reference(one.url, where="")
    for folder in request.find_links:
        if not folder.is_dir():
            raise ManifestError(f"find-links: there is no folder {folder}", hint="check the path in mlenv.toml")
    named: set[str] = {canonicalize_name(one.name) for one in asked}
    named |= {line.name for line in listed if not line.constraint}
    return PackageInputs(tuple(files), tuple(listed), tuple(locked.values()), frozenset(named))


def requirement(text: str) -> Requirement:
    """Parse a PEP 508 requirement. Raises ManifestError."""
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ManifestError(
            f"not a requirement: {redact(text)!r}", hint="write it as PEP 508 has it: name[extra]==1.2; marker"
        ) from error


def _wheels_of_lock(
    path: Path, target: PythonTarget, environ: Mapping[str, str], *, offline: bool
) -> tuple[ResolvedWheel, ...]:
    if path.name == "uv.lock":
        text = export(path, environ, offline=offline)
    else:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"cannot read {path}", hint="check the path in mlenv.toml") from error
    return chosen_wheels(read_pylock(text, where=str(path), folder=path.parent), target, where=str(path))
