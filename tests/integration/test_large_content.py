"""Content that is large, or claims to be: memory stays flat, and bombs are refused."""

import io
import tempfile
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from support.debs import Item, make_deb

from mlenv.errors import RefusedError
from mlenv.layers.debian.deb import open_deb
from mlenv.layers.entry import Content, Deflated, Entry, EntryType, Stored
from mlenv.layers.layer import measure_layer, write_layer


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "spool").open("w+b") as file:
        yield file


def file(path: str, content: Content) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=content, origin="a test")


def test_memory_stays_flat_however_large_an_entry(spool: BinaryIO) -> None:
    size = 256 << 20
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15)
    crc, block = 0, bytes(1 << 20)
    for _ in range(size >> 20):
        spool.write(compressor.compress(block))
        crc = zlib.crc32(block, crc)
    spool.write(compressor.flush())
    spool.flush()
    content = Deflated(spool.fileno(), 0, spool.tell(), size, crc)
    sparse = Path(spool.name).with_name("sparse")
    with sparse.open("w+b") as stored:
        stored.truncate(size)
        entries = [file("a", content), file("b", Stored(stored.fileno(), 0, size))]
        tracemalloc.start()
        try:
            measure_layer(entries)
            write_layer(entries, len)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


def test_a_decompression_bomb_is_refused() -> None:
    bomb = make_deb("thing", [Item("./zeros", bytes(80 << 20))])
    assert len(bomb.data) < 100_000
    with tempfile.TemporaryFile() as unpacked, pytest.raises(RefusedError, match="a decompression bomb"):
        open_deb(io.BytesIO(bomb.data), "thing 1.0 amd64", unpacked)
