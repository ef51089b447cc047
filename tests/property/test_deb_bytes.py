"""Whatever the bytes of a .deb are: entries, or one RefusedError. Nothing else, and nothing outside its folder."""

import io
import tempfile

from hypothesis import given
from hypothesis import strategies as st
from support.debs import COMPRESS, Item, ar, make_deb, tar

from mlenv.errors import RefusedError
from mlenv.layers.debian.deb import open_deb

ITEMS = [
    Item("./usr/", mode=0o755),
    Item("./usr/bin/a", b"content", mode=0o4755),
    Item("./usr/bin/b", kind=b"1", link="./usr/bin/a"),
    Item("./usr/link", link="../etc"),
    Item("./" + "long/" * 40 + "name", b"x"),
]
WHOLE = {name: make_deb("thing", ITEMS, compression=name).data for name in COMPRESS}
TAR = tar(ITEMS)
CONTROL = tar([Item("./control", b"Package: thing\nVersion: 1.0\nArchitecture: amd64\n")])


def survives(data: bytes) -> None:
    with tempfile.TemporaryFile() as spool:
        try:
            deb = open_deb(io.BytesIO(data), "thing 1.0 amd64", spool)
        except RefusedError as error:
            assert "\n" not in error.problems[0].message  # noqa: PT017 -- both outcomes are right
            return
        for entry in deb.entries():
            assert not {"", ".", ".."} & set(entry.path.split("/"))
            assert entry.mode == entry.mode & 0o1777


def changed(data: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    out = bytearray(data)
    for place, piece in changes:
        start = place % (len(out) + 1)
        out[start : start + len(piece)] = piece
    return bytes(out)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)


@given(st.sampled_from(sorted(WHOLE)), CHANGES)
def test_changed_bytes(compression: str, changes: list[tuple[int, bytes]]) -> None:
    survives(changed(WHOLE[compression], changes))


@given(CHANGES, st.integers(0, len(TAR)))
def test_changed_tars(changes: list[tuple[int, bytes]], length: int) -> None:
    data = changed(TAR, changes)
    for tar_ in (data, data[:length]):
        survives(ar([("debian-binary", b"2.0\n"), ("control.tar", CONTROL), ("data.tar", tar_)]))


NAMES = st.text(st.sampled_from("ab./\\é\n\0 "), min_size=1, max_size=12)


@given(st.lists(st.builds(Item, path=NAMES, kind=st.sampled_from([b"0", b"1", b"2", b"5"]), link=NAMES), max_size=4))
def test_any_names(items: list[Item]) -> None:
    survives(ar([("debian-binary", b"2.0\n"), ("control.tar", CONTROL), ("data.tar", tar(items))]))


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    survives(data)
    survives(b"!<arch>\n" + data)
