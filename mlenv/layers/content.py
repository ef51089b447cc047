"""Reading the content of entries: in pieces, so that memory stays flat, and many small ones with one call."""

import os
from collections.abc import Iterator

from mlenv.errors import RefusedError
from mlenv.layers.entry import Content, Inline

PIECE = 1 << 20
"""The most bytes that are read, written or hashed at once."""

_SMALL = 1 << 16
_WINDOW = 1 << 18
_WINDOWS = 32


class Reader:
    """Reads ranges of open files with os.pread; one Reader belongs to one thread, the files may be shared.

    Neighbouring entries of a wheel lie near one another, so that a small range is cut out of a window of its file
    that was read ahead. A few windows are kept, one per file.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[int, bytes]] = {}

    def small(self, fd: int, offset: int, size: int) -> bytes:
        """A whole range; for ranges of at most `PIECE` bytes."""
        start, window = self._windows.get(fd, (0, b""))
        begin = offset - start
        if begin >= 0 and begin + size <= len(window):
            return window[begin : begin + size]
        if size > _SMALL:
            return _read(fd, offset, size)
        window = os.pread(fd, _WINDOW, offset)
        if len(window) < size:
            raise _too_short(offset + size)
        if len(self._windows) >= _WINDOWS:
            self._windows.clear()
        self._windows[fd] = (offset, window)
        return window[:size]

    def pieces(self, content: Content) -> Iterator[bytes]:
        """The bytes of an entry as they lie in the file (a DEFLATE stream is not inflated), at most `PIECE` at once."""
        if isinstance(content, Inline):
            for start in range(0, content.size, PIECE):
                yield content.data[start : start + PIECE]
            return
        rest: int = getattr(content, "compressed_size", content.size)
        offset = content.offset
        while rest > 0:
            size = min(rest, PIECE)
            yield self.small(content.fd, offset, size)
            offset += size
            rest -= size


def _read(fd: int, offset: int, size: int) -> bytes:
    data = os.pread(fd, size, offset)
    while len(data) < size:
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise _too_short(offset + size)
        data += more
    return data


def _too_short(end: int) -> RefusedError:
    return RefusedError(
        f"a file ended before byte {end} while a layer was made of it",
        hint="something changes files while mlenv reads them; run the command again",
    )
