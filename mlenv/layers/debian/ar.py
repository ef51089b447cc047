"""The outer shell of a .deb: an `ar` archive whose members are perhaps compressed (deb(5))."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 1 << 20
_MAGIC = b"!<arch>\n"
_HEADER = 60
_MEMBERS_CAP = 16
_WINDOW_CAP = 1 << 27  # bytes that a compressor may ask for; `xz -9` and `zstd --ultra` ask for 64 MiB and 128 MiB


@dataclass(frozen=True, slots=True)
class Part:
    """A member: `size` bytes from `offset`. `compression` is "", "gz", "xz" or "zst"."""

    offset: int
    size: int
    compression: str


def read_parts(file: BinaryIO) -> tuple[Part, Part]:
    """control.tar and data.tar of a .deb. Raises ValueError where it is none."""
    members = list(_members(file))
    names = [name for name, _, _ in members]
    if names[:1] != ["debian-binary"]:
        raise ValueError("not a Debian package: it does not begin with debian-binary")
    _, offset, size = members[0]
    if size > 64 or not _read(file, offset, size).startswith(b"2."):
        raise ValueError("not a Debian package of format 2")
    # Names that begin with an underscore are for others to use, such as signatures (deb(5)).
    parts = [member for member in members[1:] if not member[0].startswith("_")]
    if len(parts) != 2:
        raise ValueError(f"a Debian package holds control.tar and data.tar; this one holds {', '.join(names)}"[:300])
    control, data = (_part(member, stem) for member, stem in zip(parts, ("control.tar", "data.tar"), strict=True))
    return control, data


def _part(member: tuple[str, int, int], stem: str) -> Part:
    name, offset, size = member
    compression = name.removeprefix(stem).removeprefix(".")
    if name not in {stem, f"{stem}.gz", f"{stem}.xz", f"{stem}.zst"}:
        raise ValueError(f"the member {name!r} is not {stem}, {stem}.gz, {stem}.xz or {stem}.zst")
    return Part(offset, size, compression)


def _members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of each member of the `ar` archive."""
    end = file.seek(0, 2)
    if _read(file, 0, len(_MAGIC)) != _MAGIC:
        raise ValueError("not a Debian package: not an ar archive")
    position = len(_MAGIC)
    for _ in range(_MEMBERS_CAP):
        if position == end:
            return
        header = _read(file, position, _HEADER)
        name, digits = header[:16].rstrip(b" ").removesuffix(b"/"), header[48:58].rstrip(b" ")
        if header[58:] != b"`\n" or not digits.isdigit() or not name.isascii() or b"/" in name:
            raise ValueError(f"a broken ar header at byte {position}")
        size = int(digits)
        if position + _HEADER + size > end:
            raise ValueError(f"the member {name.decode()!r} is cut off")
        yield name.decode(), position + _HEADER, size
        position = min(position + _HEADER + size + size % 2, end)  # some writers leave out the last padding byte
    raise ValueError(f"more than {_MEMBERS_CAP} members in a Debian package")


def unpack(file: BinaryIO, part: Part, write: Callable[[bytes], object], *, cap: int) -> int:
    """Write a member's bytes, decompressed, and return how many there are. Raises ValueError beyond `cap` of them."""
    import zstandard  # noqa: PLC0415 -- used by other distributions' packages, hardly ever by Debian's

    written = 0
    try:
        for piece in _pieces(file, part):
            written += len(piece)
            if written > cap:
                raise ValueError(f"the package grows to more than {cap} bytes: a decompression bomb")
            write(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ValueError(f"the compressed content is broken: {error}") from error
    return written


def _pieces(file: BinaryIO, part: Part) -> Iterator[bytes]:
    section = _Section(file, part.offset, part.size)
    if part.compression == "xz":
        yield from _xz(section)
    elif part.compression == "gz":
        with gzip.GzipFile(fileobj=section, mode="rb") as stream:  # type: ignore[call-overload]
            while piece := stream.read(PIECE):
                yield piece
    elif part.compression == "zst":
        import zstandard  # noqa: PLC0415 -- as above

        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_CAP)
        with reader.stream_reader(section, read_across_frames=True) as stream:  # type: ignore[arg-type]
            while piece := stream.read(PIECE):
                yield piece
            if section.read(1):
                raise ValueError("the compressed content is broken: data after its end")
    else:
        while piece := section.read(PIECE):
            yield piece


def _xz(section: "_Section") -> Iterator[bytes]:
    # Not lzma.open: it has no limit on memory, and the stream's header may ask for gigabytes.
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * _WINDOW_CAP)
    while not stream.eof:
        data = section.read(PIECE) if stream.needs_input else b""
        if stream.needs_input and not data:
            raise EOFError("it ends too early")
        yield stream.decompress(data, PIECE)
    if stream.unused_data or section.read(1):
        raise lzma.LZMAError("data after its end")


class _Section:
    """A range of a file, as a file for reading only."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file = file
        self._position = offset
        self._end = offset + size

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._position
        wanted = left if size < 0 else min(size, left)
        if wanted <= 0:
            return b""
        self._file.seek(self._position)
        data = self._file.read(wanted)
        self._position += len(data)
        return data


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("the package is cut off")
    return data
