"""A .deb becomes entries, or is refused with one line that says why."""

import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest
from support.debs import Item, ar, make_deb, tar

from mlenv.errors import RefusedError
from mlenv.layers.debian.deb import Deb, open_deb
from mlenv.layers.entry import Entry, EntryType, Stored


@pytest.fixture
def spool() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        yield file


def opened(data: bytes, spool: BinaryIO) -> Deb:
    return open_deb(io.BytesIO(data), "thing 1.0 amd64", spool)


def raw(data_tar: bytes, *, control: bytes = b"Package: thing\nVersion: 1.0\nArchitecture: amd64\n") -> bytes:
    members = [("debian-binary", b"2.0\n"), ("control.tar", tar([Item("./control", control)])), ("data.tar", data_tar)]
    return ar(members)


def read(entry: Entry) -> bytes:
    assert isinstance(entry.content, Stored)
    return os.pread(entry.content.fd, entry.content.size, entry.content.offset)


def refusal(data: bytes, spool: BinaryIO) -> str:
    with pytest.raises(RefusedError) as caught:
        opened(data, spool)
    (problem,) = caught.value.problems
    assert problem.where == "Debian package thing 1.0 amd64"
    assert problem.hint
    assert "\n" not in problem.message
    return problem.message


@pytest.mark.parametrize("compression", ["", ".gz", ".xz", ".zst"])
def test_every_compression_gives_the_same_entries(compression: str, spool: BinaryIO) -> None:
    items = [Item("./usr/", mode=0o755), Item("./usr/file", b"content" * 300_000), Item("./usr/empty")]
    deb = opened(make_deb("thing", items, compression=compression).data, spool)
    folder, file, empty = deb.entries()
    assert (folder.path, folder.type, folder.mode) == ("usr", EntryType.DIRECTORY, 0o755)
    assert (file.path, file.mode, read(file)) == ("usr/file", 0o644, b"content" * 300_000)
    assert read(empty) == b""
    assert (deb.name, deb.version, deb.architecture) == ("thing", "1.0", "amd64")


def test_packages_share_a_spool(spool: BinaryIO) -> None:
    first = opened(make_deb("thing", [Item("./a", b"first")]).data, spool)
    second = opened(make_deb("other", [Item("./a", b"second")]).data, spool)
    assert [read(deb.entries()[0]) for deb in (first, second)] == [b"first", b"second"]


def test_setuid_and_setgid_go_and_owners_stay(spool: BinaryIO) -> None:
    items = [
        Item("./sbin/", mode=0o2775, gid=50),
        Item("./sbin/su", b"x", mode=0o6755, gid=42),
        Item("./tmp/", mode=0o1777),
    ]
    folder, file, tmp = opened(make_deb("thing", items).data, spool).entries()
    assert (folder.mode, folder.gid) == (0o775, 50)
    assert (file.mode, file.gid) == (0o755, 42)
    assert tmp.mode == 0o1777


def test_a_hard_link_is_a_copy(spool: BinaryIO) -> None:
    items = [Item("./a", b"same", mode=0o755), Item("./b", kind=b"1", link="./a")]
    first, second = opened(make_deb("thing", items).data, spool).entries()
    assert (second.type, second.mode, read(second)) == (EntryType.FILE, 0o755, b"same")
    assert first.content == second.content


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(style: int, spool: BinaryIO) -> None:
    name = "usr/" + "/".join(["long" * 20] * 4) + "/naïve"
    items = [Item(f"./{name}", b"x"), Item("./link", link=f"/{name}")]
    file, link = opened(raw(tar(items, style)), spool).entries()
    assert file.path == name
    assert link.link == f"/{name}"


def test_control_files_for_dpkg_are_kept_and_scripts_are_not(spool: BinaryIO) -> None:
    info = {"conffiles": b"/etc/a\n", "md5sums": b"0  etc/a\n", "postinst": b"#!/bin/sh\nrm -rf /\n"}
    deb = opened(make_deb("thing", info=info).data, spool)
    assert sorted(deb.info) == ["conffiles", "md5sums"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Item("./../etc/passwd", b"x"), "leads out of its folder"),
        (Item("/etc/passwd", b"x"), "absolute"),
        (Item("./a/../../b", b"x"), "leads out"),
        (Item("./a//b", b"x"), "leads out"),
        (Item("./link", link="../../outside"), "leads out of the image"),
        (Item("./a/link", link="/../outside"), "leads out of the image"),
        (Item("./null", kind=b"3"), "a character device"),
        (Item("./disk", kind=b"4"), "a block device"),
        (Item("./pipe", kind=b"6"), "a FIFO"),
        (Item("./sparse", kind=b"S"), "a sparse file"),
        (Item("./strange", kind=b"Z"), "unknown type"),
        (Item("./hard", kind=b"1", link="./not-there"), "no file that came before it"),
        (Item("./hard", kind=b"1", link="../../etc/shadow"), "no file that came before it"),
    ],
)
def test_what_no_image_may_hold_is_refused(item: Item, message: str, spool: BinaryIO) -> None:
    assert message in refusal(raw(tar([item])), spool)


def test_an_owner_beyond_a_tar_header_is_refused(spool: BinaryIO) -> None:
    assert refusal(raw(tar([Item("./a", uid=1 << 40)])), spool) == f"an owner with the number {1 << 40}"


def test_a_path_twice_is_refused(spool: BinaryIO) -> None:
    assert refusal(raw(tar([Item("./a", b"1"), Item("./a", b"2")])), spool) == "a is there twice"


def test_extended_attributes_are_refused(spool: BinaryIO) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("./a")
        info.pax_headers = {"SCHILY.xattr.security.capability": "x"}
        archive.addfile(info)
    assert "SCHILY.xattr.security.capability" in refusal(raw(buffer.getvalue()), spool)


def test_a_long_name_bomb_is_refused(spool: BinaryIO) -> None:
    assert "an extended header of" in refusal(raw(tar([Item("./" + "a/" * 4000 + "b", b"x")])), spool)


@pytest.mark.parametrize("compression", ["", ".gz", ".xz", ".zst"])
def test_a_truncated_package_is_refused(compression: str, spool: BinaryIO) -> None:
    data = make_deb("thing", [Item("./a", os.urandom(5000))], compression=compression).data
    for length in (0, 5, 40, 100, len(data) // 2, len(data) - 600):
        refusal(data[:length], spool)


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
def test_a_member_that_ends_too_early_is_refused(compression: str, spool: BinaryIO) -> None:
    whole = make_deb("thing", [Item("./a", os.urandom(5000))], compression=compression).data
    start = whole.index(b"data.tar") + 60
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar([Item("./control", b"Package: thing\nVersion: 1\nArchitecture: all\n")])),
        (f"data.tar{compression}", whole[start : start + 3000]),
    ]
    assert refusal(ar(members), spool)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "does not begin with debian-binary"),
        ([("debian-binary", b"1.0\n")], "not a Debian package of format 2"),
        ([("debian-binary", b"2.0\n")], "holds control.tar and data.tar"),
        ([("debian-binary", b"2.0\n"), ("data.tar", b""), ("control.tar", b"")], "is not control.tar"),
        ([("debian-binary", b"2.0\n"), ("control.tar.lzma", b""), ("data.tar", b"")], "is not control.tar"),
        ([("debian-binary", b"2.0\n")] * 40, "more than 16 members"),
    ],
)
def test_another_shape_of_archive_is_refused(members: list[tuple[str, bytes]], message: str, spool: BinaryIO) -> None:
    assert message in refusal(ar(members), spool)


def test_signatures_of_others_are_passed_over(spool: BinaryIO) -> None:
    data = raw(tar([Item("./a", b"x")])) + ar([("_gpgorigin", b"signature")]).removeprefix(b"!<arch>\n")
    assert len(opened(data, spool).entries()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tar_: tar_[:148] + b"0000000\0" + tar_[156:], "wrong checksum"),
        (lambda tar_: tar_[:512], "cut off"),
        (lambda tar_: tar_[:1024], "cut off"),
        (lambda tar_: tar_ + b"more", "data after the end"),
        (lambda tar_: tar_[:1024] + bytes(1024) + tar_[:1024], "data after the end"),
    ],
)
def test_a_broken_tar_is_refused(change: Callable[[bytes], bytes], message: str, spool: BinaryIO) -> None:
    assert message in refusal(raw(change(tar([Item("./a", b"x")]))), spool)


@pytest.mark.parametrize(
    "control",
    [
        b"",
        b"Package: thing\n",
        b"Package: ../thing\nVersion: 1\nArchitecture: all\n",
        b"Package: thing\nVersion: 1 2\nArchitecture: all\n",
        b"Package: thing\nPackage: thing\nVersion: 1\nArchitecture: all\n",
        b"Package: thing\n\nPackage: other\nVersion: 1\nArchitecture: all\n",
        b"\xff\xfe",
    ],
)
def test_a_broken_control_file_is_refused(control: bytes, spool: BinaryIO) -> None:
    assert refusal(raw(tar([]), control=control), spool)


def test_no_control_file_is_refused(spool: BinaryIO) -> None:
    members = [("debian-binary", b"2.0\n"), ("control.tar", tar([])), ("data.tar", tar([]))]
    assert refusal(ar(members), spool) == "the package has no control file"
