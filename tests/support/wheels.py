"""Wheels made byte by byte, good ones and bad ones, whose bytes do not depend on the zlib at hand."""

import hashlib
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import pack
from typing import BinaryIO

STORED, DEFLATED = 0, 8
BLOCK = 65535


@dataclass(frozen=True)
class Part:
    """One entry of a zip archive. What is None follows from `data`; `local` replaces fields of the local header."""

    name: str
    data: bytes = b""
    method: int = DEFLATED
    mode: int = 0o100644
    stream: bytes | None = None
    crc32: int | None = None
    size: int | None = None
    flags: int = 0
    extra: bytes = b""
    comment: bytes = b""
    before: bytes = b""
    raw_name: bytes | None = None
    listed: bool = True
    local: dict[str, int | bytes] = field(default_factory=dict)


def stored_deflate(data: bytes) -> bytes:
    """A DEFLATE stream of stored blocks, the same from every program."""
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)] or [b""]
    return b"".join(pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks)


def squeezed(data: bytes) -> bytes:
    """A DEFLATE stream as real wheels have it; its bytes depend on the zlib at hand."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def zip_bytes(
    parts: Iterable[Part], *, first: bytes = b"", gap: bytes = b"", comment: bytes = b"", last: bytes = b""
) -> bytes:
    """An archive: `first`, entries, `gap`, central directory, end record with `comment`, `last`."""
    body, central = bytearray(first), bytearray()
    count = 0
    for part in parts:
        body += part.before
        offset = len(body)
        crc, packed, size, raw = _numbers(part)
        name = part.raw_name if part.raw_name is not None else part.name.encode()
        flags = part.flags | (0 if name.isascii() else 1 << 11)
        zeros = flags & 8
        own: dict[str, int | bytes] = {
            "flags": flags, "method": part.method, "crc": 0 if zeros else crc, "packed": 0 if zeros else packed,
            "size": 0 if zeros else size, "name": name, "extra": part.extra,
        }  # fmt: skip
        own |= part.local
        own_name, own_extra = bytes(own["name"]), bytes(own["extra"])
        body += pack("<4s5H3L2H", b"PK\3\4", 20, own["flags"], own["method"], 0, 33, own["crc"], own["packed"],
                     own["size"], len(own_name), len(own_extra)) + own_name + own_extra + raw  # fmt: skip
        if zeros:
            body += b"PK\7\10" + pack("<3L", crc, packed, size)
        if part.listed:
            count += 1
            central += pack("<4s6H3L5H2L", b"PK\1\2", 0x314, 20, flags, part.method, 0, 33, crc, packed, size,
                            len(name), len(part.extra), len(part.comment), 0, 0, part.mode << 16, offset)  # fmt: skip
            central += name + part.extra + part.comment
    start = len(body) + len(gap)
    end = pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(central), start, len(comment))
    return bytes(body) + gap + bytes(central) + end + comment + last


def _numbers(part: Part) -> tuple[int, int, int, bytes]:
    raw = part.stream
    if raw is None:
        raw = stored_deflate(part.data) if part.method == DEFLATED else part.data
    crc = zlib.crc32(part.data) if part.crc32 is None else part.crc32
    return crc, len(raw), len(part.data) if part.size is None else part.size, raw


def hash_text(data: bytes, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm}={urlsafe_b64encode(digest).decode().rstrip('=')}"


def record_of(parts: Iterable[Part], dist_info: str) -> str:
    """RECORD as a build tool writes it."""
    rows = [f"{_quoted(p.name)},{hash_text(p.data)},{len(p.data)}\n" for p in parts if not p.name.endswith("/")]
    return "".join(rows) + f"{dist_info}/RECORD,,\n"


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name


def wheel_parts(
    files: Sequence[Part],
    *,
    name: str = "demo",
    version: str = "1.0",
    metadata: str | None = None,
    wheel: str | None = None,
    entry_points: str | None = None,
    record: str | None = None,
) -> list[Part]:
    """The files of a wheel, with its metadata after them."""
    dist_info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" if metadata is None else metadata
    wheel = (
        "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n" if wheel is None else wheel
    )
    parts = [
        *files,
        Part(f"{dist_info}/METADATA", metadata.encode()),
        Part(f"{dist_info}/WHEEL", wheel.encode()),
    ]
    if entry_points is not None:
        parts.append(Part(f"{dist_info}/entry_points.txt", entry_points.encode()))
    record = record_of(parts, dist_info) if record is None else record
    return [*parts, Part(f"{dist_info}/RECORD", record.encode())]


def wheel_file(data: bytes | Sequence[Part], folder: Path, filename: str = "demo-1.0-py3-none-any.whl") -> BinaryIO:
    """The wheel as an open file, which the caller closes."""
    path = folder / filename
    path.write_bytes(data if isinstance(data, bytes) else zip_bytes(data))
    return path.open("rb")


def changed(parts: Sequence[Part], name: str, **fields: object) -> list[Part]:
    """The same parts with some fields of one of them replaced."""
    return [replace(part, **fields) if part.name == name else part for part in parts]  # type: ignore[arg-type]
