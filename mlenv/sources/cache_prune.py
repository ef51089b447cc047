"""What the cache takes on the disk, and making it smaller while others may be using it."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mlenv.sources.cache import Cache, unwritable

# A temporary file is locked right after it was made; younger ones are left alone, whether locked or not yet.
GRACE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class KindUsage:
    """How much there is of one kind: `blobs`, `records/<kind>` or `temporary`. `size` is in bytes."""

    kind: str
    count: int
    size: int


def usage(cache: Cache) -> list[KindUsage]:
    """What is in the cache, by kind, those with nothing left out."""
    folders = [("blobs", cache.root / "blobs" / "sha256")]
    with suppress(OSError):
        folders += sorted((f"records/{path.name}", path) for path in (cache.root / "records").iterdir())
    folders.append(("temporary", cache.root / "tmp"))
    found = []
    for kind, folder in folders:
        sizes = [status.st_size for _, status in _files(folder)]
        if sizes:
            found.append(KindUsage(kind, len(sizes), sum(sizes)))
    return found


def prune(cache: Cache, *, now: datetime, older_than: timedelta | None) -> KindUsage:
    """Remove what killed processes left and what was neither written nor used for `older_than` (None: nothing else).

    `timedelta(0)` empties the cache. Files that a process is writing stay. A blob that another process has open stays
    readable to it. Returns what went, as kind `removed`. Raises UnavailableError where a file cannot be removed.
    """
    moment = now.timestamp()
    gone = [_remove(cache.root / "tmp", lambda path, status: _abandoned(path, status, moment))]
    if older_than is not None:
        limit = moment - older_than.total_seconds()
        kept = [cache.root / "blobs" / "sha256", *_record_folders(cache)]
        gone += [_remove(folder, lambda _, status: max(status.st_atime, status.st_mtime) <= limit) for folder in kept]
    return KindUsage("removed", sum(count for count, _ in gone), sum(size for _, size in gone))


def _record_folders(cache: Cache) -> list[Path]:
    try:
        return sorted((cache.root / "records").iterdir())
    except OSError:
        return []


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        with suppress(FileNotFoundError):  # another process was faster
            yield path, path.lstat()


def _remove(folder: Path, doomed: Callable[[Path, os.stat_result], bool]) -> tuple[int, int]:
    count = size = 0
    for path, status in _files(folder):
        if doomed(path, status):
            try:
                shutil.rmtree(path) if stat.S_ISDIR(status.st_mode) else path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(error, path, doing="remove") from error
            count, size = count + 1, size + status.st_size
    return count, size


def _abandoned(path: Path, status: os.stat_result, moment: float) -> bool:
    """Whether the writer of a temporary file is dead: its lock went with it."""
    if moment - status.st_mtime < GRACE.total_seconds():
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a link or another thing that no writer makes
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
