"""What there is to know of a disk that is written to."""

import errno
import os
from pathlib import Path


def is_full(error: OSError) -> bool:
    """Whether the disk, a quota or a limit on a file's size has no room for more."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def synchronise(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
