"""Fetching .debs into the cache."""

from collections.abc import Sequence

from mlenv.model.progress import SILENT, Progress
from mlenv.sources.cache import Cache
from mlenv.sources.debian.hints import HINTS
from mlenv.sources.debian.request import ResolvedDeb
from mlenv.sources.fetch import Fetch, fetch_all

_THREADS = 6  # what a mirror that many share does not mind


def fetch_debs(debs: Sequence[ResolvedDeb], *, cache: Cache, progress: Progress = SILENT) -> None:
    """Bring the packages that the cache lacks into it. Nothing is opened or unpacked here.

    Raises DigestMismatchError where the bytes are not the ones meant (none of them are kept) and UnavailableError.
    """
    # The largest first, so that none of them is left for the end.
    ordered = sorted(debs, key=lambda deb: (-deb.size, deb.name))
    items = [Fetch(deb.url, deb.sha256, deb.size, f"{deb.name} {deb.version}", HINTS) for deb in ordered]
    fetch_all(items, cache, progress=progress, jobs=_THREADS)
