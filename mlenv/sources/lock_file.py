"""mlenv.lock, read from and written to the disk."""

from contextlib import suppress
from pathlib import Path

from mlenv.errors import LockFormatError, StaleLockError
from mlenv.model.lock import Lock
from mlenv.sources.regular_file import open_regular
from mlenv.sources.whole_file import write_whole

LARGEST = 8 << 20  # bytes: a lock of a thousand packages has a thirtieth


def load_lock(path: Path) -> Lock:
    """The lock in a file. StaleLockError where there is none, LockFormatError where it cannot be read."""
    return parse_lock(read_lock(path), path)


def read_lock(path: Path) -> bytes:
    """The raw bytes of a lock, which is what a signature binds. Raises as `load_lock`."""
    try:
        with open_regular(path, follow=True) as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise StaleLockError("there is no lock", where=str(path), hint="run `mlenv lock`") from None
    except OSError as error:
        hint = "name a file that you can read with --lock"
        raise LockFormatError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None
    if len(data) > LARGEST:
        raise LockFormatError(f"larger than {LARGEST >> 20} MiB", where=str(path), hint="is it an mlenv.lock at all?")
    return data


def parse_lock(data: bytes, path: Path) -> Lock:
    """The lock in those bytes; LockFormatError, which names the file."""
    try:
        return Lock.parse(data.decode(), filename=str(path))
    except UnicodeDecodeError:
        raise LockFormatError("not UTF-8", where=str(path), hint="restore the file from version control") from None


def write_lock(path: Path, lock: Lock) -> bool:
    """Write a lock, whole or not at all; False where the file holds the same bytes already. UnavailableError."""
    data = lock.to_toml().encode()
    with suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    write_whole(path, [data])
    return True
