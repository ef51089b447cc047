"""gzip files made without compressing: members (RFC 1952 section 2.2) around DEFLATE streams that exist already.

Bytes that have no DEFLATE stream go into stored blocks (RFC 1951 section 3.2.4). Everything here is pure; the
normative text is the section "Layers as gzip" of schema/layer-recipe.md.
"""

from collections.abc import Callable
from struct import Struct
from zlib import crc32

MEMBER_HEADER = bytes.fromhex("1f8b08 00 00000000 00 ff")
"""No flags, no time, no name, no extra flags, operating system unknown."""

BLOCK = 65535
"""The most bytes that one stored block can hold."""

_TRAILER = Struct("<LL")
_BLOCK_HEADER = Struct("<BHH")
_FULL = _BLOCK_HEADER.pack(0, BLOCK, 0)


def trailer(crc: int, size: int) -> bytes:
    """The end of a member that inflates to `size` bytes with that CRC-32; the size counts modulo 2^32."""
    return _TRAILER.pack(crc, size & 0xFFFFFFFF)


class StoredMember:
    """A member of stored blocks, written as its bytes come: full blocks, then a last one that holds the rest.

    After `close` the next `add` begins another member. At most one block is held back, because only the end shows
    which block is the last.
    """

    def __init__(self, emit: Callable[[bytes], object]) -> None:
        self._emit = emit
        self._held: list[bytes] = []
        self._held_size = 0
        self._crc = 0
        self._size = 0

    def add(self, data: bytes) -> None:
        """Append to the member's content."""
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size > BLOCK:
            self._write_full_blocks()

    def _write_full_blocks(self) -> None:
        held = memoryview(b"".join(self._held))
        whole = (len(held) - 1) // BLOCK * BLOCK
        if self._size == 0:
            self._emit(MEMBER_HEADER)
        for start in range(0, whole, BLOCK):
            self._emit(_FULL)
            self._emit(bytes(held[start : start + BLOCK]))
        self._crc = crc32(held[:whole], self._crc)
        self._size += whole
        self._held = [bytes(held[whole:])]
        self._held_size = len(held) - whole

    def close(self) -> None:
        """End the member. One that nothing was added to does not exist: it leaves no bytes."""
        if not self._held_size:
            return
        held = b"".join(self._held)
        rest = len(held)
        begin = MEMBER_HEADER if self._size == 0 else b""
        end = trailer(crc32(held, self._crc), self._size + rest)
        self._emit(b"".join((begin, _BLOCK_HEADER.pack(1, rest, rest ^ 0xFFFF), held, end)))
        self._held = []
        self._held_size = self._crc = self._size = 0
