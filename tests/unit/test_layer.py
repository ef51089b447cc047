"""Layers, read back by programs of others."""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pytest
from support.wheels import squeezed

from mlenv.errors import RefusedError
from mlenv.layers.entry import Content, Deflated, Entry, EntryType, FileContent, Inline, Stored
from mlenv.layers.gzip import MEMBER_HEADER
from mlenv.layers.layer import complete, measure_layer, write_layer
from mlenv.model.digest import Digest

TEXT = b"import this\n" * 1000
RANDOM = os.urandom(3 << 20)
stream_of = cache(squeezed)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "spool").open("w+b") as file:
        yield file


def deflated(spool: BinaryIO, data: bytes) -> Deflated:
    stream = stream_of(data)
    offset = spool.seek(0, os.SEEK_END)
    spool.write(stream)
    spool.flush()
    record = ("sha256", hashlib.sha256(data).digest())
    return Deflated(spool.fileno(), offset, len(stream), len(data), zlib.crc32(data), record)


def file(path: str, content: Content) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=content, origin="a test")


@pytest.fixture
def entries(spool: BinaryIO) -> list[Entry]:
    big = deflated(spool, RANDOM)
    return complete(
        [
            file("opt/a.py", deflated(spool, TEXT)),
            file("opt/big.so", big),
            file("opt/block", deflated(spool, b"x" * 512)),
            file("opt/empty", deflated(spool, b"")),
            file("opt/inline", Inline(b"y" * 200_000)),
            file("opt/stored", Stored(spool.fileno(), big.offset, 100_000)),
            file("opt/zeros", deflated(spool, bytes(9 << 20))),
            Entry("opt/link", EntryType.SYMLINK, 0o777, link="a.py"),
        ]
    )


def made(entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    written = write_layer(entries, out.write)
    layer = out.getvalue()
    assert (written.digest, written.size) == (Digest.of(layer), len(layer))
    return layer


def test_measuring_gives_the_same_bytes_and_what_is_inside(entries: list[Entry]) -> None:
    out, lines = io.BytesIO(), list[str]()
    measured = measure_layer(entries, out.write, lines.append)
    layer = made(entries)
    assert out.getvalue() == layer
    tar = gzip.decompress(layer)
    assert (measured.digest, measured.size) == (Digest.of(layer), len(layer))
    assert (measured.diff_id, measured.diff_size) == (Digest.of(tar), len(tar))
    assert measured.mtree == Digest.of("".join(lines).encode())
    assert measure_layer(entries) == measured
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert [member.name for member in archive] == [entry.path for entry in entries]
        assert archive.extractfile("opt/a.py").read() == TEXT  # type: ignore[union-attr]
        assert archive.extractfile("opt/zeros").read() == bytes(9 << 20)  # type: ignore[union-attr]


@pytest.mark.parametrize("program", ["gzip", "pigz", "igzip"])
def test_other_programs_unpack_the_same_tar(
    program: str, require_tool: Callable[[str], Path], entries: list[Entry]
) -> None:
    layer = made(entries)
    done = subprocess.run([require_tool(program), "-dc"], input=layer, capture_output=True, check=True)
    assert Digest.of(done.stdout) == measure_layer(entries).diff_id


def test_deflate_streams_are_copied(entries: list[Entry], spool: BinaryIO) -> None:
    layer = made(entries)
    for entry in entries:
        if isinstance(entry.content, Deflated) and entry.content.size:
            spool.seek(entry.content.offset)
            stream = spool.read(entry.content.compressed_size)
            assert MEMBER_HEADER + stream in layer


def test_a_reader_that_stops_after_a_member_fails_loudly(entries: list[Entry]) -> None:
    with (
        pytest.raises(tarfile.ReadError, match="unexpected end of data"),
        tarfile.open(fileobj=io.BytesIO(made(entries)), mode="r|gz") as archive,
    ):
        archive.getmembers()


def test_no_member_ends_where_an_entry_ends_unless_a_header_or_zeros_follow(entries: list[Entry]) -> None:
    data, ends = made(entries), []
    tar = b""
    while data:
        stream = zlib.decompressobj(wbits=31)
        tar += stream.decompress(data)
        assert stream.eof
        data = stream.unused_data
        ends.append(len(tar))
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
    inside = [(member.offset_data, member.offset_data + member.size) for member in members if member.size]
    for end in ends[:-1]:
        assert any(start <= end <= stop for start, stop in inside)
        if end % 512 == 0 and any(end == stop for _, stop in inside):
            assert tar[end + 257 : end + 262] == b"ustar" or not any(tar[end : end + 1024])


def test_an_empty_layer_is_an_empty_tar() -> None:
    assert gzip.decompress(made([])) == bytes(1024)
    assert measure_layer([]).diff_size == 1024


def test_writing_hands_on_about_a_mebibyte_at_a_time(entries: list[Entry]) -> None:
    sizes: list[int] = []
    write_layer(entries, lambda data: sizes.append(len(data)))
    assert sum(sizes) / len(sizes) >= 1 << 18  # a large piece is handed on alone, after what was gathered before it
    assert max(sizes) <= 3 << 20


def test_a_file_that_ends_too_early(spool: BinaryIO) -> None:
    content = deflated(spool, os.urandom(100_000))
    os.ftruncate(spool.fileno(), 50_000)
    for make in (measure_layer, made):
        with pytest.raises(RefusedError, match="ended before byte"):
            make([file("a", content)])


def late(path: Path) -> FileContent:
    return FileContent(path, path.stat().st_size, Digest.of(path.read_bytes()))


def test_a_file_that_is_opened_late(tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(TEXT)
    assert made([file("app.py", late(path))]) == made([file("app.py", Inline(TEXT))])


@pytest.mark.parametrize("change", [b"x" * 12_000, TEXT + b"x", TEXT[:-1], b"", None])
def test_a_file_that_changed_between_hash_and_use(change: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "app.py"
    path.write_bytes(TEXT)
    content = late(path)
    if change is None:
        path.rename(tmp_path / "moved")
        path.symlink_to("moved")
    else:
        path.write_bytes(change)
    for make in (measure_layer, made):
        with pytest.raises(RefusedError, match="was changed while mlenv worked"):
            make([file("app.py", content)])
