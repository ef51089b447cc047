"""The same manifest gives the same lock and the same image, whatever the machine (layer recipe, "The proof").

One real environment: Debian packages, wheels of the index, a wheel made here, a file tree. It is locked once; then it
is locked anew, with no digest remembered, and built, under every variation, and both must come out the same.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.interpreters import OtherPython
from support.small_projects import make_wheel

from mlenv.model.lock import Lock

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("determinism")]

MANIFEST = """\
[environment]
name = "same"
version = "1.0"

[base]
debian = { suite = "trixie", packages = ["python3-minimal"] }

[python]
packages = ["numpy==2.3.4", "click==8.3.0", "demo"]
find-links = ["wheels"]

[[files]]
source = "app"
target = "/app"
"""
FILES = ("b.py", "a.py", "Z.txt", "sub/ü.txt", "sub/x")


@dataclass(frozen=True)
class Variation:
    """How a run differs from the first one."""

    environ: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    code: str = "from mlenv.cli import main; main()"
    umask: int = 0o022
    reverse: bool = False
    cold: bool = False


WITHOUT_ISAL = "import sys; sys.modules['isal'] = None; from mlenv.cli import main; main()"
MANY_THREADS = "import os; os.sched_getaffinity = lambda pid: set(range(7)); from mlenv.cli import main; main()"

AS_ROOT_MAY = ("--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override")

VARIATIONS = {
    "again, from an empty cache": Variation(cold=True),
    # It may read and write root's folders, but is somebody else.
    "another user": Variation(prefix=("setpriv", "--reuid=1234", "--regid=4321", "--clear-groups", *AS_ROOT_MAY)),
    "umask": Variation(umask=0o077),
    "time zone and language": Variation({"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "C"}),
    "hash seed": Variation({"PYTHONHASHSEED": "4711"}),
    "SOURCE_DATE_EPOCH": Variation({"SOURCE_DATE_EPOCH": "1234567890"}),
    "files made in another order, on another file system": Variation(reverse=True),
    "one thread": Variation(prefix=("taskset", "--cpu-list", "0")),
    "many threads": Variation(code=MANY_THREADS),
    "zlib in place of ISA-L": Variation(code=WITHOUT_ISAL),
}


def write_project(folder: Path, names: Iterable[str] = FILES) -> None:
    folder.mkdir(parents=True)
    (folder / "mlenv.toml").write_text(MANIFEST)
    make_wheel(folder / "wheels", "demo")
    for name in names:
        path = folder / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}\n")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def lock_and_build(folder: Path, cache: Path, how: Variation) -> tuple[str, str]:
    """The text of the lock and the digest of the image."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MLENV_", "LC_"))}
    environ |= {"MLENV_CACHE_DIR": str(cache), **how.environ}
    digest = ""
    for words in (["lock"], ["build", "-o", "oci:image"]):
        command = [*how.prefix, sys.executable, "-c", how.code, *words]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        digest = done.stdout.strip()
    return (folder / "mlenv.lock").read_text(), digest


@dataclass(frozen=True)
class First:
    """What the first run gave, and its cache."""

    text: str
    digest: str
    cache: Path

    def fetched(self, folder: Path) -> Path:
        """A cache that holds what was fetched, and no digest of a layer."""
        cache = folder / "cache"
        shutil.copytree(self.cache, cache, copy_function=os.link)
        shutil.rmtree(cache / "records" / "layers")
        return cache


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("determinism")
    write_project(folder / "project")
    text, digest = lock_and_build(folder / "project", folder / "cache", Variation())
    assert Lock.parse(text).image_digest == Lock.parse(text).platforms[0].image.manifest
    assert str(Lock.parse(text).image_digest) == digest
    return First(text, digest, folder / "cache")


@pytest.mark.parametrize("name", VARIATIONS)
def test_the_lock_and_the_image_stay_the_same(
    name: str, first: First, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    how = VARIATIONS[name]
    if how.prefix:
        require_tool(how.prefix[0])
    folder = tmp_path / "another folder" / "ü"
    if how.reverse and os.access("/dev/shm", os.W_OK):
        folder = Path("/dev/shm") / tmp_path.name
    cache = tmp_path / "cold" if how.cold else first.fetched(tmp_path)
    try:
        with umask(how.umask):
            write_project(folder, reversed(FILES) if how.reverse else FILES)
            text, digest = lock_and_build(folder, cache, how)
    finally:
        if how.reverse:
            shutil.rmtree(folder, ignore_errors=True)
    assert text == first.text
    assert digest == first.digest


def test_the_lock_and_the_image_are_those_of_other_pythons(
    other_python: OtherPython, first: First, tmp_path: Path
) -> None:
    folder, cache = tmp_path / "project", first.fetched(tmp_path)
    write_project(folder)
    environ = {"MLENV_CACHE_DIR": str(cache)}
    for words in (["lock"], ["build", "-o", "oci:image"]):
        done = other_python.run(["mlenv", *words], cwd=folder, binds=[cache], env=environ)
    assert (folder / "mlenv.lock").read_text() == first.text
    assert done.stdout.strip() == first.digest


def test_a_build_from_the_lock_alone_fetches_what_it_names(first: First, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_project(folder)
    (folder / "mlenv.lock").write_text(first.text)
    environ = os.environ | {"MLENV_CACHE_DIR": str(tmp_path / "cold")}
    command = [sys.executable, "-m", "mlenv", "build", "-o", "oci-archive:image.tar"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == first.digest, done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "mlenv", "inspect", "--json", "oci-archive:image.tar"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(shown.stdout)[0]["digest"] == first.digest
