"""The fixtures that bring real things into the tests: registries, engines, other Pythons, programs of others.

Everything starts when a test first asks for it, is shared by the tests of one worker, and ends with the worker.
What is expensive to make is kept in `MLENV_TEST_HOME` (see support/home.py) for all workers and later runs.
"""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support import engines, images, interpreters, programs
from support import registry as registries
from support.engines import Engine
from support.home import CHECKOUT
from support.interpreters import OtherPython
from support.peers import fetch_peer
from support.registry import Registry
from support.trees import debian_mirror as find_debian_mirror
from support.trees import debian_tree

pytest_plugins = ["support.strict_skips", "support.groups", "support.environments"]

# A shell that runs the tests in the background has them ignore SIGINT, and so would every mlenv that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Finder = Callable[[str], Path]
Runner = Callable[[Sequence[str | Path]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of test vectors that others made; it lies beside a checkout and is not part of it."""
    folder = CHECKOUT.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("the test vectors of others are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def require_tool() -> Finder:
    """`require_tool("skopeo")` is the path of that program; without it the test skips, and in CI fails."""
    return programs.find_tool


@pytest.fixture(scope="session")
def peer() -> Finder:
    """`peer("crane")` is a program out of Debian's next suite, fetched once: crane, cosign, oras."""
    return fetch_peer


@pytest.fixture(scope="session")
def debian_mirror() -> str:
    """The mirror that this machine's apt uses; tests hand it on as MLENV_DEBIAN_MIRROR."""
    return find_debian_mirror()


@pytest.fixture(scope="session")
def registry(require_tool: Finder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry open to anybody; `.host` is `127.0.0.1:PORT`. Use a repository name of your own."""
    folder = tmp_path_factory.mktemp("registry") / "open"
    with registries.serve(require_tool("docker-registry"), folder) as served:
        yield served


@pytest.fixture(scope="session")
def private_registry(require_tool: Finder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants `.user` and `.password` by HTTP Basic."""
    folder = tmp_path_factory.mktemp("registry") / "private"
    program, htpasswd = require_tool("docker-registry"), require_tool("htpasswd")
    with registries.serve(program, folder, user="ada", password="correct horse", htpasswd=htpasswd) as served:
        yield served


@pytest.fixture(scope="session")
def _old_engine(require_tool: Finder) -> Iterator[Engine]:
    programs.require_root("a Docker engine is started")
    with engines.serve("20.10-classic", str(require_tool("dockerd"))) as served:
        yield served


def _modern(kind: str) -> Iterator[Engine]:
    with engines.serve(kind, "/usr/sbin/dockerd", debian_tree("forky")) as served:
        yield served


@pytest.fixture(scope="session")
def _modern_classic() -> Iterator[Engine]:
    yield from _modern("28.5-classic")


@pytest.fixture(scope="session")
def _modern_containerd() -> Iterator[Engine]:
    yield from _modern("28.5-containerd")


@pytest.fixture
def engine(_old_engine: Engine) -> Engine:
    """This machine's engine (Debian 12: 20.10 with the classic store)."""
    return _old_engine


@pytest.fixture(params=["classic", "containerd"])
def modern_engine(request: pytest.FixtureRequest) -> Engine:
    """Engine 28.5, with each of its two image stores."""
    served: Engine = request.getfixturevalue(f"_modern_{request.param}")
    return served


@pytest.fixture(params=engines.KINDS)
def all_engines(request: pytest.FixtureRequest) -> Engine:
    """The old engine and the modern one with either store: a test that takes this runs three times."""
    names = dict(zip(engines.KINDS, ("_old_engine", "_modern_classic", "_modern_containerd"), strict=True))
    served: Engine = request.getfixturevalue(names[request.param])
    return served


@pytest.fixture(scope="session")
def python_tree() -> Callable[[str], OtherPython]:
    """`python_tree("3.13")` runs the installed mlenv under that Python; see support/interpreters.py."""
    made: dict[str, OtherPython] = {}

    def get(version: str) -> OtherPython:
        if version not in made:
            made[version] = interpreters.other_python(version)
        return made[version]

    return get


@pytest.fixture
def other_python(request: pytest.FixtureRequest, python_tree: Callable[[str], OtherPython]) -> OtherPython:
    """mlenv under each other Python that can be had: 3.13 and 3.14, and 3.12 where this machine has one."""
    return python_tree(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "other_python" in metafunc.fixturenames:
        metafunc.parametrize("other_python", interpreters.versions(), indirect=True)


def pytest_report_header() -> str | None:
    return None if interpreters.find_python("3.12") else "other Pythons: 3.12 is left out, this machine has none"


@pytest.fixture(scope="session")
def tiny_image(require_tool: Finder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with a busybox image that mlenv had no part in."""
    return images.write_tiny_image(require_tool("busybox"), tmp_path_factory.mktemp("tiny") / "layout")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; fill it, or write something larger to it."""
    programs.require_root("a small file system is mounted")
    folder = tmp_path / "full-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def netless(require_tool: Finder) -> Runner:
    """Runs a command that reaches no network, not even loopback; gives its CompletedProcess, unchecked."""
    programs.require_root("a network namespace is made")
    unshare = require_tool("unshare")

    def run(command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([unshare, "--net", *command], capture_output=True, text=True, check=False)

    return run
