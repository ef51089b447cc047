"""What a lock names, brought into the cache: found through today's indexes, taken only by its digest.

What asks the indexes is imported only where something is missing, so that a build from a warm cache stays quick.
"""
# ruff: noqa: PLC0415 -- as the docstring says

from collections.abc import Iterable

from mlenv.errors import UnavailableError
from mlenv.model.lock import LockedDeb, LockedWheel
from mlenv.model.tags import PythonTarget
from mlenv.sources.debian.request import DebianRequest
from mlenv.sources.packages.uv_project import PackageRequest
from mlenv.sources.surroundings import Surroundings


def fetch_locked_wheels(
    wheels: Iterable[LockedWheel], request: PackageRequest, target: PythonTarget, around: Surroundings
) -> None:
    """Bring the wheels that the cache lacks into it. Of `request` only the indexes and folders are looked at."""
    missing = [wheel for wheel in wheels if not around.cache.has(wheel.digest)]
    if not missing:
        return
    _refuse_offline(around, [wheel.filename for wheel in missing])
    from mlenv.sources.fetch import Fetch, fetch_all
    from mlenv.sources.packages.resolve import PinnedWheel, locate_wheels

    pins = [PinnedWheel(wheel.name, wheel.version, wheel.filename, wheel.digest) for wheel in missing]
    urls = locate_wheels(pins, request, target, environ=around.environ, progress=around.progress)
    fetch_all(
        [Fetch(urls[wheel.filename], wheel.digest, wheel.size, wheel.filename) for wheel in missing],
        around.cache,
        progress=around.progress,
    )


def fetch_locked_debs(debs: Iterable[LockedDeb], request: DebianRequest, around: Surroundings) -> None:
    """Bring the Debian packages that the cache lacks into it. Of `request` only the archives are looked at."""
    missing = [deb for deb in debs if not around.cache.has(deb.digest)]
    if not missing:
        return
    _refuse_offline(around, [deb.label for deb in missing])
    from mlenv.sources.debian.fetch import fetch_debs
    from mlenv.sources.debian.resolve import locate_debs

    located = locate_debs(
        missing,
        request,
        cache=around.cache,
        now=around.now,
        environ=around.environ,
        progress=around.progress,
    )
    fetch_debs(located, cache=around.cache, progress=around.progress)


def _refuse_offline(around: Surroundings, missing: list[str]) -> None:
    if around.offline:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnavailableError(
            f"not in the cache: {missing[0]}{more}",
            hint="run the command once without --offline; what it fetches stays in the cache",
        )
