"""Debian packages: from names to the exact files, and from a lock's entries to where they lie today."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mlenv.errors import Problem, UnavailableError
from mlenv.model.lock import LockedDeb
from mlenv.model.progress import SILENT, Progress
from mlenv.sources.cache import Cache
from mlenv.sources.debian.archive import ArchiveReader
from mlenv.sources.debian.closure import resolve_closure
from mlenv.sources.debian.index import Package
from mlenv.sources.debian.request import DebianRequest, ResolvedDeb

ALWAYS = ("base-files", "base-passwd", "netbase")
"""What every root file system gets, whoever asks: the folders, os-release and the licences that others refer to."""


def resolve_debian(
    request: DebianRequest,
    *,
    cache: Cache,
    now: datetime,
    environ: Mapping[str, str] = os.environ,
    offline: bool = False,
    progress: Progress = SILENT,
    apt_folder: Path = Path("/etc/apt"),
) -> tuple[ResolvedDeb, ...]:
    """The packages that the request's come to with all that they depend on, sorted by name. Fetches only indexes.

    `now` has a zone. Raises SignatureError (the archive's signature, suite or time), UnavailableError,
    DigestMismatchError (an index's bytes), ResolutionError (unknown or unsatisfiable packages).
    """
    reader = ArchiveReader(cache, now, environ, progress, offline, apt_folder)
    wanted = tuple(dict.fromkeys((*request.packages, *ALWAYS)))
    return tuple(map(_resolved, resolve_closure(reader.index(request), wanted, request.pins)))


def locate_debs(
    locked: Sequence[LockedDeb],
    request: DebianRequest,
    *,
    cache: Cache,
    now: datetime,
    environ: Mapping[str, str] = os.environ,
    offline: bool = False,
    progress: Progress = SILENT,
    apt_folder: Path = Path("/etc/apt"),
) -> tuple[ResolvedDeb, ...]:
    """Where each locked package lies today, in the order given; for those that are not in the cache.

    Of the request only the archives and the platform are looked at. Raises as `resolve_debian` does; UnavailableError
    names every package that is gone.
    """
    index = ArchiveReader(cache, now, environ, progress, offline, apt_folder).index(request)
    located = []
    gone = []
    for deb in locked:
        match = next((package for package in index.versions(deb.name) if _is_same(package, deb)), None)
        if match is None:
            gone.append(_gone(deb, index.versions(deb.name)))
        else:
            located.append(_resolved(match))
    if gone:
        raise UnavailableError(problems=gone)
    return tuple(located)


def _is_same(package: Package, deb: LockedDeb) -> bool:
    return (package.version, package.architecture, package.sha256) == (deb.version, deb.architecture, deb.digest)


def _gone(deb: LockedDeb, versions: Sequence[Package]) -> Problem:
    if any((package.version, package.architecture) == (deb.version, deb.architecture) for package in versions):
        message = f"the archive has {deb.name} {deb.version} {deb.architecture}, but with other bytes than {deb.digest}"
    else:
        have = ", ".join(package.version for package in versions) or "no version"
        message = f"the archive no longer has {deb.name} {deb.version} {deb.architecture} (it has {have})"
    return Problem(
        message,
        where="mlenv.lock",
        hint="set base.debian.mirror to a snapshot archive of the lock's time, or lock anew: mlenv lock --upgrade",
    )


def _resolved(package: Package) -> ResolvedDeb:
    return ResolvedDeb(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        sha256=package.sha256,
        size=package.size,
        url=package.url,
    )
