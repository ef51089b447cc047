"""The entries of a zip archive, read so that no two readers can see two different archives in it.

A zip file says everything twice: in the central directory at its end, and in a local header before each entry
(PKWARE APPNOTE 6.3). Readers that trust different copies see different files. Here both copies must agree, entries
must fill the file without gap or overlap, and nothing may lie before the first or after the end record.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, unpack_from

from mlenv.layers.entry import Deflated, Stored
from mlenv.layers.wheels.wheel_error import BadWheelError

MAX_ENTRIES = 200_000
MAX_TOTAL = 64 << 30
"""The most bytes that all entries together may inflate to."""

MAX_RATIO = 1032
"""DEFLATE cannot do better: 258 bytes from two bits."""

STORED, DEFLATED = 0, 8

_END = Struct("<4s4H2LH")
_END64_LOCATOR = Struct("<4sLQL")
_END64 = Struct("<4sQ2H2L4Q")
_CENTRAL = Struct("<4s6H3L5H2L")
_LOCAL = Struct("<4s5H3L2H")
_DESCRIPTOR, _DESCRIPTOR64 = Struct("<3L"), Struct("<LQQ")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
# Bits 1 and 2 tell how hard the compressor tried, 3 that a data descriptor follows, 11 that the name is UTF-8.
_HAS_DESCRIPTOR, _UTF8 = 1 << 3, 1 << 11
_ALLOWED_FLAGS = 1 << 1 | 1 << 2 | _HAS_DESCRIPTOR | _UTF8
_ZIP64_FIELD, _UNICODE_PATH_FIELD = 0x0001, 0x7075


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry. `offset` is that of its content in the file, sizes are in bytes, `mode` is st_mode or 0."""

    name: str
    method: int
    crc32: int
    compressed_size: int
    size: int
    offset: int
    mode: int

    @property
    def is_directory(self) -> bool:
        """Whether the entry only makes a directory."""
        return self.name.endswith("/")

    def content(self, fd: int, record: tuple[str, bytes] | None) -> Deflated | Stored:
        """The content for a layer's entry; `record` as in `Deflated`."""
        if self.method == DEFLATED:
            return Deflated(fd, self.offset, self.compressed_size, self.size, self.crc32, record)
        return Stored(fd, self.offset, self.size, self.crc32, record)


@dataclass(frozen=True, slots=True)
class _Central:
    """What the central directory says of an entry; its sizes and offset may have come from the zip64 field."""

    raw_name: bytes
    flags: int
    method: int
    crc32: int
    compressed_size: int
    size: int
    local_offset: int
    mode: int


def read_zip(fd: int) -> list[ZipEntry]:
    """All entries of the archive, in the order of the central directory. Names are as the archive has them.

    Raises BadWheelError for an archive that is damaged or ambiguous.
    """
    return _Archive(fd).entries()


class _Archive:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset) if offset >= 0 else b""
        while data and len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        if len(data) < size:
            raise BadWheelError("the zip archive is truncated")
        return data

    def entries(self) -> list[ZipEntry]:
        count, start, end = self._find_directory()
        if count > MAX_ENTRIES:
            raise BadWheelError(f"the zip archive has {count} entries; at most {MAX_ENTRIES} are read")
        central = list(self._central(self._read(start, end - start), count))
        result: dict[int, ZipEntry] = {}
        position = 0
        total = 0
        for entry in sorted(central, key=lambda entry: entry.local_offset):
            if entry.local_offset != position:
                raise BadWheelError(f"{_text(entry)}: the zip archive has a gap or an overlap before this entry")
            result[position], position = self._local(entry)
            total += entry.size
        if position != start:
            raise BadWheelError("the zip archive has bytes that belong to no entry before its central directory")
        if total > MAX_TOTAL:
            raise BadWheelError(f"the zip archive unpacks to {total} bytes; at most {MAX_TOTAL} are unpacked")
        ordered = [result[entry.local_offset] for entry in central]
        if len({entry.name for entry in ordered}) != len(ordered):
            seen: set[str] = set()
            twice = next(entry.name for entry in ordered if entry.name in seen or seen.add(entry.name))  # type: ignore[func-returns-value]
            raise BadWheelError(f"{twice}: the zip archive has this entry twice")
        return ordered

    def _find_directory(self) -> tuple[int, int, int]:
        """(number of entries, start, end) of the central directory."""
        end_at = self._size - _END.size
        signature, disk, start_disk, here, count, size, offset, comment = _END.unpack(self._read(end_at, _END.size))
        if signature != b"PK\5\6" or comment:
            raise BadWheelError(
                "not a zip archive that ends with its end record: truncated, or with a comment or data after it"
            )
        directory_end = end_at
        if _FULL16 in (here, count) or _FULL32 in (size, offset) or self._locator(end_at):
            directory_end, disk, start_disk, here, count, size, offset = self._find_zip64(end_at)
        if disk or start_disk or here != count:
            raise BadWheelError("the zip archive is one part of several")
        if offset + size != directory_end:
            raise BadWheelError(
                "the zip archive has bytes between its central directory and its end record, or before its start"
            )
        return count, offset, directory_end

    def _locator(self, end_at: int) -> bytes:
        at = end_at - _END64_LOCATOR.size
        data = self._read(at, _END64_LOCATOR.size) if at >= 0 else b""
        return data if data.startswith(b"PK\6\7") else b""

    def _find_zip64(self, end_at: int) -> tuple[int, int, int, int, int, int, int]:
        locator = self._locator(end_at)
        at = end_at - _END64_LOCATOR.size - _END64.size
        if not locator or _END64_LOCATOR.unpack(locator)[1:] != (0, at, 1):
            raise BadWheelError("the zip64 end record is missing or not where it should be")
        signature, length, _, _, disk, start_disk, here, count, size, offset = _END64.unpack(
            self._read(at, _END64.size)
        )
        if signature != b"PK\6\6" or length != _END64.size - 12:
            raise BadWheelError("the zip64 end record is damaged or has data of its own")
        return at, disk, start_disk, here, count, size, offset

    def _central(self, data: bytes, count: int) -> Iterator[_Central]:
        at = 0
        for _ in range(count):
            if len(data) - at < _CENTRAL.size:
                raise BadWheelError("the central directory of the zip archive ends too early")
            (signature, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment_size, disk, _,
             external, offset) = _CENTRAL.unpack_from(data, at)  # fmt: skip
            name_at = at + _CENTRAL.size
            extra_at = name_at + name_size
            at = extra_at + extra_size + comment_size
            if signature != b"PK\1\2" or at > len(data) or disk or comment_size:
                raise BadWheelError("the central directory of the zip archive is damaged, or an entry has a comment")
            raw_name = data[name_at:extra_at]
            if extra_size or _FULL32 in (packed, size, offset):
                size, packed, offset = _zip64(data[extra_at : extra_at + extra_size], size, packed, offset)
            yield _Central(raw_name, flags, method, crc, packed, size, offset, external >> 16)
        if at != len(data):
            raise BadWheelError("the central directory of the zip archive has bytes that belong to no entry")

    def _local(self, entry: _Central) -> tuple[ZipEntry, int]:
        """The entry, and where the next one must begin, after its local header was compared with the central one."""
        name = _name(entry)
        head_size = _LOCAL.size + len(entry.raw_name)
        head = self._read(entry.local_offset, head_size)
        signature, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(head)
        if signature != b"PK\3\4" or name_size != len(entry.raw_name) or head[_LOCAL.size :] != entry.raw_name:
            raise BadWheelError(f"{name}: the local zip header has another name than the central directory")
        start = entry.local_offset + head_size + extra_size
        if extra_size:
            extra = self._read(entry.local_offset + head_size, extra_size)
            size, packed, _ = _zip64(extra, size, packed, 0)
        said, expected = (crc, packed, size), (entry.crc32, entry.compressed_size, entry.size)
        late = flags & _HAS_DESCRIPTOR and said == (0, 0, 0)
        if (flags, method) != (entry.flags, entry.method) or (said != expected and not late):
            raise BadWheelError(f"{name}: the local zip header and the central directory do not agree")
        _check_limits(name, entry)
        end = start + entry.compressed_size
        if flags & _HAS_DESCRIPTOR:
            end = self._descriptor_end(name, entry, end)
        mode = entry.mode
        return ZipEntry(name, method, entry.crc32, entry.compressed_size, entry.size, start, mode), end

    def _descriptor_end(self, name: str, entry: _Central, at: int) -> int:
        """Where the data descriptor ends: with or without its signature, with sizes of 4 or of 8 bytes."""
        data = os.pread(self._fd, 24, at)
        for form in (_DESCRIPTOR, _DESCRIPTOR64):
            if entry.size > _FULL32 and form is _DESCRIPTOR:
                continue
            expected = form.pack(entry.crc32, entry.compressed_size, entry.size)
            for whole in (b"PK\7\10" + expected, expected):
                if data.startswith(whole) and os.pread(self._fd, 2, at + len(whole)) == b"PK":
                    return at + len(whole)
        raise BadWheelError(f"{name}: the zip data descriptor and the central directory do not agree")


def _text(entry: _Central) -> str:
    return entry.raw_name.decode("utf-8", "backslashreplace")


def _name(entry: _Central) -> str:
    """The name of an entry: UTF-8 where the archive says so, else ASCII (other encodings are ambiguous)."""
    try:
        return entry.raw_name.decode("utf-8" if entry.flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise BadWheelError(f"{_text(entry)}: the name of a zip entry is neither ASCII nor marked as UTF-8") from None


def _check_limits(name: str, entry: _Central) -> None:
    if entry.flags & ~_ALLOWED_FLAGS:
        raise BadWheelError(
            f"{name}: the zip entry is encrypted or uses a feature that is not read (flags {entry.flags:#06x})"
        )
    if entry.method not in (STORED, DEFLATED):
        raise BadWheelError(
            f"{name}: the zip entry is compressed by method {entry.method}; only stored and DEFLATE are read"
        )
    if entry.method == STORED and entry.size != entry.compressed_size:
        raise BadWheelError(f"{name}: the zip entry is stored, and its two sizes differ")
    if entry.size > MAX_RATIO * entry.compressed_size:
        raise BadWheelError(f"{name}: the zip entry claims {entry.size} bytes out of {entry.compressed_size}")


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """(size, compressed size, offset) with those that are full replaced by the ones of the zip64 extra field."""
    values: list[int] | None = None
    at = 0
    while at < len(extra):
        if len(extra) - at < 4:
            raise BadWheelError("a zip extra field is damaged")
        kind, length = unpack_from("<2H", extra, at)
        at += 4 + length
        if at > len(extra) or kind == _UNICODE_PATH_FIELD or (kind == _ZIP64_FIELD and values is not None):
            raise BadWheelError("a zip extra field is damaged, or names the entry anew")
        if kind == _ZIP64_FIELD:
            if length % 8 not in (0, 4):
                raise BadWheelError("a zip64 extra field is damaged")
            values = list(unpack_from(f"<{length // 8}Q", extra, at - length))
    replaced = []
    for value in (size, packed, offset):
        if value == _FULL32 and values:
            replaced.append(values.pop(0))
        elif value == _FULL32 and values is not None:
            raise BadWheelError("a zip64 extra field lacks a size")
        else:
            replaced.append(value)
    return replaced[0], replaced[1], replaced[2]
