"""Files with a known digest, into the cache: in parallel, checked before anything opens them."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from mlenv.errors import DigestMismatchError
from mlenv.model.digest import Digest
from mlenv.model.progress import SILENT, Progress, Task
from mlenv.sources.cache import Cache
from mlenv.sources.http import HINTS, Connections, Hints, shown
from mlenv.sources.urls import stream


@dataclass(frozen=True, slots=True)
class Fetch:
    """One file: an https, http or file URL, the sha256 that its bytes must have, its size in bytes where known.

    `label` is what messages call it.
    """

    url: str
    sha256: Digest
    size: int | None
    label: str
    hints: Hints = HINTS


def fetch_all(items: Sequence[Fetch], cache: Cache, *, progress: Progress = SILENT, jobs: int = 8) -> None:
    """See to it that the cache holds every item; what it has already is not fetched.

    The first failure ends all other transfers. Raises DigestMismatchError where the bytes are others, and
    UnavailableError where they cannot be had or not be stored. An interrupted call leaves whole blobs and nothing else.
    """
    missing = {item.sha256: item for item in items if not cache.has(item.sha256)}
    if not missing:
        return
    sizes = [item.size for item in missing.values()]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    task = progress.task(
        f"Fetching {len(missing)} files" if len(missing) > 1 else f"Fetching {_only(missing.values()).label}", total
    )
    connections = Connections()
    pool = ThreadPoolExecutor(max_workers=max(1, min(jobs, len(missing))), thread_name_prefix="fetch")
    try:
        futures = [pool.submit(_fetch, item, cache, connections, task) for item in missing.values()]
        _first_failure(futures)
    finally:
        connections.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        task.finish()


def _only(items: Iterable[Fetch]) -> Fetch:
    return next(iter(items))


def _first_failure(futures: Sequence[Future[None]]) -> None:
    """Wait until all are done or one failed, and raise what that one raised."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in futures:
        if future in done:
            future.result()


def _fetch(item: Fetch, cache: Cache, connections: Connections, task: Task) -> None:
    if connections.stopped:
        return
    try:
        cache.put(_pieces(item, connections, task), expected=item.sha256)
    except DigestMismatchError as error:
        message = f"{item.label} was refused: {error.problems[0].message}"
        raise DigestMismatchError(message, where=shown(item.url), hint=item.hints.changed) from None


def _pieces(item: Fetch, connections: Connections, task: Task) -> Iterator[bytes]:
    """The file, which must have the size that is known of it."""
    size = 0
    for piece in stream(item.url, connections, item.hints):
        size += len(piece)
        if item.size is not None and size > item.size:
            raise DigestMismatchError(f"more than the expected {item.size} bytes")
        yield piece
        task.advance(len(piece))
    if item.size is not None and size != item.size:
        raise DigestMismatchError(f"{size} bytes instead of {item.size}")
