"""Files in the user's folders that appear whole or not at all: mlenv.toml, mlenv.lock, archives."""

import fcntl
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mlenv.errors import UnavailableError
from mlenv.oci.disk import is_full


def write_whole(path: Path, chunks: Iterable[bytes], *, mode: int = 0o644, replace: bool = True) -> None:
    """Write beside the place, flush to the disk, and rename. Raises UnavailableError where nothing can be written.

    Its owner alone can read it while it is written. What a killed process left beside the place goes: it is told from
    what another one is writing by its lock. Without `replace`, FileExistsError where there is something already.
    """
    prefix = f".{path.name[:100]}.mlenv-"
    try:
        _remove_leftovers(path.parent, prefix)
        descriptor, temporary = _locked_file(prefix, path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                if replace:
                    Path(temporary).replace(path)
                else:
                    path.hardlink_to(temporary)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError) and not replace:
            raise
        raise UnavailableError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            hint="free some space, or choose another place"
            if is_full(error)
            else "choose a folder that you can write to",
        ) from error


def _locked_file(prefix: str, folder: Path) -> tuple[int, str]:
    """A new file that nobody takes for a leftover: one that went before it could be locked is made once more."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=prefix, dir=folder)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(name):
            return descriptor, name
        os.close(descriptor)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    for path in [path for path in folder.iterdir() if path.name.startswith(prefix)]:
        with suppress(OSError):  # another process writes it, or was faster
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Its name may have become that of the finished file since it was opened.
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    path.unlink()
            finally:
                os.close(descriptor)
