"""Other people's programs unpack our layers, which are gzip files of many members, to exactly what the lock says."""

import gzip
import hashlib
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from support.environments import AMD64, FILES, BuiltEnvironment
from support.programs import require_root

from mlenv.build.layers import LayerWork, entries_of
from mlenv.layers import mtree
from mlenv.layers.layer import measure_layer
from mlenv.layers.plan import OWN_LAYER
from mlenv.model.lock import LockedLayer, LockedPlatform
from mlenv.sources.cache import Cache
from mlenv.sources.contents import Contents

Finder = Callable[[str], Path]
_CHUNK = 1 << 20
# No layer has an entry for the root of the file system, and mtree wants to begin with one.
ROOT = ". type=dir mode=0755 uid=0 gid=0\n"


def layers_of(environment: BuiltEnvironment) -> Iterator[tuple[LockedLayer, Path]]:
    """Each layer and its blob."""
    for layer, _ in environment.layers().values():
        yield layer, environment.blob(layer.digest)


@cache
def names_in(blob: Path) -> list[str]:
    """The entries of a layer, as Python's tarfile names them; folders without their slash."""
    with gzip.open(blob) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        return tar.getnames()


@pytest.mark.parametrize("program", ["gzip", "pigz", "igzip"])
def test_it_inflates_every_layer_to_the_tar_of_the_locked_diff_id(
    program: str, computing: BuiltEnvironment, assorted: BuiltEnvironment, require_tool: Finder
) -> None:
    command: list[str | Path] = [require_tool(program), "-d", "-c"]
    for environment in (computing, assorted):
        for layer, blob in layers_of(environment):
            with blob.open("rb") as source:
                process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stdout is not None
            hasher = hashlib.sha256()
            while chunk := process.stdout.read(_CHUNK):
                hasher.update(chunk)
            _, complaints = process.communicate()
            assert (process.returncode, complaints) == (0, b"")
            assert hasher.hexdigest() == layer.diff_id.hex, layer.contents


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_it_lists_every_layer_without_complaint(
    program: str, computing: BuiltEnvironment, assorted: BuiltEnvironment, require_tool: Finder
) -> None:
    tar = require_tool(program)
    for environment in (computing, assorted):
        for layer, blob in layers_of(environment):
            if layer.kind == "wheels" and layer.size > OWN_LAYER:
                continue  # one wheel like the others, only longer: the inflating programs read it to the end
            literal = ["--quoting-style=literal"] if program == "tar" else []
            done = subprocess.run(
                [tar, "-tzf", blob, *literal], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=False
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert [name.rstrip("/") for name in done.stdout.decode().splitlines()] == names_in(blob)


def test_python_reads_every_byte_of_every_file(assorted: BuiltEnvironment) -> None:
    (layer,) = (one for one in assorted.platform().layers if one.kind == "files")
    with gzip.open(assorted.blob(layer.digest)) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for name, data in FILES.items():
            file = tar.extractfile(f"srv/app/{name}")
            assert file is not None
            assert file.read() == data
        assert tar.getmember("srv/app/link to main").linkname == "main.py"
        assert tar.getmember("srv/app/run").mode == 0o755
        assert tar.getmember("srv/app/nothing in it").isdir()


def test_a_reader_that_knows_one_gzip_member_only_fails_and_never_stops_early(assorted: BuiltEnvironment) -> None:
    failed = 0
    for layer in assorted.platform(AMD64).layers:
        blob = assorted.blob(layer.digest)
        seen: list[str] = []
        try:
            with tarfile.open(blob, "r|gz") as tar:
                seen = [member.name for member in tar]
        except (tarfile.TarError, EOFError, OSError, zlib.error):
            failed += 1
        else:
            assert seen == names_in(blob), layer.contents
    assert failed > 0  # the layers of wheels: Python's streaming reader takes the first member for all


def expected_tree(environment: BuiltEnvironment, platform: LockedPlatform) -> str:
    """The mtree text of a whole image, after each layer's own was found to be the locked one."""
    lines: dict[str, str] = {}
    for layer in platform.layers:
        text: list[str] = []
        contents = Contents(Cache(environment.cache), environment.folder)
        with entries_of(LayerWork(layer, platform), contents) as entries:
            measured = measure_layer(entries, mtree=text.append)
        assert measured.mtree == layer.mtree
        lines |= {line.split(" ", 1)[0]: line for line in text[1:]}
    return "".join([mtree.SIGNATURE, ROOT, *lines.values()])


def compare(program: Path, root: Path, specification: str) -> tuple[int, str]:
    """What NetBSD's mtree says of a folder: its exit status and the differences."""
    done = subprocess.run([program, "-p", root], input=specification, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def unpacked(
    assorted: BuiltEnvironment, require_tool: Finder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The root file system that umoci makes of the amd64 image."""
    require_root("umoci gives files their owners")
    folder = tmp_path_factory.mktemp("umoci")
    manifest = assorted.build(f"oci:{folder}/image", AMD64)
    assert manifest == assorted.platform(AMD64).image.manifest
    image = f"{folder}/image:{assorted.lock.environment.version}"
    subprocess.run([require_tool("umoci"), "unpack", "--image", image, folder / "bundle"], check=True)
    yield folder / "bundle" / "rootfs"
    shutil.rmtree(folder)


def test_what_umoci_unpacks_is_what_the_locked_mtrees_describe(
    unpacked: Path, assorted: BuiltEnvironment, require_tool: Finder
) -> None:
    program = require_tool("mtree")
    specification = expected_tree(assorted, assorted.platform(AMD64))
    assert compare(program, unpacked, specification) == (0, "")

    # And mtree does look: another content, mode or link than is there is a difference.
    numpy = "opt/venv/lib/python3.13/site-packages/numpy/__init__.py"
    for path, field, value in (
        (numpy, "sha256digest", "0" * 64),
        (numpy, "mode", "0755"),
        ("bin", "link", "usr/sbin"),
        ("srv/app/two\\040words.txt", "uid", "1"),
    ):
        status, differences = compare(program, unpacked, with_field(specification, path, field, value))
        assert status != 0
        assert path.replace("\\040", " ") in differences.replace("\\s", " ")


def with_field(specification: str, path: str, field: str, value: str) -> str:
    """The mtree text with one field of one entry changed."""
    (line,) = (one for one in specification.splitlines() if one.startswith(f"./{path} "))
    changed = " ".join(f"{field}={value}" if one.startswith(f"{field}=") else one for one in line.split(" "))
    assert changed != line
    return specification.replace(line, changed)


def test_debians_own_tools_find_the_locked_packages(
    unpacked: Path, assorted: BuiltEnvironment, require_tool: Finder
) -> None:
    query: list[str | Path] = [require_tool("dpkg-query"), f"--admindir={unpacked}/var/lib/dpkg"]
    form = "${Package} ${Version} ${Architecture} ${db:Status-Status}\n"
    listed = subprocess.run([*query, "--show", f"--showformat={form}"], capture_output=True, text=True, check=True)
    assert sorted(listed.stdout.splitlines()) == sorted(
        f"{deb.name} {deb.version} {deb.architecture} installed" for deb in assorted.platform(AMD64).debs
    )
    owner = subprocess.run([*query, "--search", "/usr/bin/python3.13"], capture_output=True, text=True, check=True)
    assert owner.stdout == "python3.13-minimal: /usr/bin/python3.13\n"
