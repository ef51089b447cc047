"""Row "a wheel", "names in archives" and "sizes" of the threat model: each attack is one crafted wheel."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import pytest
from support.wheels import STORED, Part, changed, hash_text, record_of, squeezed, wheel_file, wheel_parts, zip_bytes

from mlenv.errors import MlenvError, RefusedError
from mlenv.layers.inflate import ZLIB, Inflater, fastest
from mlenv.layers.layer import complete, measure_layer
from mlenv.layers.wheels import zip as zip_module
from mlenv.layers.wheels.wheel import Venv, open_wheel

CODE = Part("demo/__init__.py", b"print('hello')\n" * 100)
GOOD = wheel_parts([CODE])
OTHER = Part("demo/other.py", b"import os\n")


def refusal(data: bytes | Sequence[Part], folder: Path, filename: str = "demo-1.0-py3-none-any.whl") -> str:
    """What opening, installing and measuring the wheel says."""
    with wheel_file(data, folder, filename) as file, pytest.raises(RefusedError) as caught:
        measure_layer(complete(open_wheel(file, filename).entries(Venv(), requested=True)))
    return one_line(caught.value)


def one_line(error: MlenvError) -> str:
    (problem,) = error.problems
    assert problem.where
    assert problem.hint
    assert "\n" not in problem.message + problem.hint
    return problem.message


def test_the_wheel_that_the_attacks_start_from_is_taken(tmp_path: Path) -> None:
    with wheel_file(GOOD, tmp_path) as file:
        wheel = open_wheel(file, "demo-1.0-py3-none-any.whl")
        assert (wheel.name, str(wheel.version)) == ("demo", "1.0")
        assert measure_layer(complete(wheel.entries(Venv(), requested=True))).diff_size > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"local": {"name": b"demo/__init__.pY"}}, "another name"),
        ({"local": {"method": 0}}, "do not agree"),
        ({"local": {"flags": 2}}, "do not agree"),
        ({"local": {"size": 7}}, "do not agree"),
        ({"local": {"packed": 7}}, "do not agree"),
        ({"local": {"crc": 7}}, "do not agree"),
        ({"flags": 8, "local": {"crc": 7}}, "do not agree"),
        ({"flags": 1}, "encrypted"),
        ({"flags": 1 << 13}, "encrypted"),
        ({"method": 12}, "method 12"),
        ({"comment": b"hidden"}, "comment"),
        ({"extra": b"\1"}, "extra field"),
        ({"extra": pack("<2H", 0x7075, 9) + b"other.py."}, "extra field"),
        ({"before": b"hidden"}, "gap or an overlap"),
        ({"raw_name": b"demo/\xff.py"}, "neither ASCII nor marked as UTF-8"),
        ({"size": 1 << 31}, "claims 2147483648 bytes"),
        ({"method": STORED, "size": 9}, "two sizes differ"),
    ],
)
def test_an_entry_that_two_readers_see_differently(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    assert message in refusal(changed(GOOD, CODE.name, **fields), tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_bytes(GOOD, first=b"#!/bin/sh\n"), "gap or an overlap"),
        (zip_bytes(GOOD, gap=b"hidden"), "belong to no entry"),
        (zip_bytes(GOOD, comment=b"hidden"), "ends with its end record"),
        (zip_bytes(GOOD, last=b"hidden"), "ends with its end record"),
        (zip_bytes(GOOD, last=zip_bytes(GOOD)), "before its start"),
        (zip_bytes(GOOD)[:-30], "ends with its end record"),
        (zip_bytes(GOOD)[30:], "before its start"),
        (b"", "truncated"),
        (b"PK\5\6" + bytes(18), ".dist-info directories"),
        (zip_bytes([*GOOD, CODE]), "twice"),
        (zip_bytes([Part("hidden.py", b"x", listed=False), *GOOD]), "gap or an overlap"),
        (zip_bytes([*GOOD, Part("hidden.py", b"x", listed=False)]), "belong to no entry"),
    ],
)
def test_an_archive_that_hides_something(data: bytes, message: str, tmp_path: Path) -> None:
    assert message in refusal(data, tmp_path)


def test_two_entries_with_one_content(tmp_path: Path) -> None:
    data = bytearray(zip_bytes([CODE, *wheel_parts([OTHER])]))
    second = data.rindex(b"PK\1\2", 0, data.rindex(OTHER.name.encode()))
    data[second + 42 : second + 46] = bytes(4)
    assert "gap or an overlap" in refusal(bytes(data), tmp_path)


@pytest.mark.parametrize("inflater", [ZLIB, fastest()], ids=["zlib", "fastest"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crc32": 7}, "CRC-32 is"),
        ({"size": 1499}, "more than the 1499 bytes"),
        ({"size": 1501}, "holds 1500 bytes and declares 1501"),
        ({"stream": squeezed(CODE.data) + b"hidden"}, "after the end of its DEFLATE stream"),
        ({"stream": squeezed(CODE.data)[:-1]}, "does not end"),
        ({"stream": b"\7" + squeezed(CODE.data)}, "is broken"),
        ({"stream": squeezed(CODE.data) * 2}, "after the end of its DEFLATE stream"),
        ({"data": b"x" * 1500, "stream": None}, "RECORD says"),
        ({"data": b"x" * 1500, "stream": None, "method": STORED}, "RECORD says"),
        ({"method": STORED, "crc32": 7}, "CRC-32 is"),
    ],
)
def test_content_that_is_not_what_it_claims(
    fields: dict[str, object], message: str, inflater: Inflater, tmp_path: Path
) -> None:
    size = fields.get("size", 1500)
    record = record_of(GOOD[:-1], "demo-1.0.dist-info").replace(",1500\n", f",{size}\n")
    parts = changed(wheel_parts([CODE], record=record), CODE.name, **fields)
    with wheel_file(parts, tmp_path) as file:
        entries = complete(open_wheel(file, "demo-1.0-py3-none-any.whl").entries(Venv(), requested=True))
        with pytest.raises(RefusedError) as caught:
            measure_layer(entries, inflater=inflater)
    assert message in one_line(caught.value)


def test_an_empty_entry_with_a_stream_that_is_not_empty(tmp_path: Path) -> None:
    parts = wheel_parts([Part("demo/empty.py", b"", stream=squeezed(b"evil"))])
    assert "more than the 0 bytes" in refusal(parts, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py", "demo/../../evil.py", "/etc/evil", "demo\\evil.py", "demo/evil.", "demo/evil ", "demo./evil.py",
        "demo/./evil.py", "demo//evil.py", "demo/ev\nil.py", "demo/ev\x7fil.py", "", "demo/..", "./evil.py",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    assert "not a name" in refusal(wheel_parts([Part(name, b"x")]), tmp_path)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("demo/a.py", "demo/A.py"),
        ("demo/a", "demo/a/"),
        ("demo/\u00e9.py", "demo/e\u0301.py"),
        ("demo/stra\u00dfe", "demo/STRASSE"),
    ],
)
def test_names_that_are_one_file_elsewhere(first: str, second: str, tmp_path: Path) -> None:
    parts = wheel_parts([Part(first, b"x"), Part(second, b"" if second.endswith("/") else b"y")])
    assert "where case does not count" in refusal(parts, tmp_path)


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140666, 0o104755, 0o102755, 0o101755])
def test_entries_that_are_no_plain_files(mode: int, tmp_path: Path) -> None:
    assert "no regular file" in refusal(wheel_parts([Part("demo/link", b"/etc/passwd", mode=mode)]), tmp_path)


def test_a_directory_with_content(tmp_path: Path) -> None:
    assert "has content" in refusal(wheel_parts([Part("demo/", b"x", mode=0o040755)]), tmp_path)


def test_a_file_where_a_directory_is_needed(tmp_path: Path) -> None:
    with wheel_file(wheel_parts([Part("demo", b"x"), OTHER]), tmp_path) as file:
        entries = open_wheel(file, "demo-1.0-py3-none-any.whl").entries(Venv(), requested=True)
        with pytest.raises(MlenvError) as caught:
            complete(entries)
    assert "needed as a directory" in one_line(caught.value)


RECORD = record_of(GOOD[:-1], "demo-1.0.dist-info")
HASH = hash_text(CODE.data)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (RECORD.replace(f"{CODE.name},{HASH},1500\n", ""), "is not listed in RECORD"),
        (RECORD + f"gone.py,{HASH},1500\n", "gone.py, which is not in the archive"),
        (RECORD.replace(HASH, ""), "no sha256, sha384 or sha512"),
        (RECORD.replace(HASH, "md5=tMxyUTrUUmCu_pJZI-Ks5g"), "no sha256, sha384 or sha512"),
        (RECORD.replace(HASH, HASH[:-2]), "damaged hash"),
        (RECORD.replace(HASH, "sha256=???"), "damaged hash"),
        (RECORD.replace(",1500", ","), "damaged hash or size"),
        (RECORD.replace(",1500", ",-1"), "damaged hash or size"),
        (RECORD.replace(",1500", ",1499"), "has 1500 bytes and RECORD says 1499"),
        (RECORD + f"{CODE.name},{hash_text(b'')},0\n", "twice"),
        (RECORD + "a\n", "not path, hash, size"),
        (RECORD.replace(hash_text(GOOD[1].data), HASH), "METADATA: its sha256 is not"),
    ],
)
def test_a_record_that_is_not_complete_and_exact(record: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(wheel_parts([CODE], record=record), tmp_path)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_stronger_hashes_are_checked(algorithm: str, tmp_path: Path) -> None:
    good = RECORD.replace(HASH, hash_text(CODE.data, algorithm))
    with wheel_file(wheel_parts([CODE], record=good), tmp_path) as file:
        measure_layer(complete(open_wheel(file, "demo-1.0-py3-none-any.whl").entries(Venv(), requested=False)))
    bad = RECORD.replace(HASH, hash_text(b"", algorithm))
    assert f"its {algorithm} is" in refusal(wheel_parts([CODE], record=bad), tmp_path)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (wheel_parts([CODE], name="other"), "belongs to another package"),
        (wheel_parts([CODE], version="2.0"), "belongs to another package"),
        (wheel_parts([CODE], version="one"), "belongs to another package"),
        (wheel_parts([CODE, Part("other-1.0.dist-info/METADATA", b"x")]), "2 .dist-info directories"),
        (wheel_parts([CODE], metadata="Name: other\nVersion: 1.0\n"), "METADATA is that of other 1.0"),
        (wheel_parts([CODE], metadata="Name: demo\nVersion: 1.1\n"), "METADATA is that of demo 1.1"),
        (wheel_parts([CODE], metadata="Name: demo\nName: demo\nVersion: 1.0\n"), "exactly one Name"),
        (wheel_parts([CODE], metadata="Name: demo\n\nVersion: 1.0\n"), "exactly one Name and one Version"),
        (wheel_parts([CODE], wheel="Wheel-Version: 2.0\n"), "version 1 of the wheel format"),
        (wheel_parts([CODE], wheel="Wheel-Version: 1.0\nTag: py3-none-any\n"), "lacks Root-Is-Purelib"),
        (wheel_parts([CODE], wheel="Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"), "lacks Root-Is-Purelib or Tag"),
        ([part for part in GOOD if not part.name.endswith("RECORD")], "has no demo-1.0.dist-info/RECORD"),
        (wheel_parts([CODE, Part("demo-1.0.data/etc/passwd", b"x")]), "belongs to no scheme"),
        (wheel_parts([CODE, Part("demo-1.0.data/scripts/python3.13", b"x")]), "belongs to the environment itself"),
        (wheel_parts([CODE, Part("demo-1.0.data/data/pyvenv.cfg", b"x")]), "belongs to the environment itself"),
        (wheel_parts([CODE, Part("demo-1.0.data/scripts", b"x")]), "belongs to no scheme"),
        (wheel_parts([CODE, Part("demo-1.0.data/scripts/a/b", b"x")]), "no folder of their own"),
        (wheel_parts([CODE, Part("demo-1.0.data/purelib/demo/__init__.py", b"x")]), "installs two files"),
        (wheel_parts([CODE], entry_points="[console_scripts]\npython = demo:main\n"), "cannot be made"),
        (wheel_parts([CODE], entry_points="[console_scripts]\n../x = demo:main\n"), "cannot be made"),
        (wheel_parts([CODE], entry_points="[console_scripts]\nx = demo\n"), "cannot be made"),
        (wheel_parts([CODE], entry_points="[console_scripts]\nx = demo:main(); evil\n"), "cannot be made"),
        (wheel_parts([CODE], entry_points="[console_scripts]\nx = demo:if.1\n"), "cannot be made"),
        (wheel_parts([CODE], entry_points="[console_scripts]\nx = demo:a\nx = demo:b\n"), "cannot be read"),
        (wheel_parts([CODE], entry_points="x = demo:a\n"), "cannot be read"),
        (
            wheel_parts([CODE], entry_points="[console_scripts]\nx = demo:a\n[gui_scripts]\nx = demo:b\n"),
            "two programs with the name x",
        ),
    ],
)
def test_metadata_that_contradicts_itself(parts: list[Part], message: str, tmp_path: Path) -> None:
    assert message in refusal(parts, tmp_path)


@pytest.mark.parametrize("filename", ["demo.whl", "demo-1.0.zip", "demo-1.0-py3-none.whl", "demo-x-py3-none-any.whl"])
def test_a_file_name_that_is_none(filename: str, tmp_path: Path) -> None:
    assert "not the file name of a wheel" in refusal(GOOD, tmp_path, filename)


def test_a_truncated_wheel_at_every_length(tmp_path: Path) -> None:
    data = zip_bytes(GOOD)
    for length in range(0, len(data), 37):
        assert refusal(data[:length], tmp_path)


def test_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "MAX_ENTRIES", 3)
    assert "4 entries; at most 3" in refusal(GOOD, tmp_path)


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_module, "MAX_TOTAL", 1000)
    assert "at most 1000 are unpacked" in refusal(GOOD, tmp_path)


def test_a_bomb_that_hides_its_size(tmp_path: Path) -> None:
    bomb = b"\0" * (64 << 20)
    part = Part("demo/bomb", bomb[:1000], stream=squeezed(bomb), crc32=zlib.crc32(bomb[:1000]))
    assert "more than the 1000 bytes" in refusal(wheel_parts([part]), tmp_path)


def test_metadata_that_is_too_large_to_read(tmp_path: Path) -> None:
    size = (64 << 20) + 1
    large = Part("demo-1.0.dist-info/entry_points.txt", b"", stream=squeezed(bytes(size)), size=size)
    parts = wheel_parts([CODE, large])
    record = record_of(parts[:-1], "demo-1.0.dist-info").replace(",0\n", f",{size}\n")
    assert "at most 67108864 are read" in refusal(wheel_parts([CODE, large], record=record), tmp_path)
