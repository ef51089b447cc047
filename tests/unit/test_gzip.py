"""Stored members, as zlib reads them."""

import gzip as reference
import zlib
from struct import unpack

import pytest

from mlenv.layers.gzip import BLOCK, MEMBER_HEADER, StoredMember, trailer


def member(*pieces: bytes) -> bytes:
    out: list[bytes] = []
    stored = StoredMember(out.append)
    for piece in pieces:
        stored.add(piece)
    stored.close()
    return b"".join(out)


def blocks(data: bytes) -> list[tuple[int, int]]:
    """(last, size) of every stored block of a member."""
    found: list[tuple[int, int]] = []
    at = len(MEMBER_HEADER)
    while not found or not found[-1][0]:
        last, size, inverted = unpack("<BHH", data[at : at + 5])
        assert size ^ inverted == 0xFFFF
        found.append((last, size))
        at += 5 + size
    assert len(data) == at + 8
    return found


def test_the_header_is_the_ten_bytes_of_the_recipe() -> None:
    assert MEMBER_HEADER == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


@pytest.mark.parametrize(
    "size", [1, 512, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 1 << 20]
)
def test_full_blocks_and_a_last_one_with_the_rest(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    made = member(data)
    assert reference.decompress(made) == data
    whole = (size - 1) // BLOCK
    assert blocks(made) == [(0, BLOCK)] * whole + [(1, size - whole * BLOCK)]


@pytest.mark.parametrize("step", [1000, BLOCK - 1, BLOCK, BLOCK + 1, 200_000])
def test_the_bytes_do_not_depend_on_how_they_come(step: int) -> None:
    data = bytes(range(256)) * 2000
    assert member(*(data[at : at + step] for at in range(0, len(data), step))) == member(data)


def test_no_bytes_no_member() -> None:
    assert member() == b""


def test_a_closed_member_can_be_followed_by_another() -> None:
    out: list[bytes] = []
    stored = StoredMember(out.append)
    for data in (b"one", b"x" * 100_000, b"two"):
        stored.add(data)
        stored.close()
    assert b"".join(out) == member(b"one") + member(b"x" * 100_000) + member(b"two")
    assert reference.decompress(b"".join(out)) == b"one" + b"x" * 100_000 + b"two"


def test_sizes_count_modulo_two_to_the_32() -> None:
    assert trailer(zlib.crc32(b"a"), (1 << 32) + 5) == zlib.crc32(b"a").to_bytes(4, "little") + b"\5\0\0\0"
