"""The bytes of recipe 1, held in place: one layer of each kind, made without the zlib at hand.

`layers/KIND.mtree` lists what is in each. Where a layer differs, its lines are compared first: the failure then names
the entry and the field; then the tar, whose headers it prints; then the gzip framing.
"""

import difflib
import gzip
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from support.wheels import STORED, Part, wheel_file, wheel_parts

from mlenv.layers.entry import Entry, EntryType, FileContent, Inline, Stored
from mlenv.layers.layer import complete, measure_layer, write_layer
from mlenv.layers.wheels.wheel import Venv, open_wheel, venv_entries
from mlenv.model.digest import Digest

LISTINGS = Path(__file__).with_name("layers")

# (digest, diff_id, mtree) of each layer. They change with the number of the recipe, and never else.
GOLDEN = {
    "wheel": (
        "sha256:d602daab61090e3ce2e0d7c4cecd351e7d8af974082bb1488e1127c87795711b",
        "sha256:bb131a2efa6563869030d66135a371a1970c07729f4cd87960564e255bd08d8e",
        "sha256:31a8190030bf2321fb5eefbb57da8a3ef865cc71e3867d8eeb4c839b359320c3",
    ),
    "venv": (
        "sha256:6eb78cba8605404f39990d85510e92dec46ac044aeb68310856c6d68407a0a60",
        "sha256:699afffe561ac6d61063001e03b0ad40dd78b724a6ace1d924d3c87cd80d4feb",
        "sha256:1681e3f38e697aa9dc76e708da273ca6cb81ffc82776411f9c20af094071fe66",
    ),
    "files": (
        "sha256:d3d3aa11913d8253506161dcfb98caccd99de8ffeaba901cb23a9f10b375cb0a",
        "sha256:09a3ce17ace3212708307ef764bacb0968bc6c61551eafb3cb8048de0e09c9cc",
        "sha256:ab4e2cf7e6e5f5596ca145b503485a7c6df51836818c3bc2a9d3ae7dbfadcebd",
    ),
}

# zlib at level 6 made this of 40 times b"import mlenv\n".
COMPRESSED = bytes.fromhex("cbcc2dc82f2a51c8cd49cd2be3ca1ce58c540e00")
SOURCE = b"import mlenv\n" * 40

WHEEL = [
    Part("demo/__init__.py", SOURCE, stream=COMPRESSED),
    Part("demo/blocks.py", b"x = 1\n" * 100),
    Part("demo/exactly_a_block.bin", bytes(512)),
    Part("demo/empty.py"),
    Part("demo/stored.bin", bytes(range(256)) * 300, method=STORED),
    Part("demo/t\u00f6ol, 2", b"#!/bin/sh\n", mode=0o100755),
    Part("demo/" + "deep_" * 20 + "/" + "name_" * 30, b"too long for ustar"),
    Part("demo-1.0.data/scripts/script", b"#!python\nprint(1)\n"),
    Part("demo-1.0.data/headers/demo.h", b"#define DEMO\n"),
    Part("demo-1.0.data/data/share/demo.txt", b"data"),
]
ENTRY_POINTS = "[console_scripts]\ndemo = demo.cli:App.run\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[BinaryIO]:
    with wheel_file(wheel_parts(WHEEL, entry_points=ENTRY_POINTS), tmp_path) as file:
        yield file


def wheel_layer(wheel: BinaryIO, folder: Path) -> list[Entry]:
    del folder
    return complete(open_wheel(wheel, "demo-1.0-py3-none-any.whl").entries(Venv(), requested=True))


def venv_layer(wheel: BinaryIO, folder: Path) -> list[Entry]:
    del wheel, folder
    return complete(venv_entries(Venv(), "/usr/bin/python3.13", "3.13.5"))


def files_layer(wheel: BinaryIO, folder: Path) -> list[Entry]:
    path = folder / "app.py"
    path.write_bytes(b"print('hello')\n" * 10_000)
    return complete(
        [
            Entry(
                "app/app.py", EntryType.FILE, 0o755, 10001, 10002,
                content=FileContent(path, 150_000, Digest.of(path.read_bytes())),
            ),
            Entry("app/rich", EntryType.FILE, 0o600, 1 << 31, 1 << 31, content=Inline(b"")),
            Entry("app/link", EntryType.SYMLINK, 0o777, link="/\u65e5\u672c/" + "l" * 100),
            Entry("srv/zip", EntryType.FILE, 0o444, content=Stored(wheel.fileno(), 0, 100)),
            Entry("tmp/a b", EntryType.FILE, 0o644, content=Inline(b"x" * 65_535)),
        ]
    )  # fmt: skip


LAYERS: dict[str, Callable[[BinaryIO, Path], list[Entry]]] = {
    "wheel": wheel_layer,
    "venv": venv_layer,
    "files": files_layer,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_has_the_bytes_that_it_always_had(kind: str, wheel: BinaryIO, tmp_path: Path) -> None:
    entries = LAYERS[kind](wheel, tmp_path)
    layer, lines = io.BytesIO(), list[str]()
    measured = measure_layer(entries, mtree=lines.append)
    written = write_layer(entries, layer.write)
    differences = different_fields((LISTINGS / f"{kind}.mtree").read_text().splitlines(), "".join(lines).splitlines())
    assert not differences, "\n".join(differences)
    digest, diff_id, mtree = GOLDEN[kind]
    assert str(measured.mtree) == mtree
    assert str(measured.diff_id) == diff_id, f"content and fields are the same, headers differ:\n{headers(layer)}"
    assert str(measured.digest) == digest, "the tar is the same, its gzip members differ"
    assert written.digest == measured.digest


def different_fields(expected: list[str], found: list[str]) -> list[str]:
    """`entry: field expected, found` for what differs between two mtree texts."""
    before, after = ({line.split(" ")[0]: line.split(" ")[1:] for line in lines} for lines in (expected, found))
    result = [f"{path}: missing" for path in before.keys() - after.keys()]
    result += [f"{path}: not expected" for path in after.keys() - before.keys()]
    for path in before.keys() & after.keys():
        fields = zip(before[path], after[path], strict=False)
        result += [f"{path}: expected {old}, found {new}" for old, new in fields if old != new]
    if not result:
        result = list(difflib.unified_diff(expected, found, lineterm=""))
    return sorted(result)


def headers(layer: io.BytesIO) -> str:
    """Every header of the tar as Python reads it, for whoever looks for the difference."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.getvalue()))) as archive:
        return "\n".join(f"{member.name} {member.get_info()} {member.pax_headers}" for member in archive)


def test_a_difference_is_named_by_entry_and_field() -> None:
    before = ["#mtree", "./a type=file mode=0644 size=1", "./b type=dir"]
    after = ["#mtree", "./a type=file mode=0755 size=1", "./c type=dir"]
    assert different_fields(before, after) == [
        "./a: expected mode=0644, found mode=0755",
        "./b: missing",
        "./c: not expected",
    ]
    assert different_fields(before, [before[0], before[2], before[1]])
    assert not different_fields(before, before)


def test_the_recipes_text_names_every_constant_that_the_goldens_hold() -> None:
    text = (Path(__file__).parents[2] / "schema" / "layer-recipe.md").read_text()
    for constant in ("1f 8b 08 00 00 00 00 00 00 ff", "65,535", "315532800", "././@PaxHeader", "`#mtree`"):
        assert re.search(re.escape(constant), text), constant
