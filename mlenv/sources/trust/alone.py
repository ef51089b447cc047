"""One process at a time, where several would change a file of the user's."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(beside: Path, refused: Callable[[OSError], Exception]) -> Iterator[None]:
    """Holds the lock (flock(2)) of an empty file, which is made with its folder: whoever else asks for it waits.

    `refused` makes the error of what the system says where that cannot be done.
    """
    try:
        beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise refused(error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise refused(error) from error
        yield
    finally:
        os.close(descriptor)
