"""Packages become a root file system by rule."""

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pytest
from support.debs import Item, MadeDeb, make_deb

from mlenv.errors import ResolutionError
from mlenv.layers.complete import complete
from mlenv.layers.debian.deb import Deb, open_deb
from mlenv.layers.debian.root import rootfs_entries
from mlenv.layers.entry import Entry, EntryType, Inline, Stored


@pytest.fixture
def spool() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        yield file


def opened(debs: Sequence[MadeDeb], spool: BinaryIO) -> list[Deb]:
    return [open_deb(io.BytesIO(deb.data), f"{deb.name} {deb.version} {deb.architecture}", spool) for deb in debs]


def root(debs: Sequence[MadeDeb], spool: BinaryIO) -> dict[str, Entry]:
    return {entry.path: entry for entry in complete(rootfs_entries(opened(debs, spool)))}


def read(entry: Entry) -> bytes:
    if isinstance(entry.content, Inline):
        return entry.content.data
    assert isinstance(entry.content, Stored)
    return os.pread(entry.content.fd, entry.content.size, entry.content.offset)


def test_usr_is_merged(spool: BinaryIO) -> None:
    first = make_deb("first", [Item("./bin/", mode=0o755), Item("./bin/ls", b"ls"), Item("./lib64/ld.so", link="x")])
    second = make_deb("second", [Item("./usr/bin/", mode=0o755), Item("./usr/bin/env", b"env")])
    files = root([first, second], spool)
    assert read(files["usr/bin/ls"]) == b"ls"
    assert files["usr/lib64/ld.so"].type is EntryType.SYMLINK
    links = {path: entry.link for path, entry in files.items() if "/" not in path and entry.link}
    assert links == {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
    assert (files["var/run"].link, files["var/lock"].link) == ("/run", "/run/lock")


def test_lib64_is_there_only_where_something_lies_in_it(spool: BinaryIO) -> None:
    assert "lib64" not in root([make_deb("first", [Item("./lib/a.so", b"")])], spool)


def test_links_that_a_package_brings_for_the_merge_are_fine(spool: BinaryIO) -> None:
    files = root([make_deb("base-files", [Item("./bin", link="usr/bin"), Item("./lib", link="usr/lib")])], spool)
    assert files["bin"].link == "usr/bin"


def test_a_link_in_place_of_a_merged_folder_is_refused(spool: BinaryIO) -> None:
    debs = [make_deb("bad", [Item("./bin", link="/tmp")]), make_deb("good", [Item("./bin/ls", b"x")])]
    with pytest.raises(ResolutionError, match="usr/bin"):
        root(debs, spool)


def test_the_same_path_in_two_packages(spool: BinaryIO) -> None:
    mine, same = make_deb("mine", [Item("./etc/a", b"1")]), make_deb("same", [Item("./etc/a", b"1")])
    assert read(root([mine, same], spool)["etc/a"]) == b"1"
    other = make_deb("other", [Item("./etc/a", b"2")])
    with pytest.raises(ResolutionError) as caught:
        root([mine, other], spool)
    assert "/etc/a: mine 1.0 amd64 and other 1.0 amd64" in str(caught.value)


@pytest.mark.parametrize("order", [1, -1])
def test_files_of_a_replaced_package_give_way(order: int, spool: BinaryIO) -> None:
    old = make_deb("aaa", [Item("./etc/a", b"old")])
    new = make_deb("zzz", [Item("./etc/a", b"new")], Replaces="aaa (<< 2.0), unrelated")
    assert read(root([old, new][::order], spool)["etc/a"]) == b"new"


def test_only_the_versions_that_are_replaced_give_way(spool: BinaryIO) -> None:
    old = make_deb("aaa", [Item("./etc/a", b"old")], version="2.0")
    new = make_deb("zzz", [Item("./etc/a", b"new")], Replaces="aaa (<< 2.0)")
    with pytest.raises(ResolutionError):
        root([old, new], spool)


def test_a_folder_keeps_what_base_files_gives_it(spool: BinaryIO) -> None:
    debs = [
        make_deb("aaa", [Item("./srv/", mode=0o700)]),
        make_deb("base-files", [Item("./srv/", mode=0o750, gid=50)]),
    ]
    entry = root(debs, spool)["srv"]
    assert (entry.mode, entry.gid) == (0o750, 50)


def test_the_order_of_packages_does_not_matter(spool: BinaryIO) -> None:
    debs = opened([make_deb(name, [Item(f"./usr/{name}", name.encode())]) for name in ("a-a", "b-b", "c-c")], spool)
    assert complete(rootfs_entries(debs)) == complete(rootfs_entries(debs[::-1]))


def test_a_package_twice_is_refused(spool: BinaryIO) -> None:
    with pytest.raises(ResolutionError, match="thing is there twice"):
        root([make_deb("thing"), make_deb("thing", version="2.0")], spool)


def test_dpkg_knows_the_packages(spool: BinaryIO) -> None:
    info = {"conffiles": b"/etc/a\n/etc/gone\n", "md5sums": b"c4ca4238a0b923820dcc509a6f75849b  usr/b\n"}
    items = [Item("./etc/", mode=0o755), Item("./etc/a", b"1"), Item("./lib/c", b"")]
    debs = [make_deb("zzz", architecture="all"), make_deb("libx", items, info=info, Multi_Arch="same")]
    files = root(debs, spool)
    status = read(files["var/lib/dpkg/status"]).decode()
    assert status == (
        "Package: libx\nStatus: install ok installed\nVersion: 1.0\nArchitecture: amd64\n"
        "Maintainer: A <a@example.org>\nMulti-Arch: same\n"
        "Conffiles:\n /etc/a c4ca4238a0b923820dcc509a6f75849b\n"
        "\n"
        "Package: zzz\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\n"
    )
    assert read(files["var/lib/dpkg/info/libx:amd64.list"]) == b"/.\n/etc\n/etc/a\n/lib/c\n"
    assert read(files["var/lib/dpkg/info/libx:amd64.md5sums"]) == info["md5sums"]
    assert read(files["var/lib/dpkg/info/zzz.list"]) == b"/.\n"


def test_what_scripts_would_make_is_made_by_rule(spool: BinaryIO) -> None:
    passwd = b"root:*:0:0:root:/root:/bin/bash\n"
    debs = [
        make_deb("base-files", [Item("./usr/share/base-files/profile", b"PATH"), Item("./etc/nsswitch.conf", b"own")]),
        make_deb("base-passwd", [Item("./usr/share/base-passwd/passwd.master", passwd)]),
        make_deb(
            "ca-certificates",
            [
                Item("./usr/share/ca-certificates/mozilla/B.crt", b"BBB"),
                Item("./usr/share/ca-certificates/mozilla/A.crt", b"AAA\n"),
            ],
        ),
        make_deb("tzdata", [Item("./usr/share/zoneinfo/Etc/UTC", b"TZif")]),
        make_deb("mawk", [Item("./usr/bin/mawk", b"", mode=0o755)]),
        make_deb("libblas3", [Item("./usr/lib/x86_64-linux-gnu/blas/libblas.so.3", b"slow")]),
        make_deb("libopenblas0", [Item("./usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", b"fast")]),
    ]
    files = root(debs, spool)
    assert read(files["etc/ssl/certs/ca-certificates.crt"]) == b"AAA\nBBB\n"
    assert files["usr/lib/ssl/cert.pem"].link == "/etc/ssl/certs/ca-certificates.crt"
    assert read(files["etc/passwd"]) == passwd
    assert read(files["etc/group"]) == b"root:*:0:\nnogroup:*:65534:\n"
    assert read(files["etc/profile"]) == b"PATH"
    assert read(files["etc/nsswitch.conf"]) == b"own"
    assert files["etc/localtime"].link == "/usr/share/zoneinfo/Etc/UTC"
    assert files["usr/bin/awk"].link == "mawk"
    assert files["usr/lib/x86_64-linux-gnu/libblas.so.3"].link == "openblas-pthread/libblas.so.3"
    modes = {path: files[path].mode for path in ("tmp", "var/tmp", "run/lock", "root", "proc", "dev", "sys", "run")}
    assert modes == {
        "tmp": 0o1777, "var/tmp": 0o1777, "run/lock": 0o1777, "root": 0o700,
        "proc": 0o755, "dev": 0o755, "sys": 0o755, "run": 0o755,
    }  # fmt: skip
    assert not {"etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/ld.so.cache", "etc/shadow"} & set(files)
