"""Python packages: which wheels an environment needs, and where locked ones lie today.

uv resolves, for the base's interpreter, libc and platform. Nothing is built and no code of a package is run. A package
that is bound to an index comes from there and from nowhere else, and nothing else comes from there.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from packaging.pylock import Pylock, is_valid_pylock_path
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlenv.errors import DigestMismatchError, ManifestError, MlenvError, ResolutionError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.progress import SILENT, Progress
from mlenv.model.redact import redact
from mlenv.model.tags import PythonTarget
from mlenv.sources.pylock import ResolvedWheel, chosen_wheels, read_pylock
from mlenv.sources.requirements_files import ListedRequirement, read_requirements
from mlenv.sources.uv import Outcome
from mlenv.sources.uv_messages import failure, without_wheel
from mlenv.sources.uv_project import BoundIndex, Compilation, PackageRequest
from mlenv.sources.wheel_gap import missing_wheels

__all__ = [
    "BoundIndex",
    "PackageRequest",
    "PinnedWheel",
    "PythonTarget",
    "ResolvedWheel",
    "locate_wheels",
    "resolve_packages",
]


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel that a lock names."""

    name: str
    version: str
    filename: str
    sha256: Digest


def resolve_packages(
    request: PackageRequest,
    target: PythonTarget,
    *,
    environ: Mapping[str, str],
    preferences: Mapping[str, str] | None = None,
    upgrade: bool | Collection[str] = False,
    progress: Progress = SILENT,
) -> tuple[ResolvedWheel, ...]:
    """The wheels of the environment, one a package, sorted by normalised name.

    `preferences` are versions (by normalised name) to keep where they still fit; with `upgrade` none is kept, or none
    of the packages named. Raises ResolutionError where nothing fits, ManifestError for a requirement that cannot be
    read, UnavailableError where an index cannot be reached, DigestMismatchError where a requirements file demands
    another hash than the index has.
    """
    task = progress.task(f"resolve packages for {target}")
    try:
        inputs = _read_inputs(request, target, environ)
        if not request.packages and not inputs.files:
            return inputs.marked(inputs.locked)
        names = [] if isinstance(upgrade, bool) else [canonicalize_name(name) for name in upgrade]
        kept = {} if upgrade is True else {n: v for n, v in (preferences or {}).items() if n not in names}
        question = Compilation(
            request,
            environ,
            target,
            target.python,
            dependencies=[*request.packages, *(f"{wheel.name}=={wheel.version}" for wheel in inputs.locked)],
            files=inputs.files,
            preferences=kept,
            refresh=names,
            refresh_all=upgrade is True,
        )
        lock = _bound_answer(question, target)
        found = chosen_wheels(lock, target, allowed=inputs.hashes, where="", folder=Path("/"))
        locked = {wheel.name: wheel for wheel in inputs.locked}
        return inputs.marked([locked.get(wheel.name, wheel) for wheel in found])
    finally:
        task.finish()


@dataclass(frozen=True, slots=True)
class _Inputs:
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


def _read_inputs(request: PackageRequest, target: PythonTarget, environ: Mapping[str, str]) -> _Inputs:
    files: list[Path] = []
    listed: list[ListedRequirement] = []
    locked: dict[str, ResolvedWheel] = {}
    for path in request.requirements:
        if path.name == "uv.lock" or is_valid_pylock_path(path):
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
    named: set[str] = {canonicalize_name(_requirement(package).name) for package in request.packages}
    named |= {line.name for line in listed if not line.constraint}
    return _Inputs(tuple(files), tuple(listed), tuple(locked.values()), frozenset(named))


def _requirement(text: str) -> Requirement:
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
        from mlenv.sources.uv_lock import export  # noqa: PLC0415 -- rare

        text = export(path, environ, offline=offline)
    else:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"cannot read {path}", hint="check the path in mlenv.toml") from error
    return chosen_wheels(read_pylock(text, where=str(path)), target, where=str(path), folder=path.parent)


def _bound_answer(question: Compilation, target: PythonTarget) -> Pylock:
    """uv's answer in which every bound package comes from its index, also one that only another package asks for.

    uv binds direct dependencies only (`tool.uv.sources` says nothing of what they need in turn). So the bound packages
    are asked for as well; those that turn out to be wanted by nobody are dropped, and the question is put again.
    """
    bound = {canonicalize_name(name) for index in question.request.indexes for name in index.packages}
    extra = bound - {canonicalize_name(_requirement(text).name) for text in question.dependencies}
    if not extra:
        return _answer(question, target)
    try:
        wanted = extra & _wanted(replace(question, bound=sorted(extra)), target)
    except ResolutionError:
        # Perhaps a package that nobody wants here has no version for this platform.
        lock = _answer(question, target)
        if extra & {package.name for package in lock.packages}:
            raise
        return lock
    while True:
        lock = _answer(replace(question, bound=sorted(wanted)), target)
        unbound = (extra - wanted) & {package.name for package in lock.packages}
        if not unbound:
            return lock
        wanted |= unbound


def _wanted(question: Compilation, target: PythonTarget) -> set[str]:
    """The packages in the answer that the dependencies and files lead to, by what uv says of who wants whom."""
    outcome = question.run(annotated=True)
    if not outcome.ok:
        raise _refusal(question, outcome, target)
    wants: dict[str, set[str]] = {}
    for line in outcome.output.splitlines():
        if match := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)[^#]*#\s*via\s+(.*)", line):
            for origin in match[2].split(", "):
                wants.setdefault(origin.strip(), set()).add(canonicalize_name(match[1]))
    reached: set[str] = set()
    # Origins that are files, not packages, hold a space: "-r FILE", "-c FILE", "mlenv-environment (FILE)".
    front = [origin for origin in wants if " " in origin and "bound/pyproject.toml" not in origin]
    while front:
        for name in wants.get(front.pop(), set()) - reached:
            reached.add(name)
            front.append(name)
    return reached


def _answer(question: Compilation, target: PythonTarget) -> Pylock:
    outcome = question.run()
    if not outcome.ok:
        raise _refusal(question, outcome, target)
    return read_pylock(outcome.output, where="uv")


def _refusal(question: Compilation, outcome: Outcome, target: PythonTarget) -> MlenvError:
    """The error for a run of uv that failed; where wheels are missing, with the tags that do exist."""
    error = failure(outcome, target)
    if not isinstance(error, ResolutionError):
        return error
    return missing_wheels(question, without_wheel(outcome), target) or error


def locate_wheels(
    pins: Sequence[PinnedWheel],
    request: PackageRequest,
    target: PythonTarget,
    *,
    environ: Mapping[str, str],
    progress: Progress = SILENT,
) -> dict[str, str]:
    """Where locked wheels lie today: URL by file name. The same indexes are asked as when the lock was made.

    Raises DigestMismatchError where an index has other bytes under the name, and UnavailableError where a file is gone.
    """
    if not pins:
        return {}
    task = progress.task(f"locate {len(pins)} wheels")
    try:
        found = _known_places(request, target, environ)
        for universal in (False, True):
            rest = [pin for pin in pins if pin.filename not in found]
            if rest:
                found |= _listed_files(rest, request, target, environ, universal=universal)
    finally:
        task.finish()
    for pin in pins:
        _check_offer(pin, found.get(pin.filename))
    return {pin.filename: found[pin.filename][1] for pin in pins}


_Offer = tuple[Digest | None, str]  # what is said of a file's bytes, and where they are


def _known_places(request: PackageRequest, target: PythonTarget, environ: Mapping[str, str]) -> dict[str, _Offer]:
    """Files that the request itself places: those of lock files of others, and direct references."""
    inputs = _read_inputs(request, target, environ)
    found: dict[str, _Offer] = {wheel.filename: (wheel.sha256, wheel.url) for wheel in inputs.locked}
    urls = [_requirement(package).url for package in request.packages] + [line.url for line in inputs.listed]
    for url in filter(None, urls):
        place = url.split("#")[0]
        found[unquote(place.rsplit("/", 1)[-1])] = (None, place)
    return found


def _listed_files(
    pins: Sequence[PinnedWheel],
    request: PackageRequest,
    target: PythonTarget,
    environ: Mapping[str, str],
    *,
    universal: bool,
) -> dict[str, _Offer]:
    """What the indexes list under the pins' names and versions. `universal` also shows wheels that uv finds unfit."""
    outcome = Compilation(
        replace(request, exclude_newer=None),
        environ,
        None if universal else target,
        target.python,
        dependencies=[f"{pin.name}=={pin.version}" for pin in pins],
        with_dependencies=False,
    ).run()
    if not outcome.ok:
        error = failure(outcome, target)
        if isinstance(error, ResolutionError):
            raise UnavailableError(
                f"a locked wheel is not to be had any more: {error.problems[0].message}",
                hint="ask the owner of the index for the file, or lock again with --upgrade-package",
            )
        raise error
    found: dict[str, _Offer] = {}
    for package in read_pylock(outcome.output, where="uv").packages:
        for wheel in package.wheels or ():
            sha256 = wheel.hashes.get("sha256")
            found[wheel.filename] = (Digest(sha256.lower()) if sha256 else None, wheel.url or f"file://{wheel.path}")
    return found


def _check_offer(pin: PinnedWheel, offer: _Offer | None) -> None:
    if offer is None:
        raise UnavailableError(
            f"no index has {pin.filename} any more",
            hint="ask the owner of the index for the file, or lock again with --upgrade-package " + pin.name,
        )
    if offer[0] not in (None, pin.sha256):
        raise DigestMismatchError(
            f"the index has another file under the name {pin.filename}: the lock says {pin.sha256}, the index {offer[0]}",
            where=redact(offer[1]),
            hint="do not use it before you know who changed it; a private rebuild needs a new version",
        )
