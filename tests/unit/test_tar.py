"""tar headers, as other readers see them."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlenv.layers.entry import Entry, EntryType, Inline, Stored
from mlenv.layers.tar import BLOCK, END_OF_ARCHIVE, MTIME, header, padding

ENTRIES = [
    Entry("folder", EntryType.DIRECTORY, 0o755),
    Entry("folder/file", EntryType.FILE, 0o644, content=Inline(b"content")),
    Entry("folder/link", EntryType.SYMLINK, 0o777, link="file"),
    Entry("folder/program", EntryType.FILE, 0o755, uid=10001, gid=10002, content=Inline(b"x" * 512)),
    Entry("name" * 25, EntryType.FILE, 0o644, content=Inline(b"")),
    Entry("n" * 101, EntryType.FILE, 0o644, content=Inline(b"1")),
    Entry("d" * 99, EntryType.DIRECTORY, 0o755),
    Entry("e" * 100, EntryType.DIRECTORY, 0o755),
    Entry("p" * 155 + "/" + "n" * 100, EntryType.FILE, 0o644, content=Inline(b"2")),
    Entry("p" * 156 + "/" + "n" * 10, EntryType.FILE, 0o644, content=Inline(b"3")),
    Entry("a/" * 60 + "d", EntryType.DIRECTORY, 0o1777),
    Entry("\u00fcml\u00e4ut/\u65e5\u672c", EntryType.FILE, 0o644, content=Inline(b"4")),
    Entry("long-link", EntryType.SYMLINK, 0o777, link="l" * 100),
    Entry("longer-link", EntryType.SYMLINK, 0o777, link="l" * 101),
    Entry("l\u00efnk", EntryType.SYMLINK, 0o777, link="\u00fc" * 80),
    Entry("rich", EntryType.FILE, 0o600, uid=8**7, gid=8**7 - 1, content=Inline(b"5")),
]


def archive() -> bytes:
    out = b""
    for entry in ENTRIES:
        data = entry.content.data if isinstance(entry.content, Inline) else b""
        out += header(entry) + data + padding(len(data))
    return out + END_OF_ARCHIVE


def test_python_reads_back_every_field() -> None:
    types = {EntryType.DIRECTORY: tarfile.DIRTYPE, EntryType.FILE: tarfile.REGTYPE, EntryType.SYMLINK: tarfile.SYMTYPE}
    with tarfile.open(fileobj=io.BytesIO(archive())) as tar:
        members = tar.getmembers()
        assert len(members) == len(ENTRIES)
        for member, entry in zip(members, ENTRIES, strict=True):
            assert (member.name, member.type, member.mode) == (entry.path, types[entry.type], entry.mode)
            assert (member.uid, member.gid, member.linkname) == (entry.uid, entry.gid, entry.link)
            assert (member.mtime, member.uname, member.gname) == (MTIME, "", "")
            if isinstance(entry.content, Inline):
                extracted = tar.extractfile(member)
                assert extracted is not None
                assert extracted.read() == entry.content.data


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_readers_list_and_unpack_it(program: str, require_tool: Callable[[str], Path], tmp_path: Path) -> None:
    tool = require_tool(program)
    (tmp_path / "a.tar").write_bytes(archive())
    (tmp_path / "out").mkdir()
    environ = {"LC_ALL": "C.UTF-8"}
    command: list[str | Path] = [tool, "-x", "-f", tmp_path / "a.tar", "-C", tmp_path / "out", "--no-same-owner"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for entry in ENTRIES:
        path = tmp_path / "out" / entry.path
        if entry.type is EntryType.SYMLINK:
            assert str(path.readlink()) == entry.link
        elif isinstance(entry.content, Inline):
            assert path.read_bytes() == entry.content.data
        else:
            assert path.is_dir()


def test_only_what_ustar_cannot_hold_gets_pax_records() -> None:
    with_pax = {entry.path for entry in ENTRIES if len(header(entry)) > BLOCK}
    assert with_pax == {
        "n" * 101, "e" * 100, "p" * 156 + "/" + "n" * 10, "\u00fcml\u00e4ut/\u65e5\u672c", "longer-link",
        "l\u00efnk", "rich",
    }  # fmt: skip


def test_pax_records_come_in_a_fixed_order_under_a_fixed_name() -> None:
    huge = Entry("\u00fc", EntryType.FILE, 0o644, uid=8**7, gid=8**7, content=Stored(-1, 0, 8**11))
    head = header(huge)
    assert len(head) == 3 * BLOCK
    assert head.startswith(b"././@PaxHeader\0")
    records = b"11 path=\xc3\xbc\n19 size=8589934592\n15 uid=2097152\n15 gid=2097152\n"
    assert head[BLOCK : 2 * BLOCK] == records + padding(len(records))
    assert tarfile.TarInfo.frombuf(head[2 * BLOCK :], "utf-8", "strict").size == 0


@pytest.mark.parametrize("length", [1, 85, 86, 87, 88, 89, 90, 91, 982, 983, 984, 985, 986, 987, 988, 9980, 9990, 9999])
def test_a_pax_record_counts_its_own_digits(length: int) -> None:
    entry = Entry("\u00fc" + "x" * length, EntryType.FILE, 0o644)
    with tarfile.open(fileobj=io.BytesIO(header(entry) + END_OF_ARCHIVE)) as tar:
        assert tar.getnames() == [entry.path]
    record = header(entry)[BLOCK:]
    size = int(record.split(b" ")[0])
    assert record[size - 1 : size] == b"\n"
    assert set(record[size : -len(record) % BLOCK or None][: -BLOCK % BLOCK]) <= {0}


def test_the_largest_size_without_pax() -> None:
    assert len(header(Entry("a", EntryType.FILE, 0o644, content=Stored(-1, 0, 8**11 - 1)))) == BLOCK
    assert len(header(Entry("a", EntryType.FILE, 0o644, content=Stored(-1, 0, 8**11)))) == 3 * BLOCK


def test_padding_fills_the_block() -> None:
    for size in (0, 1, 511, 512, 513, 8**11):
        assert (size + len(padding(size))) % BLOCK == 0
        assert len(padding(size)) < BLOCK
