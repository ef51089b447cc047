"""Opening a file that somebody else may have put there."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, *, follow: bool) -> BinaryIO:
    """A regular file, open for reading; any other kind of file is an OSError, and so is a link unless it is followed.

    Nothing waits for the other end of a pipe, and what the descriptor is asked about is the very file that is read.
    """
    link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | link)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")
