"""What holds for every layer, whatever is in it."""

import gzip
import hashlib
import io
import tarfile
import tempfile
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import IO, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from support.wheels import Part, wheel_parts, zip_bytes

from mlenv.errors import RefusedError
from mlenv.layers.entry import Deflated, Entry, EntryType, Inline, Stored
from mlenv.layers.inflate import ZLIB, fastest
from mlenv.layers.layer import complete, measure_layer, write_layer
from mlenv.layers.wheels.wheel import Venv, open_wheel

# Characters of one to four bytes; unlike in case and normalisation, so that no two paths are one file elsewhere.
_NAMES = st.text("abcxyz019._- \u00e9\u65e5\U0001f40d", min_size=1, max_size=70).filter(
    lambda name: name not in {".", ".."}
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=5).map("/".join)
_DATA = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=40), st.integers(1, 5000)),
)


def _deflated(spool: IO[bytes], data: bytes, level: int) -> Deflated:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    stream = compressor.compress(data) + compressor.flush()
    offset = spool.tell()
    spool.write(stream)
    return Deflated(
        spool.fileno(), offset, len(stream), len(data), zlib.crc32(data), ("sha512", hashlib.sha512(data).digest())
    )


class _Made(NamedTuple):
    """An entry, and how the content of a file is kept."""

    entry: Entry
    kind: str
    data: bytes
    level: int


@st.composite
def _layers(draw: st.DrawFn) -> list[_Made]:
    made: dict[str, _Made] = {}
    for path in draw(st.lists(_PATHS, max_size=12, unique=True)):
        parents = {path.rsplit("/", count)[0] for count in range(1, path.count("/") + 1)}
        if parents & made.keys() or any(other.startswith(f"{path}/") for other in made):
            continue
        kind, mode = (
            draw(st.sampled_from(["deflated", "stored", "inline", "link", "folder"])),
            draw(st.integers(0, 0o777)),
        )
        if kind == "link":
            made[path] = _Made(Entry(path, EntryType.SYMLINK, 0o777, link=draw(_PATHS)), kind, b"", 0)
        elif kind == "folder":
            made[path] = _Made(Entry(path, EntryType.DIRECTORY, mode), kind, b"", 0)
        else:
            entry = Entry(path, EntryType.FILE, mode, draw(st.integers(0, 1 << 31)), 7)
            made[path] = _Made(entry, kind, draw(_DATA), draw(st.integers(0, 9)))
    return draw(st.permutations(list(made.values())))


def _entries(layer: list[_Made], spool: IO[bytes]) -> list[Entry]:
    entries = []
    for entry, kind, data, level in layer:
        content: Deflated | Stored | Inline | None = None
        if kind == "inline":
            content = Inline(data)
        elif kind == "deflated":
            content = _deflated(spool, data, level)
        elif kind == "stored":
            content = Stored(spool.fileno(), spool.tell(), len(data), zlib.crc32(data))
            spool.write(data)
        entries.append(replace(entry, content=content))
    spool.flush()
    return complete(entries, fold=False)


@given(_layers())
@settings(max_examples=150, deadline=None)
def test_writing_and_measuring_give_the_same_bytes_and_python_reads_them_back(layer: list[_Made]) -> None:
    with tempfile.TemporaryFile() as spool:
        entries = _entries(layer, spool)
        written, measured = io.BytesIO(), io.BytesIO()
        digest = write_layer(entries, written.write)
        by_zlib = measure_layer(entries, measured.write, inflater=ZLIB)
        assert written.getvalue() == measured.getvalue()
        assert (digest.digest, digest.size) == (by_zlib.digest, by_zlib.size)
        assert by_zlib == measure_layer(entries, inflater=fastest())
    contents = {entry.path: data for entry, _, data, _ in layer}
    tar = gzip.decompress(written.getvalue())
    assert (by_zlib.diff_id.hex, by_zlib.diff_size) == (hashlib.sha256(tar).hexdigest(), len(tar))
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
        assert [(m.name, m.mode, m.uid, m.gid, m.linkname) for m in members] == [
            (e.path, e.mode, e.uid, e.gid, e.link) for e in entries
        ]
        for member in members:
            if member.isfile():
                extracted = archive.extractfile(member)
                assert extracted is not None
                assert extracted.read() == contents[member.name]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_stream_is_refused_or_harmless(data: st.DataObject) -> None:
    """One byte of a DEFLATE stream changed: refused, unless what it inflates to is the same."""
    content = data.draw(st.binary(min_size=1, max_size=300))
    with tempfile.TemporaryFile() as spool:
        good = _deflated(spool, content, data.draw(st.integers(0, 9)))
        at = data.draw(st.integers(0, good.compressed_size - 1))
        spool.seek(at)
        old = spool.read(1)[0]
        spool.seek(at)
        spool.write(bytes([old ^ data.draw(st.integers(1, 255))]))
        spool.flush()
        for inflater in (ZLIB, fastest()):
            layer = io.BytesIO()
            try:
                measure_layer([Entry("a", EntryType.FILE, 0o644, content=good)], layer.write, inflater=inflater)
            except RefusedError:
                continue
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.getvalue()))) as archive:
                assert archive.extractfile("a").read() == content  # type: ignore[union-attr]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_wheel_makes_anything_but_entries_or_a_refusal(data: st.DataObject) -> None:
    """A good wheel with a few bytes changed, cut or doubled: never another exception."""
    parts = wheel_parts(
        [Part("demo/a.py", b"x = 1\n"), Part("demo/b.py", b"y", method=0)], entry_points="[console_scripts]\na=b:c\n"
    )
    wheel = bytearray(zip_bytes(parts))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wheel) - 1))
        match data.draw(st.sampled_from(["change", "cut", "double"])):
            case "change":
                wheel[at] = data.draw(st.integers(0, 255))
            case "cut":
                del wheel[at : at + data.draw(st.integers(1, 8))]
            case _:
                wheel[at:at] = wheel[at : at + data.draw(st.integers(1, 8))]
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        file.flush()
        with suppress(RefusedError):
            measure_layer(complete(open_wheel(file, "demo-1.0-py3-none-any.whl").entries(Venv(), requested=True)))
