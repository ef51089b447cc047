"""The content-addressed cache: what was fetched once, under its digest, safe for many processes and for kill -9.

    blobs/sha256/<hex>      anything with a digest: wheels, Debian packages, layers of a base
    records/<kind>/<hex>    small JSON values that cost time to compute, under the digest of their key
    tmp/                    files being written, locked by their writers; cache_prune.py removes what a killed one left

A blob appears under its name only whole: it is written to `tmp/`, hashed as written, flushed to the disk and renamed.
Nothing in here is trusted: a blob is hashed again, on the open file that is then used, whenever it is read. A record
that is damaged or lies under another key's name counts as absent; one that somebody forged is found out where it
matters, because a build hashes what it writes.
"""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from mlenv.errors import DigestMismatchError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.oci.disk import is_full, synchronise

CHUNK = 1 << 20
LARGEST_RECORD = 16 << 20

# What a disk says that takes no more. Of these a network connection has none, so they may be caught around one.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
# What it says besides where a place cannot be used at all.
_NO_PLACE = (
    *_NO_ROOM,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EIO,
    errno.EXDEV,
)


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """$MLENV_CACHE_DIR, or `mlenv` in the user's cache folder (XDG base directory specification)."""
    if explicit := environ.get("MLENV_CACHE_DIR"):
        return Path(explicit).absolute()
    # The specification has relative paths ignored.
    shared = environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if shared.startswith("/") else Path.home() / ".cache") / "mlenv"


class Cache:
    """A cache under `root`, which is made when something is first written.

    Every method that writes raises UnavailableError, with what to do, where the disk is full or the place cannot be
    written. Any number of processes and threads may use one folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.root / "blobs" / "sha256" / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether a blob of that name is there. Says nothing of its bytes: `open` does."""
        return os.path.lexists(self.path(digest))

    @contextmanager
    def open(self, digest: Digest) -> Iterator[BinaryIO]:
        """The blob, open for reading and at its start, after its bytes were hashed.

        Raises FileNotFoundError where it is missing, and DigestMismatchError where it was changed; it is removed then.
        """
        path = self.path(digest)
        with self._open_regular(path, digest) as file:
            found = Digest(hashlib.file_digest(file, "sha256").hexdigest())
            if found != digest:
                raise _poisoned(path, f"the cached copy of {digest} has the digest {found}")
            file.seek(0)
            _mark_used(file)
            yield file

    def _open_regular(self, path: Path, digest: Digest) -> BufferedReader:
        """Open without following a link or waiting for the other end of a pipe: neither is a blob."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise _poisoned(path, f"the cached copy of {digest} is no file") from error
            if error.errno in _NO_PLACE:
                raise unwritable(error, path, doing="read") from error
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _poisoned(path, f"the cached copy of {digest} is no file")
        return os.fdopen(descriptor, "rb")

    def put(self, chunks: Iterable[bytes], *, expected: Digest | None = None) -> Digest:
        """Store bytes as they come and return their digest; where another one was `expected`, nothing is kept."""
        hasher = hashlib.sha256()
        with self.temporary() as file:
            for chunk in chunks:
                hasher.update(chunk)
                file.write(chunk)
            digest = Digest(hasher.hexdigest())
            if expected is not None and digest != expected:
                raise DigestMismatchError(
                    f"expected {expected}, got {digest}", hint="find out who changed it where it comes from"
                )
            self.adopt(file, digest)
        return digest

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """An empty file in `tmp/`, open for reading and writing, gone at the end unless `adopt` took it.

        Errors of a full disk while the caller writes to it are raised as UnavailableError too. `name` is its path.
        """
        folder = self.root / "tmp"
        # The writer holds a lock for as long as it lives, by which `prune` tells it from one that was killed.
        with _writing(folder, (*_NO_PLACE, errno.ENOENT)):
            folder.mkdir(parents=True, exist_ok=True)  # ENOENT: a parent takes no folders, such as /proc
            path = folder / secrets.token_hex(16)
            file = open(path, "x+b", opener=_private)  # noqa: SIM115 -- closed below, or by the collector
        try:
            with suppress(OSError):  # a file system without locks: only the age protects the file from `prune` then
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            with _writing(folder, _NO_ROOM), file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """An empty folder in `tmp/`, gone at the end with all that is in it; what is written to it is the caller's."""
        with _writing(self.root / "tmp", (*_NO_PLACE, errno.ENOENT)):
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            folder = self.root / "tmp" / secrets.token_hex(16)
            folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # as above
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)

    def adopt(self, file: BinaryIO, digest: Digest) -> None:
        """Make a temporary file, whose bytes the caller hashed as it wrote them, the blob of that digest."""
        target = self.path(digest)
        with _writing(target, _NO_PLACE):
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o444)
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(file.name).replace(target)
            synchronise(target.parent)

    def record(self, kind: str, key: str) -> Any:
        """The value remembered under that key, or None. Its shape is for the reader to check."""
        try:
            with self._record_path(kind, key).open("rb") as file:
                stored = json.loads(file.read(LARGEST_RECORD))
            if stored["key"] == key and stored["sha256"] == _checksum(stored["value"]):
                return stored["value"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        return None

    def remember(self, kind: str, key: str, value: Any) -> None:
        """Keep a JSON value. The key must name everything that the value depends on."""
        target = self._record_path(kind, key)
        stored = {"key": key, "sha256": _checksum(value), "value": value}
        with self.temporary() as file:
            file.write(json.dumps(stored, sort_keys=True, allow_nan=False).encode())
            # No fsync: a record that a power cut tears is absent, and costs only its time.
            file.flush()
            with _writing(target, _NO_PLACE):
                target.parent.mkdir(parents=True, exist_ok=True)
                Path(file.name).replace(target)

    def _record_path(self, kind: str, key: str) -> Path:
        return self.root / "records" / kind / Digest.of(key.encode()).hex


def _private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)


def _checksum(value: Any) -> str:
    return Digest.of(json.dumps(value, sort_keys=True).encode()).hex


def _mark_used(file: BinaryIO) -> None:
    """Set the time of last access where it is a day old, also on a disk that is mounted without it: for `prune`."""
    status, now = os.fstat(file.fileno()), time.time_ns()
    if now - status.st_atime_ns > 86_400 * 10**9:
        with suppress(OSError):  # a cache that may only be read
            os.utime(file.fileno(), ns=(now, status.st_mtime_ns))


def _poisoned(path: Path, what: str) -> DigestMismatchError:
    """The error for a blob that is not what its name says; it is removed, so that the next run fetches it anew."""
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return DigestMismatchError(
        f"{what}; it was removed",
        where=str(path),
        hint="run the command again to fetch it anew, and find out who writes to the cache",
    )


@contextmanager
def _writing(place: Path, numbers: tuple[int, ...]) -> Iterator[None]:
    """Turn what the operating system says of a place that takes no bytes into an error with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
        raise unwritable(error, place) from error


def unwritable(error: OSError, place: Path, *, doing: str = "write") -> UnavailableError:
    """The error for a disk that is full, or a place that cannot be used."""
    return UnavailableError(
        f"cannot {doing}: {error.strerror}",
        where=str(error.filename or place),
        hint="free some space (`mlenv cache prune`), or point MLENV_CACHE_DIR at a disk that has some"
        if is_full(error)
        else "make it accessible to you, or point MLENV_CACHE_DIR at another folder",
    )
