"""Fetching .debs into the cache: several at once, each hashed as it streams and kept only if it is the one meant."""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mlenv.errors import DigestMismatchError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.progress import SILENT, Progress, Task
from mlenv.sources.cache import Cache
from mlenv.sources.debian.request import ANOTHER_MIRROR, ResolvedDeb
from mlenv.sources.debian.transport import TransientError, Transport, persistently

_THREADS = 6


def fetch_debs(debs: Sequence[ResolvedDeb], *, cache: Cache, progress: Progress = SILENT) -> None:
    """Bring the packages that the cache lacks into it. Nothing is opened or unpacked here.

    Raises DigestMismatchError where the bytes are not the ones meant (none of them are kept) and UnavailableError.
    """
    missing = [deb for deb in {deb.sha256: deb for deb in debs}.values() if not cache.has(deb.sha256)]
    if not missing:
        return
    task = progress.task("fetching Debian packages", sum(deb.size for deb in missing))
    transports = threading.local()
    stop = threading.Event()

    def fetch(deb: ResolvedDeb) -> None:
        if stop.is_set():
            return
        if not hasattr(transports, "own"):
            transports.own = Transport()
        try:
            _fetch(deb, transports.own, cache, task, stop)
        except BaseException:
            stop.set()
            raise

    # The largest first, so that none of them is left for the end.
    ordered = sorted(missing, key=lambda deb: (-deb.size, deb.name))
    try:
        with ThreadPoolExecutor(min(_THREADS, len(missing))) as pool:
            futures = [pool.submit(fetch, deb) for deb in ordered]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()  # also for Ctrl-C: the threads end at their next piece
                raise
    finally:
        task.finish()


def _fetch(deb: ResolvedDeb, transport: Transport, cache: Cache, task: Task, stop: threading.Event) -> None:
    def attempt() -> None:
        done = 0
        hasher = hashlib.sha256()
        with cache.temporary() as file:
            try:
                for chunk in transport.stream(deb.url):
                    if stop.is_set():
                        return
                    done += len(chunk)
                    if done > deb.size:
                        raise _mismatch(deb, f"more than the {deb.size} bytes that it has")
                    hasher.update(chunk)
                    file.write(chunk)
                    task.advance(len(chunk))
            except TransientError:
                task.advance(-done)  # the next try begins at the start
                raise
            found = Digest(hasher.hexdigest())
            if found != deb.sha256:
                raise _mismatch(deb, f"expected {deb.sha256} and {deb.size} bytes, got {found} and {done}")
            cache.adopt(file, found)

    try:
        persistently(deb.url, attempt)
    except FileNotFoundError:
        raise UnavailableError(
            f"the mirror does not have the file of {deb.name} {deb.version}",
            where=deb.url,
            hint="it is being updated: try again in some minutes, or use another mirror",
        ) from None


def _mismatch(deb: ResolvedDeb, message: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"{deb.name} {deb.version}: {message}",
        where=deb.url,
        hint=ANOTHER_MIRROR,
    )
