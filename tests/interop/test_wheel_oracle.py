"""The unpacked /opt/venv against what uv makes of the same wheels: every file, its bytes and its executable bit."""

import csv
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest
from support import home
from support.tars import extract
from support.wheels import STORED, Part, hash_text, squeezed, wheel_file, wheel_parts
from uv import find_uv_bin

from mlenv.layers.layer import complete, measure_layer, write_layer
from mlenv.layers.wheels.wheel import Venv, open_wheel, venv_entries

PYTHON = "3.11"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64")
LIST = Path(__file__).with_name("oracle-wheels.txt")

# uv's own: activation scripts, markers, its hook for distutils, a pip named after the interpreter, which no entry
# point asks for, and lib64, which the recipe leaves out.
ONLY_UV = re.compile(
    r"bin/(activate.*|deactivate\.bat|pydoc\.bat|pip3\.\d+)|CACHEDIR\.TAG|\.gitignore|\.lock|lib64|lib/[^/]+/site-packages/"
    r"(_virtualenv\.(py|pth)|[^/]+\.dist-info/(direct_url|uv_cache|uv_build)\.json)"
)
# The same file with another text: the tool's name, what links and settings name the interpreter, and the list itself.
OTHER_TEXT = re.compile(r"pyvenv\.cfg|bin/python[\d.]*|lib/[^/]+/site-packages/[^/]+\.dist-info/(INSTALLER|RECORD)")
OWN_RECORD = re.compile(r"[^/]+\.dist-info/RECORD")
# uv also lists a script that it left out for a launcher of the same name.
UNLISTED = re.compile(
    r"[^/]+\.dist-info/(INSTALLER|RECORD|direct_url\.json|uv_cache\.json)|[^/]+\.data/scripts/.*|(\.\./){3}bin/pip3\.\d+"
)


@dataclass(frozen=True)
class Found:
    """What lies at a path: `file`, `directory` or a link's target; the executable bit; the bytes, or of many a hash."""

    kind: str
    executable: bool = False
    data: bytes = b""

    def __repr__(self) -> str:
        return f"{self.kind} {'x' if self.executable else '-'} {hashlib.sha256(self.data).hexdigest()[:12]}"


def tree(root: Path) -> dict[str, Found]:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = Found(f"-> {path.readlink()}")
            elif path.is_dir():
                found[relative] = Found("directory")
            else:
                data = path.read_bytes()
                if len(data) > 1 << 16 and name != "RECORD":
                    data = hashlib.sha256(data).digest()
                found[relative] = Found("file", bool(path.stat().st_mode & 0o111), data)
    return found


def install_with_mlenv(wheels: Sequence[Path], root: Path, python_minor: str) -> Path:
    """The wheels in one layer, unpacked under `root`; gives the environment's folder."""
    venv = Venv(python_minor=python_minor)
    layer = io.BytesIO()
    with ExitStack() as stack:
        entries = venv_entries(venv, f"{sys.base_prefix}/bin/python{python_minor}", sys.version.split()[0])
        for path in wheels:
            wheel = open_wheel(stack.enter_context(path.open("rb")), path.name)
            entries += wheel.entries(venv, requested=True)
        entries = complete(entries)
        written = write_layer(entries, layer.write)
        measured = measure_layer(entries)
    assert (measured.digest, measured.size) == (written.digest, written.size)
    layer.seek(0)
    # gzip.decompress copies the rest of the file for every member; the streaming reader does not.
    with gzip.open(layer) as unzipped, tarfile.open(fileobj=unzipped, mode="r:") as archive:
        extract(archive, root)
    return root / venv.prefix


def install_with_uv(uv: Path, wheels: Sequence[Path], folder: Path) -> Path:
    environ = {**os.environ, "UV_NO_CONFIG": "1"}
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True, env=environ)
    subprocess.run(
        [uv, "pip", "install", "-q", "--python", folder / "bin/python", "--no-deps", "--no-compile", "--no-index",
         "--offline", "--no-cache", "--link-mode", "copy", "--python-version", PYTHON,
         "--python-platform", "x86_64-manylinux_2_28", *wheels],
        check=True, env=environ,
    )  # fmt: skip
    return folder


def launchers(site_packages: Path) -> set[str]:
    """The programs that entry points ask for, as Python's own reader of entry points sees them."""
    return {
        f"bin/{point.name}"
        for distribution in distributions(path=[str(site_packages)])
        for point in distribution.entry_points
        if point.group in ("console_scripts", "gui_scripts")
    }


def compare(ours: Path, theirs: Path, python_minor: str) -> None:
    """Every difference that is not named above fails, with its path."""
    mine, others = tree(ours), tree(theirs)
    site = f"lib/python{python_minor}/site-packages"
    programs = launchers(ours / site)
    assert programs == launchers(theirs / site)
    differences = []
    for path in sorted(mine.keys() | others.keys()):
        our, their = mine.get(path), others.get(path)
        if our is None or their is None:
            if not ONLY_UV.fullmatch(path) and not is_empty_folder(path, others):
                differences.append(f"{path}: {our} {their}")
        elif path in programs:
            assert our.executable
            assert their.executable
            assert our.data.startswith(b"#!/opt/venv/bin/python\n")
        elif OWN_RECORD.fullmatch(path.removeprefix(f"{site}/")):
            check_record(our.data, ours / site)
            if listed(our.data) != listed(their.data):
                differences.append(f"{path}: {sorted(listed(our.data) ^ listed(their.data))[:4]}")
        elif not OTHER_TEXT.fullmatch(path) and our != for_our_prefix(path, their, theirs):
            differences.append(f"{path}: {our} {their}")
    assert not differences, "\n".join(differences[:20])


def is_empty_folder(path: str, found: dict[str, Found]) -> bool:
    """uv also makes the folders that an archive names and puts nothing in; the recipe, as pip, does not."""
    return (
        path in found and found[path].kind == "directory" and not any(other.startswith(f"{path}/") for other in found)
    )


def for_our_prefix(path: str, their: Found, root: Path) -> Found:
    """What uv would have written into the first line of a script, had the environment lain in /opt/venv."""
    begin = b"#!" + os.fsencode(root)
    if path.startswith("bin/") and their.data.startswith(begin):
        return Found(their.kind, their.executable, b"#!/opt/venv" + their.data[len(begin) :])
    return their


def record_rows(record: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(record.decode(), newline="")))


def listed(record: bytes) -> set[tuple[str, ...]]:
    """The rows, and of programs, whose text may differ, only the path."""
    rows = [row for row in record_rows(record) if not UNLISTED.fullmatch(row[0])]
    return {(row[0],) if row[0].startswith("../../../bin/") else tuple(row) for row in rows}


def check_record(record: bytes, site_packages: Path) -> None:
    """Our RECORD is sorted, and every file that it lists is there as it says."""
    rows = record_rows(record)
    assert b"\r" not in record
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for path, text, size in rows:
        if OWN_RECORD.fullmatch(path):
            assert (text, size) == ("", "")
            continue
        data = (site_packages / path).read_bytes()
        assert (text, int(size)) == (hash_text(data, text.partition("=")[0]), len(data)), path


@pytest.fixture(scope="session")
def uv() -> Path:
    return Path(find_uv_bin())


def download(lines: Sequence[str], folder: Path) -> list[Path]:
    """The wheels, through whatever index this machine's pip is configured for."""
    platforms = [argument for name in PLATFORMS for argument in ("--platform", name)]
    abis = ["--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--dest", folder,
         "--only-binary=:all:", "--python-version", PYTHON, *platforms, *abis, *lines],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no package index here has the wheels: {done.stderr.strip().splitlines()[-1:]}")
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def real_wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pins = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    kept = home.test_home() / "oracle-wheels" / hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]
    with home.only_one("oracle-wheels"):
        if not kept.is_dir():
            fresh = tmp_path_factory.mktemp("wheels")
            assert len(download(pins, fresh)) == len(pins) >= 60
            shutil.copytree(fresh, kept.with_name("fresh"), dirs_exist_ok=True).rename(kept)
    return sorted(kept.glob("*.whl"))


def check_against_uv(uv: Path, wheels: Sequence[Path], folder: Path) -> Path:
    python_minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = install_with_mlenv(wheels, folder / "root", python_minor)
    theirs = install_with_uv(uv, wheels, folder / "uv")
    compare(ours, theirs, python_minor)
    return ours


@pytest.mark.network
def test_real_wheels_are_installed_as_uv_installs_them(real_wheels: list[Path], uv: Path, tmp_path: Path) -> None:
    check_against_uv(uv, real_wheels, tmp_path)


MADE = [
    Part("made/__init__.py", b"x = 1\n" * 50, stream=squeezed(b"x = 1\n" * 50)),
    Part("made/empty.py"),
    Part("made/stored_empty.py", method=STORED),
    Part("made/stored.bin", bytes(range(256)) * 600, method=STORED),
    Part("made/\u00fcml\u00e4ut \u65e5\u672c.txt", b"names"),
    Part("made/a, b.txt", b"comma"),
    Part("made/" + "long_" * 24 + "/" + "name_" * 30, b"too long for ustar"),
    Part("made/tool", b"#!/bin/sh\n", mode=0o100755),
    Part("made/descriptor.py", b"late = True\n", flags=8),
    Part("made/__pycache__/x.cpython-311.pyc", b"shipped"),
    Part("namespace/part/__init__.py", b""),
    Part("made-1.0.data/purelib/pure.py", b"pure = 1\n"),
    Part("made-1.0.data/platlib/plat/lib.so", b"\x7fELF", mode=0o100755),
    Part("made-1.0.data/headers/made.h", b"#define MADE\n"),
    Part("made-1.0.data/headers/sub/made.h", b"#define MADE\n"),
    Part("made-1.0.data/data/share/made/data.txt", b"data"),
    Part("made-1.0.data/data/etc/made.conf", b"conf", mode=0o100755),
    Part("made-1.0.data/scripts/plain", b"#!python\nprint(1)\n"),
    Part("made-1.0.data/scripts/flags", b"#!python -E\nprint(1)\n", mode=0o100755),
    Part("made-1.0.data/scripts/window", b"#!pythonw\nprint(1)\n"),
    Part("made-1.0.data/scripts/shell", b"#!/bin/sh\n"),
    Part("made-1.0.data/scripts/short", b"#!py"),
    Part("made-1.0.data/scripts/only", b"#!python"),
    Part("made-1.0.data/scripts/made-run-script.py", b"#!python\n"),
    Part("made-1.0.data/scripts/stored", b"#!python\r\nprint(1)\n", method=STORED),
    Part("made-1.0.dist-info/INSTALLER", b"someone\n"),
    Part("made-1.0.dist-info/REQUESTED"),
    Part("made-1.0.dist-info/licenses/LICENSE", b"free"),
]
ENTRY_POINTS = """
[console_scripts]
made-run = made.cli:main
made.dotted = made.cli:App.run [extra]
[gui_scripts]
made-gui=made:main
[made.plugins]
any = thing
"""


def test_a_wheel_with_everything_unusual_is_installed_as_uv_installs_it(uv: Path, tmp_path: Path) -> None:
    wheel_file(wheel_parts(MADE, name="made", entry_points=ENTRY_POINTS), tmp_path, "made-1.0-py3-none-any.whl").close()
    normal = wheel_parts([Part("Two_Names-1.0.data/headers/x.h", b"x")], name="Two_Names")
    wheel_file(normal, tmp_path, "Two_Names-1.0-py3-none-any.whl").close()
    check_against_uv(uv, sorted(tmp_path.glob("*.whl")), tmp_path)


def test_the_environment_works_with_this_machines_interpreter(tmp_path: Path) -> None:
    """A venv made on paper starts, finds its packages and its programs, and names itself as the prefix."""
    code = b"import sys\ndef main():\n    print(sys.prefix != sys.base_prefix, __name__)\n"
    parts = wheel_parts(
        [Part("made/__init__.py", code)], name="made", entry_points="[console_scripts]\nrun = made:main\n"
    )
    wheel_file(parts, tmp_path, "made-1.0-py3-none-any.whl").close()
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = install_with_mlenv([tmp_path / "made-1.0-py3-none-any.whl"], tmp_path / "root", minor)
    code_to_run = "import made, sys; made.main(); print(sys.prefix)"
    for name in ("python", "python3", f"python{minor}"):
        out = subprocess.run(
            [root / "bin" / name, "-c", code_to_run], capture_output=True, text=True, check=True
        ).stdout
        assert out.split("\n")[:2] == ["True made", str(root)]
    out = subprocess.run([root / "bin/python", root / "bin/run"], capture_output=True, text=True, check=True).stdout
    assert out == "True made\n"


CLOSED = re.compile(r"(requests|urllib3|idna|certifi|charset_normalizer|jinja2|markupsafe|werkzeug|six|pytz|pygments)-")


@pytest.mark.network
def test_a_closed_set_is_consistent_as_pip_check_sees_it(real_wheels: list[Path], uv: Path, tmp_path: Path) -> None:
    wheels = [path for path in real_wheels if CLOSED.match(path.name)]
    assert len(wheels) == 11
    root = install_with_mlenv(wheels, tmp_path, f"{sys.version_info.major}.{sys.version_info.minor}")
    subprocess.run([uv, "pip", "check", "-q", "--python", root / "bin/python"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", root / "bin/python", "check"], check=True)


@pytest.mark.network
@pytest.mark.slow
def test_a_wheel_of_over_500_megabytes(uv: Path, tmp_path: Path) -> None:
    wheels = download(["nvidia-cublas-cu12==12.8.4.1"], tmp_path)
    assert wheels[0].stat().st_size > 500e6
    check_against_uv(uv, wheels, tmp_path)
