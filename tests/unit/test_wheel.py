"""Good wheels: what is read out of them, and where their files go."""

import io
import zipfile
from pathlib import Path
from struct import pack

import pytest
from packaging.version import Version
from support.wheels import STORED, Part, hash_text, record_of, wheel_file, wheel_parts, zip_bytes

from mlenv.layers.entry import Deflated, Entry, EntryType, Inline, Stored
from mlenv.layers.layer import complete, measure_layer
from mlenv.layers.wheels.wheel import Venv, open_wheel, venv_entries

SITE = "opt/venv/lib/python3.13/site-packages"
NAME = "demo-1.0-py3-none-any.whl"


def installed(parts: list[Part] | bytes, folder: Path, *, requested: bool = False) -> dict[str, Entry]:
    with wheel_file(parts, folder) as file:
        entries = open_wheel(file, NAME).entries(Venv(), requested)
        measure_layer(complete(entries))
        return {entry.path: entry for entry in entries}


def text(entry: Entry) -> str:
    assert isinstance(entry.content, Inline)
    return entry.content.data.decode()


def test_what_a_wheel_says_of_itself(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.1\nName: De.Mo_x\nVersion: 1.0.0\nRequires-Dist: numpy\n\nName: not this\n"
    parts = wheel_parts([], name="De.Mo_x", version="1.0", metadata=metadata)
    filename = "De.Mo_x-1-2build-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    with wheel_file(parts, tmp_path, filename) as file:
        wheel = open_wheel(file, filename)
    assert (wheel.name, wheel.version, wheel.metadata) == ("de-mo-x", Version("1"), metadata.encode())
    assert {tag.platform for tag in wheel.tags} == {"manylinux_2_17_x86_64", "manylinux2014_x86_64"}


def test_every_entry_names_the_wheel(tmp_path: Path) -> None:
    assert {entry.origin for entry in installed(wheel_parts([Part("a.py")]), tmp_path).values()} == {"wheel demo 1.0"}


def test_content_stays_in_the_wheel(tmp_path: Path) -> None:
    entries = installed(wheel_parts([Part("a.py", b"x"), Part("b.py", b"y", method=STORED)]), tmp_path)
    assert isinstance(entries[f"{SITE}/a.py"].content, Deflated)
    assert isinstance(entries[f"{SITE}/b.py"].content, Stored)


@pytest.mark.parametrize("mode", [0o755, 0o100755, 0o100700, 0o100001, 0o100711])
def test_any_executable_bit_makes_0755(mode: int, tmp_path: Path) -> None:
    assert installed(wheel_parts([Part("tool", b"x", mode=mode)]), tmp_path)[f"{SITE}/tool"].mode == 0o755


@pytest.mark.parametrize("mode", [0, 0o644, 0o100600, 0o100666, 0o100444])
def test_any_other_mode_makes_0644(mode: int, tmp_path: Path) -> None:
    assert installed(wheel_parts([Part("tool", b"x", mode=mode)]), tmp_path)[f"{SITE}/tool"].mode == 0o644


def test_record_and_what_installers_write(tmp_path: Path) -> None:
    old = [Part(f"demo-1.0.dist-info/{name}", b"old") for name in ("INSTALLER", "REQUESTED", "direct_url.json")]
    parts = wheel_parts([Part("b,.py", b"x"), Part("a.py", b"x"), *old])
    signed = [*parts, Part("demo-1.0.dist-info/RECORD.jws", b"{}"), Part("demo-1.0.dist-info/RECORD.p7s", b"")]
    entries = installed(signed, tmp_path, requested=True)
    info = f"{SITE}/demo-1.0.dist-info"
    assert text(entries[f"{info}/INSTALLER"]) == "mlenv\n"
    assert text(entries[f"{info}/REQUESTED"]) == ""
    one, empty = hash_text(b"x"), hash_text(b"")
    assert text(entries[f"{info}/RECORD"]).splitlines() == [
        f"a.py,{one},1",
        f'"b,.py",{one},1',
        f"demo-1.0.dist-info/INSTALLER,{hash_text(b'mlenv' + bytes([10]))},6",
        f"demo-1.0.dist-info/METADATA,{hash_text(parts[-3].data)},{len(parts[-3].data)}",
        "demo-1.0.dist-info/RECORD,,",
        f"demo-1.0.dist-info/REQUESTED,{empty},0",
        f"demo-1.0.dist-info/WHEEL,{hash_text(parts[-2].data)},{len(parts[-2].data)}",
    ]
    assert not {path for path in entries if path.endswith((".jws", ".p7s", "direct_url.json"))}
    assert f"{info}/REQUESTED" not in installed(signed, tmp_path)


def test_a_launcher(tmp_path: Path) -> None:
    entries = installed(wheel_parts([], entry_points="[console_scripts]\nrun = demo.cli : App.run [fast]\n"), tmp_path)
    launcher = entries["opt/venv/bin/run"]
    assert launcher.mode == 0o755
    assert text(launcher) == (
        "#!/opt/venv/bin/python\n"
        "# Starts demo.cli:App.run. Written by mlenv, as the wheel's entry_points.txt asks.\n"
        "import sys\n\n"
        "from demo.cli import App\n\n"
        'if __name__ == "__main__":\n'
        "    sys.exit(App.run())\n"
    )


def test_directories_in_the_archive_are_ignored(tmp_path: Path) -> None:
    parts = wheel_parts([Part("demo/", method=STORED, mode=0o040755), Part("demo/empty/", mode=0o040755)])
    assert not {path for path in installed(parts, tmp_path) if path.endswith(("/demo", "/empty"))}


@pytest.mark.parametrize("form", ["<4s3L", "<3L", "<4sLQQ", "<LQQ"])
def test_data_descriptors_of_every_form(form: str, tmp_path: Path) -> None:
    parts = wheel_parts([Part("a.py", b"data" * 10, flags=8)])
    data = zip_bytes(parts)
    fields = [b"PK\7\10"] if "4s" in form else []
    at = data.index(b"PK\7\10")
    _, crc, packed, size = (data[at + step : at + step + 4] for step in (0, 4, 8, 12))
    numbers = [int.from_bytes(number, "little") for number in (crc, packed, size)]
    descriptor = pack(form, *fields, *numbers)
    shift = len(descriptor) - 16
    moved = bytearray(data[:at] + descriptor + data[at + 16 :])
    at = moved.index(b"PK\1\2")
    first = True
    while moved[at : at + 4] == b"PK\1\2":
        if not first:
            offset = int.from_bytes(moved[at + 42 : at + 46], "little") + shift
            moved[at + 42 : at + 46] = offset.to_bytes(4, "little")
        first = False
        at += 46 + int.from_bytes(moved[at + 28 : at + 30], "little")
    start = int.from_bytes(moved[at + 16 : at + 20], "little") + shift
    moved[at + 16 : at + 20] = start.to_bytes(4, "little")
    assert f"{SITE}/a.py" in installed(bytes(moved), tmp_path)


@pytest.fixture
def zip64_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's zipfile with limits so low that every field moves into zip64 structures."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 8)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)


@pytest.mark.usefixtures("zip64_everywhere")
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip64_as_pythons_zipfile_writes_it(method: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for part in wheel_parts([Part("a.py", b"x = 1\n" * 100)]):
            archive.writestr(part.name, part.data)
    assert out.getvalue().count(b"PK\6\6") == 1
    assert f"{SITE}/a.py" in installed(out.getvalue(), tmp_path)


def test_a_zip_written_to_a_pipe_has_descriptors(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in wheel_parts([Part("a.py", b"x = 1\n" * 100)]):
            archive.writestr(part.name, part.data)
    assert f"{SITE}/a.py" in installed(pipe.data, tmp_path)


def test_a_record_that_says_a_line_twice_is_harmless(tmp_path: Path) -> None:
    parts = wheel_parts([Part("a.py", b"x")])
    row = f"a.py,{hash_text(b'x')},1\n"
    record = row + "\n" + record_of(parts[:-1], "demo-1.0.dist-info")
    assert f"{SITE}/a.py" in installed(wheel_parts([Part("a.py", b"x")], record=record), tmp_path)


def test_a_record_with_a_slash_before_every_path_is_read(tmp_path: Path) -> None:
    parts = wheel_parts([Part("a.py", b"x")])
    record = "".join(f"/{line}\n" for line in record_of(parts[:-1], "demo-1.0.dist-info").splitlines())
    entries = installed(wheel_parts([Part("a.py", b"x")], record=record), tmp_path)
    assert text(entries[f"{SITE}/demo-1.0.dist-info/RECORD"]).startswith("a.py,")


def test_the_virtual_environment() -> None:
    entries = {
        entry.path: entry for entry in venv_entries(Venv(python_minor="3.14"), "/usr/local/bin/python3.14", "3.14.2")
    }
    assert {path: entry.link for path, entry in entries.items() if entry.type is EntryType.SYMLINK} == {
        "opt/venv/bin/python": "/usr/local/bin/python3.14",
        "opt/venv/bin/python3": "python",
        "opt/venv/bin/python3.14": "python",
    }
    assert entries["opt/venv/lib/python3.14/site-packages"].type is EntryType.DIRECTORY
    assert text(entries["opt/venv/pyvenv.cfg"]) == (
        "home = /usr/local/bin\ninclude-system-site-packages = false\nversion = 3.14.2\n"
    )
