"""Where the wheels of a lock lie today: a lock names no places, so that it stays valid behind a mirror."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from mlenv.errors import DigestMismatchError, ResolutionError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.progress import SILENT, Progress
from mlenv.model.tags import PythonTarget
from mlenv.sources.http import shown
from mlenv.sources.packages.credentials import with_credentials
from mlenv.sources.packages.inputs import read_inputs, requirement
from mlenv.sources.packages.pylock import read_pylock
from mlenv.sources.packages.uv_messages import failure
from mlenv.sources.packages.uv_project import Compilation, PackageRequest

_Offer = tuple[Digest | None, str]  # what is said of a file's bytes, and where they are


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel that a lock names."""

    name: str
    version: str
    filename: str
    sha256: Digest


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
    task = progress.task(f"Locating {len(pins)} wheels")
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
    return {pin.filename: with_credentials(found[pin.filename][1], request, environ) for pin in pins}


def _known_places(request: PackageRequest, target: PythonTarget, environ: Mapping[str, str]) -> dict[str, _Offer]:
    """Files that the request itself places: those of lock files of others, and direct references."""
    inputs = read_inputs(request, target, environ)
    found: dict[str, _Offer] = {wheel.filename: (wheel.sha256, wheel.url) for wheel in inputs.locked}
    urls = [requirement(package).url for package in request.packages] + [line.url for line in inputs.listed]
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
    for package in read_pylock(outcome.output, where="uv", folder=outcome.folder).packages:
        for wheel in package.wheels or ():
            sha256 = wheel.hashes.get("sha256")
            found[wheel.filename] = (
                Digest(sha256.lower()) if sha256 else None,
                wheel.url or Path(wheel.path or "/").as_uri(),
            )
    return found


def _check_offer(pin: PinnedWheel, offer: _Offer | None) -> None:
    if offer is None:
        raise UnavailableError(
            f"no index has {pin.filename} any more",
            hint="ask the owner of the index for the file, or lock again with --upgrade-package " + pin.name,
        )
    if offer[0] not in (None, pin.sha256):
        raise DigestMismatchError(
            f"the index has another file under the name {pin.filename}: locked {pin.sha256}, offered {offer[0]}",
            where=shown(offer[1]),
            hint="do not use it before you know who changed it; a private rebuild needs a new version",
        )
