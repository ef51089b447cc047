"""Python packages: which wheels an environment needs.

uv resolves, for the base's interpreter, libc and platform. Nothing is built and no code of a package is run. A package
that is bound to an index comes from there and from nowhere else, and nothing else comes from there.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from packaging.pylock import Pylock
from packaging.utils import canonicalize_name

from mlenv.errors import MlenvError, ResolutionError
from mlenv.model.progress import SILENT, Progress
from mlenv.model.tags import PythonTarget
from mlenv.sources.packages.credentials import with_credentials
from mlenv.sources.packages.inputs import read_inputs, requirement
from mlenv.sources.packages.locate import PinnedWheel, locate_wheels
from mlenv.sources.packages.pylock import ResolvedWheel, chosen_wheels, read_pylock
from mlenv.sources.packages.uv import Outcome
from mlenv.sources.packages.uv_messages import failure, without_wheel
from mlenv.sources.packages.uv_project import BoundIndex, Compilation, PackageRequest
from mlenv.sources.packages.wheel_gap import missing_wheels

__all__ = [
    "BoundIndex",
    "PackageRequest",
    "PinnedWheel",
    "PythonTarget",
    "ResolvedWheel",
    "locate_wheels",
    "resolve_packages",
]


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
    task = progress.task(f"Resolving packages for {target}")
    try:
        inputs = read_inputs(request, target, environ)
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
        found = chosen_wheels(lock, target, allowed=inputs.hashes, where="")
        locked = {wheel.name: wheel for wheel in inputs.locked}
        placed = [replace(wheel, url=with_credentials(wheel.url, request, environ)) for wheel in found]
        return inputs.marked([locked.get(wheel.name, wheel) for wheel in placed])
    finally:
        task.finish()


def _bound_answer(question: Compilation, target: PythonTarget) -> Pylock:
    """The answer in which every bound package comes from its index, also one that only another package asks for.

    uv binds direct dependencies only (`tool.uv.sources` says nothing of what they need in turn). So the bound packages
    are asked for as well; those that turn out to be wanted by nobody are dropped, and the question is put again.
    """
    bound = {canonicalize_name(name) for index in question.request.indexes for name in index.packages}
    extra = bound - {canonicalize_name(requirement(text).name) for text in question.dependencies}
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
    # Origins that are files, not packages, hold a space: "-r FILE", "-c FILE", "PROJECT (FILE)".
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
    return read_pylock(outcome.output, where="uv", folder=outcome.folder)


def _refusal(question: Compilation, outcome: Outcome, target: PythonTarget) -> MlenvError:
    """The error for a run of uv that failed; where wheels are missing, with the tags that do exist."""
    error = failure(outcome, target)
    if not isinstance(error, ResolutionError):
        return error
    error = missing_wheels(question, without_wheel(outcome), target) or error
    return ResolutionError(problems=[replace(one, where=one.where or "mlenv.toml python") for one in error.problems])
