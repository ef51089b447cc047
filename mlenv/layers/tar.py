"""tar headers by layer recipe 1: POSIX ustar (IEEE Std 1003.1, pax utility), pax records only where it falls short.

Everything here is pure: an entry in, bytes out. The normative text is the section "tar" of schema/layer-recipe.md.
"""

from functools import lru_cache

from mlenv.layers.entry import Entry, EntryType

BLOCK = 512
MTIME = 315532800
"""1980-01-01T00:00:00Z, in seconds since 1970, of every entry."""

END_OF_ARCHIVE = bytes(2 * BLOCK)

_NAME, _PREFIX, _LINK = 100, 155, 100
_MAX_SIZE = 8**11 - 1
_MAX_ID = 8**7 - 1
_MTIME_FIELD = b"%011o\0" % MTIME
_PADDING = [bytes(-size % BLOCK) for size in range(BLOCK)]
# magic, version, uname, gname, devmajor, devminor
_TAIL = b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00"
_PAX_NAME = b"././@PaxHeader"


def padding(size: int) -> bytes:
    """The zero bytes that follow `size` bytes of content, up to the next block."""
    return _PADDING[size % BLOCK]


def header(entry: Entry) -> bytes:
    """The header blocks of an entry: one of 512 bytes, or a pax extended header before it where ustar is too small."""
    path = entry.path + "/" if entry.type is EntryType.DIRECTORY else entry.path
    size = 0 if entry.content is None else entry.content.size
    if path.isascii() and len(path) <= _NAME:
        name, prefix = path.encode("ascii"), b""
    else:
        name, prefix = _split(path)
    if name and size <= _MAX_SIZE and not entry.link and entry.uid <= _MAX_ID and entry.gid <= _MAX_ID:
        return _ustar(name, prefix, entry.type.value, entry.mode, entry.uid, entry.gid, size, b"")
    return _header_with_pax(entry, path, name, prefix, size)


def _header_with_pax(entry: Entry, path: str, name: bytes, prefix: bytes, size: int) -> bytes:
    """As `header`, for the entries that may need pax records."""
    link = entry.link.encode()
    records = b""
    if not name:
        records += _record(b"path", path.encode())
        name = path.encode("ascii", "replace")[:_NAME]
    if len(link) > _LINK or not link.isascii():
        records += _record(b"linkpath", link)
        link = entry.link.encode("ascii", "replace")[:_LINK]
    numbers = {b"size": (size, _MAX_SIZE), b"uid": (entry.uid, _MAX_ID), b"gid": (entry.gid, _MAX_ID)}
    for key, (value, limit) in numbers.items():
        if value > limit:
            records += _record(key, b"%d" % value)
    size, uid, gid = (value if value <= limit else 0 for value, limit in numbers.values())
    own = _ustar(name, prefix, entry.type.value, entry.mode, uid, gid, size, link)
    if not records:
        return own
    return _ustar(_PAX_NAME, b"", b"x", 0o644, 0, 0, len(records), b"") + records + padding(len(records)) + own


def _split(path: str) -> tuple[bytes, bytes]:
    """(name, prefix) with the shortest prefix that leaves a name short enough, or (b"", b"") where there is none."""
    if not path.isascii():
        return b"", b""
    slash = path.find("/", max(1, len(path) - _NAME - 1))
    if slash == -1 or slash > _PREFIX or slash == len(path) - 1:
        return b"", b""
    return path[slash + 1 :].encode("ascii"), path[:slash].encode("ascii")


def _record(key: bytes, value: bytes) -> bytes:
    """One pax record, LENGTH KEY=VALUE and a line feed. The length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(name: bytes, prefix: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, link: bytes) -> bytes:
    """One header block. The checksum is a plain sum of bytes, so that its constant parts are summed once."""
    front, front_sum = _front(mode, uid, gid)
    size_field = b"%011o\0" % size
    checksum = front_sum + sum(name) + sum(prefix) + sum(size_field) + kind[0] + sum(link)
    return b"".join(
        (
            name.ljust(_NAME, b"\0"),
            front,
            size_field,
            _MTIME_FIELD,
            b"%06o\0 " % checksum,
            kind,
            link.ljust(_LINK, b"\0"),
            _TAIL,
            prefix.ljust(_PREFIX + 12, b"\0"),
        )
    )


@lru_cache(maxsize=256)
def _front(mode: int, uid: int, gid: int) -> tuple[bytes, int]:
    """The fields mode, uid and gid, and the sum of all bytes of a header that do not depend on the single entry.

    While it is computed, the checksum field itself counts as eight spaces.
    """
    fields = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    return fields, sum(fields) + sum(_MTIME_FIELD) + 8 * ord(" ") + sum(_TAIL)
