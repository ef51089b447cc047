"""Reads the tar of a layer front to back: a stream, no seeking, bounded memory, nothing written to a disk.

POSIX.1-1988 ustar, POSIX.1-2001 PAX and the GNU forms that image layers hold (long names, base-256 numbers).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from mlenv.errors import RefusedError

_BLOCK = 512
_CHUNK = 1 << 20
_EXTENSION = 1 << 20  # bytes of one PAX or long-name record; real ones stay under a few KiB
_ENTRIES = 4_000_000  # the largest images hold a few hundred thousand


class Stream(Protocol):
    """What a tar is read from: it only ever goes forward."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class TarKind(Enum):
    """What a tar entry is. OTHER is a device or a FIFO."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hard link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry. `path` is relative, normalised, and inside the root; `link` is as the archive has it."""

    path: str
    kind: TarKind
    mode: int
    size: int
    link: str = ""


_KINDS = {
    b"0": TarKind.FILE,
    b"\0": TarKind.FILE,
    b"7": TarKind.FILE,
    b"1": TarKind.HARDLINK,
    b"2": TarKind.SYMLINK,
    b"5": TarKind.DIRECTORY,
}


class TarReader:
    """Iterates over the entries of a tar. `chunks` gives the content of the entry that was yielded last.

    Raises RefusedError for what breaks the format, and for a path with a `..` component.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0  # bytes of the current entry's content that nobody took yet
        self._padding = 0

    def __iter__(self) -> Iterator[TarEntry]:
        count = 0
        while (header := self._next_header()) is not None:
            extended: dict[str, str] = {}
            while header[156:157] in (b"x", b"g", b"L", b"K"):
                self._extension(header, extended)
                header = self._next_header()
                if header is None:
                    raise RefusedError("the tar ends inside an extended header")
            count += 1
            if count > _ENTRIES:
                raise RefusedError(f"the tar has more than {_ENTRIES} entries")
            yield self._entry(header, extended)

    def chunks(self) -> Iterator[bytes]:
        """The content of the current entry, at most 1 MiB at once."""
        while self._left:
            data = self._stream.read(min(self._left, _CHUNK))
            if not data:
                raise RefusedError("the tar is truncated")
            self._left -= len(data)
            yield data

    def leave(self) -> int:
        """How many bytes of the current entry's content nobody took. Who asks moves the stream past them."""
        left, self._left = self._left, 0
        return left

    def _next_header(self) -> bytes | None:
        for _ in self.chunks():
            pass
        self._exactly(self._padding)
        self._padding = 0
        header = self._exactly(_BLOCK, end=True)
        if not header.strip(b"\0"):
            return None
        stored = _number(header[148:156])
        if stored != sum(header) - sum(header[148:156]) + 8 * 0x20:
            raise RefusedError("the tar has a header with a wrong checksum")
        return header

    def _entry(self, header: bytes, extended: dict[str, str]) -> TarEntry:
        kind = _KINDS.get(header[156:157], TarKind.OTHER)
        if header[156:157] == b"S" or any(key.startswith("GNU.sparse") for key in extended):
            raise RefusedError("the tar holds a sparse file, which no image layer needs")
        try:
            size = int(extended["size"]) if "size" in extended else _number(header[124:136])
        except ValueError:
            raise RefusedError("the tar has a size that is no number") from None
        if kind in (TarKind.FILE, TarKind.OTHER):
            self._expect(size)
        name = _text(header[:100])
        if header[257:263] == b"ustar\0" and header[345] != 0:
            name = f"{_text(header[345:500])}/{name}"
        return TarEntry(
            path=_inside(extended.get("path", name)),
            kind=TarKind.DIRECTORY if kind is TarKind.FILE and name.endswith("/") else kind,
            mode=_number(header[100:108]) & 0o7777,
            size=size if kind is TarKind.FILE else 0,
            link=extended.get("linkpath", _text(header[157:257])),
        )

    def _extension(self, header: bytes, extended: dict[str, str]) -> None:
        size = _number(header[124:136])
        if size > _EXTENSION:
            raise RefusedError(f"the tar has an extended header of {size} bytes")
        self._expect(size)
        data = b"".join(self.chunks())
        match header[156:157]:
            case b"L":
                extended["path"] = _text(data)
            case b"K":
                extended["linkpath"] = _text(data)
            case b"x":
                extended.update(_pax(data))
            case _:  # a global header: what may stand in one (comments, git's commit) does not concern an image
                _pax(data)

    def _expect(self, size: int) -> None:
        if size < 0:
            raise RefusedError("the tar has an entry of negative size")
        self._left, self._padding = size, -size % _BLOCK

    def _exactly(self, size: int, *, end: bool = False) -> bytes:
        data = self._stream.read(size)
        while 0 < len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                break
            data += more
        if len(data) < size:
            if end and not data:
                return bytes(_BLOCK)  # an archive without its end marker; other readers take it, too
            raise RefusedError("the tar is truncated")
        return data


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base-256, of GNU and star
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:]) if field[0] != 0xFF else -1
    text = field.split(b"\0")[0].strip()
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise RefusedError("the tar has a field that is no number") from None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    """The records of a PAX header: `LENGTH KEY=VALUE` and a line feed, LENGTH in bytes and of the whole record."""
    found: dict[str, str] = {}
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        start = stream.tell()
        digits = b""
        while (one := stream.read(1)) not in (b" ", b""):
            digits += one
            if not one.isdigit() or len(digits) > 8:
                raise RefusedError("the tar has a broken PAX record")
        end = start + int(digits or b"0")
        record = stream.read(max(end - stream.tell(), 0))
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if end > len(data) or not record.endswith(b"\n") or not equals:
            raise RefusedError("the tar has a broken PAX record")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
    return found


def _inside(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise RefusedError(f"the tar has an entry whose path leaves the root: {name[:200]!r}")
    return "/".join(parts)
