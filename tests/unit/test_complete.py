"""What becomes of entries that many packages bring."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.wheels import squeezed, stored_deflate

from mlenv.errors import RefusedError, ResolutionError
from mlenv.layers.complete import complete
from mlenv.layers.entry import Content, Deflated, Entry, EntryType, Inline, Stored


def file(
    path: str, data: bytes = b"x", origin: str = "wheel one 1", *, mode: int = 0o644, uid: int = 0, gid: int = 0
) -> Entry:
    return Entry(path, EntryType.FILE, mode, uid, gid, content=Inline(data), origin=origin)


def test_bytewise_order_with_every_parent_before_its_content() -> None:
    entries = complete([file("a/b/c"), file("a.b"), file("a/b-c"), file("a/\u00e9"), file("Z")])
    assert [entry.path for entry in entries] == ["Z", "a", "a.b", "a/b", "a/b-c", "a/b/c", "a/\u00e9"]
    assert [entry.path.encode() for entry in entries] == sorted(entry.path.encode() for entry in entries)


def test_parents_that_nobody_brings() -> None:
    entries = {
        entry.path: entry for entry in complete([file("tmp/a"), file("var/tmp/a"), file("root/a"), file("x/tmp/a")])
    }
    modes = {path: oct(entry.mode) for path, entry in entries.items() if entry.type is EntryType.DIRECTORY}
    assert modes == {
        "tmp": "0o1777", "var": "0o755", "var/tmp": "0o1777", "root": "0o700", "x": "0o755", "x/tmp": "0o755",
    }  # fmt: skip
    assert all((entry.uid, entry.gid) == (0, 0) for entry in entries.values())


def test_a_parent_that_somebody_brings_stays_as_it_is() -> None:
    folder = Entry("data", EntryType.DIRECTORY, 0o2750, uid=7)
    assert complete([file("data/a"), folder])[0] is folder


def test_the_first_of_several_that_agree_stays() -> None:
    first, second = file("a"), file("a", origin="wheel two 1")
    assert complete([first, second]) == [first]
    assert complete([second, first]) == [second]


def test_bytes_are_compared_however_they_are_kept(tmp_path: Path) -> None:
    data = b"the same bytes\n" * 100
    streams = [data, squeezed(data), stored_deflate(data), squeezed(data[::-1]), squeezed(data)[:-1]]
    (tmp_path / "spool").write_bytes(b"".join(streams))
    with (tmp_path / "spool").open("rb") as spool:
        fd, offset, contents = spool.fileno(), 0, list[Content]()
        for stream in streams:
            contents.append(Deflated(fd, offset, len(stream), len(data), 0))
            offset += len(stream)
        contents[0] = Stored(fd, 0, len(data))
        same = [Inline(data), *contents[:3]]
        for first in same:
            for second in same:
                pair = [Entry("a", EntryType.FILE, 0o644, content=content) for content in (first, second)]
                assert complete(pair) == pair[:1]
            other = Entry("a", EntryType.FILE, 0o644, content=contents[3])
            with pytest.raises(ResolutionError):
                complete([Entry("a", EntryType.FILE, 0o644, content=first), other])
            with pytest.raises(RefusedError, match="does not end where the entry does"):
                complete(
                    [
                        Entry("a", EntryType.FILE, 0o644, content=first),
                        Entry("a", EntryType.FILE, 0o644, content=contents[4]),
                    ]
                )


@pytest.mark.parametrize(
    "other",
    [
        file("a", b"y"),
        file("a", b"xx"),
        file("a", mode=0o755),
        file("a", uid=1),
        file("a", gid=1),
        Entry("a", EntryType.SYMLINK, 0o777, link="b"),
        Entry("a", EntryType.DIRECTORY, 0o755),
        Entry("a", EntryType.FILE, 0o644),
    ],
)
def test_two_that_do_not_agree_are_both_named(other: Entry) -> None:
    with pytest.raises(ResolutionError) as caught:
        complete([file("a"), replace(other, origin="wheel two 2")])
    (problem,) = caught.value.problems
    assert "wheel one 1" in problem.message
    assert "wheel two 2" in problem.message
    assert problem.hint


@pytest.mark.parametrize("kind", [EntryType.FILE, EntryType.SYMLINK])
def test_a_file_or_link_used_as_a_directory(kind: EntryType) -> None:
    with pytest.raises(ResolutionError, match="needed as a directory"):
        complete([Entry("a", kind, 0o777, link="b"), file("a/b/c")])


@pytest.mark.parametrize(("first", "second"), [("a/B", "a/b"), ("\u00e9", "e\u0301"), ("A/x", "a/y"), ("\u017f", "S")])
def test_paths_that_are_one_file_elsewhere(first: str, second: str) -> None:
    with pytest.raises(ResolutionError, match="where case does not count"):
        complete([file(first), file(second)])
    assert len(complete([file(first), file(second)], fold=False)) >= 2


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "./a", "a/.", "..", "a/../b", "a\nb", "a\x00", "a\x7f", "a\x85", "a\udcff"]
)
def test_names_that_no_file_can_have(path: str) -> None:
    with pytest.raises(ResolutionError, match="cannot have the name"):
        complete([file(path)])
