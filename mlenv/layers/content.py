"""Reading the content of entries: in pieces, so that memory stays flat, and many small ones with one call."""

import hashlib
import os
from collections.abc import Iterator

from mlenv.errors import RefusedError
from mlenv.layers.entry import Content, Deflated, FileContent, Inline

PIECE = 1 << 20
"""The most bytes that are read, written or hashed at once."""

LARGE = 1 << 17
"""From that many bytes on, joining a piece to others costs more than hashing and writing it alone."""

_SMALL = 1 << 16
_WINDOW = 1 << 18
_WINDOWS = 32


class Reader:
    """Reads the content of entries. One Reader belongs to one thread; the files may be shared (os.pread).

    Neighbouring entries of a wheel lie near one another, so that a small range is cut out of a window of its file
    that was read ahead. A few windows are kept, one per file.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, bytes]] = {}

    def pieces(self, content: Content) -> Iterator[bytes]:
        """The bytes of an entry as they lie in its file (a DEFLATE stream is not inflated), at most `PIECE` at once.

        Raises RefusedError where a file is shorter than it was, or is not the one any more whose digest is known.
        """
        if isinstance(content, Inline):
            for start in range(0, content.size, PIECE):
                yield content.data[start : start + PIECE]
            return
        if isinstance(content, FileContent):
            yield from _late(content)
            return
        rest = content.compressed_size if isinstance(content, Deflated) else content.size
        offset = content.offset
        while rest > 0:
            size = min(rest, PIECE)
            yield self._range(content.fd, offset, size)
            offset += size
            rest -= size

    def _range(self, fd: int, offset: int, size: int) -> bytes:
        start, window = self._windows.get(fd, (0, b""))
        begin = offset - start
        if begin >= 0 and begin + size <= len(window):
            return window[begin : begin + size]
        if size > _SMALL:
            return read_range(fd, offset, size)
        window = os.pread(fd, _WINDOW, offset)
        if len(window) < size:
            return read_range(fd, offset, size)
        if len(self._windows) >= _WINDOWS:
            self._windows.clear()
        self._windows[fd] = (offset, window)
        return window[:size]


def read_range(fd: int, offset: int, size: int) -> bytes:
    """Exactly `size` bytes from `offset`; RefusedError where the file has fewer."""
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise RefusedError(
                f"a file ended before byte {offset + size} while a layer was made of it",
                hint="it is truncated, or was changed in the meantime; run the command again",
            )
        data += more
    return data


def _late(content: FileContent) -> Iterator[bytes]:
    """A file that is opened now, and must still be what it was when the tree was read."""
    hasher = hashlib.sha256()
    size = 0
    try:
        fd = os.open(content.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _changed(content, error.strerror or "it cannot be opened") from None
    with os.fdopen(fd, "rb", buffering=0) as file:
        while data := file.read(PIECE):
            hasher.update(data)
            size += len(data)
            if size > content.size:
                break
            yield data
    if size != content.size or hasher.hexdigest() != content.sha256.hex:
        raise _changed(content, "its bytes are others")


def _changed(content: FileContent, problem: str) -> RefusedError:
    return RefusedError(
        f"the file was changed while mlenv worked: {problem}",
        where=str(content.path),
        hint="run the command again when nothing writes to it",
    )
