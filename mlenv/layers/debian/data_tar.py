"""Reading the tar archives inside a .deb, strictly: what is not understood is an error, and so is a bad checksum.

`tarfile` of the standard library takes a broken header for the end of the archive, reads extended headers of any
size into memory and knows sparse files: none of which may happen to bytes from outside. Known here: ustar, GNU long
names, and the PAX records that carry a name, a size or an owner.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BLOCK = 512
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = b"0", b"1", b"2", b"5"
_LONG_NAME, _LONG_LINK, _PAX = b"L", b"K", b"x"
_EXTENDED = {_LONG_NAME: 4097, _LONG_LINK: 4097, _PAX: 1 << 16}  # with the most bytes of each
_OTHERS = {
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"S": "a sparse file",
    b"g": "a global extended header",
}
_ENTRIES_CAP = 1_000_000
_OWNER_CAP = 0o7777777  # what the seven octal digits of a plain tar header can hold
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]+)=")
_HARMLESS = frozenset({"mtime", "atime", "ctime", "uname", "gname", "comment"})

ReadAt = Callable[[int, int], bytes]
"""`size` bytes from `offset`, or fewer at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """A tar entry. `kind` is b"0", b"1" (hard link), b"2" or b"5"; its bytes lie at `offset`, `size` of them."""

    path: str
    kind: bytes
    mode: int
    uid: int
    gid: int
    link: str
    offset: int
    size: int


def read_members(read_at: ReadAt, start: int, end: int) -> Iterator[Member]:
    """The entries of the tar that lies from `start` to `end`. Raises ValueError where it is broken."""
    position = start
    extended: dict[str, str] = {}
    for _ in range(_ENTRIES_CAP):
        header = _block(read_at, position, end)
        if not any(header):
            _require_zeros(read_at, position, end)
            if extended:
                raise ValueError("the tar ends after an extended header")
            return
        kind, fields = _parse(header, position)
        size = int(extended.get("size", fields["size"]))
        position += BLOCK
        if kind in {_HARD_LINK, _SYMLINK, _DIRECTORY}:
            size = 0
        if position + size > end:
            raise ValueError("the tar is cut off")
        if kind in _EXTENDED:
            if size > _EXTENDED[kind]:
                raise ValueError(f"an extended header of {size} bytes")
            extended |= _extension(kind, read_at(position, size))
        else:
            uid, gid = (int(extended.get(name, fields[name])) for name in ("uid", "gid"))
            if max(uid, gid) > _OWNER_CAP:
                raise ValueError(f"an owner with the number {max(uid, gid)}")
            yield Member(
                path=extended.get("path", fields["path"]),
                kind=kind,
                mode=int(fields["mode"]),
                uid=uid,
                gid=gid,
                link=extended.get("linkpath", fields["link"]),
                offset=position,
                size=size,
            )
            extended = {}
        position += -(-size // BLOCK) * BLOCK
    raise ValueError(f"more than {_ENTRIES_CAP} entries in a package")


def _block(read_at: ReadAt, position: int, end: int) -> bytes:
    header = read_at(position, BLOCK) if position + BLOCK <= end else b""
    if len(header) < BLOCK:
        raise ValueError("the tar is cut off")
    return header


def _parse(header: bytes, position: int) -> tuple[bytes, dict[str, str]]:
    """The kind and the plain fields of a header, as text."""
    stored = _number(header[148:156], "checksum")
    if stored != sum(header) - sum(header[148:156]) + 8 * ord(" "):
        raise ValueError(f"a tar header with a wrong checksum at byte {position}")
    magic, kind = header[257:265], header[156:157].replace(b"\0", _FILE)
    if magic not in {b"ustar\x0000", b"ustar  \x00"}:
        raise ValueError(f"a tar header of an unknown kind at byte {position}")
    path = _text(header[:100])
    if kind not in {_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY, *_EXTENDED}:
        what = _OTHERS.get(kind, f"an entry of the unknown type {kind!r}")
        raise ValueError(f"{path} is {what}, which no image may hold")
    if magic == b"ustar\x0000" and header[345] != 0:
        path = f"{_text(header[345:500])}/{path}"
    numbers = {"mode": (100, 108), "uid": (108, 116), "gid": (116, 124), "size": (124, 136)}
    fields = {name: str(_number(header[a:b], name)) for name, (a, b) in numbers.items()}
    return kind, {**fields, "path": path, "link": _text(header[157:257])}


def _number(field: bytes, name: str) -> int:
    """Octal digits, or base 256 where the first bit is set (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise ValueError(f"a tar header whose {name} is no number")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return _printable(field.split(b"\0", 1)[0].decode("utf-8"))


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"a name with control characters: {name[:200]!r}")
    return name


def _extension(kind: bytes, data: bytes) -> dict[str, str]:
    if kind == _PAX:
        return _pax(data)
    return {"path" if kind == _LONG_NAME else "linkpath": _text(data)}


def _pax(data: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    while data:
        match = _RECORD.match(data)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(data) or data[length - 1 : length] != b"\n":
            raise ValueError("a broken PAX record")
        key, value = match[2].decode("utf-8"), data[match.end() : length - 1].decode("utf-8")
        data = data[length:]
        if key in {"size", "uid", "gid"} and not (value.isascii() and value.isdigit() and len(value) < 20):
            raise ValueError(f"a PAX record whose {key} is no number")
        if key in {"path", "linkpath", "size", "uid", "gid"}:
            records[key] = _printable(value)
        elif key not in _HARMLESS:
            raise ValueError(f"a PAX record {key[:60]!r}, which no image keeps")
    return records


def _require_zeros(read_at: ReadAt, position: int, end: int) -> None:
    if end - position < 2 * BLOCK:
        raise ValueError("the tar is cut off")
    while position < end:
        piece = read_at(position, min(1 << 16, end - position))
        if not piece or any(piece):
            raise ValueError("data after the end of the tar")
        position += len(piece)
