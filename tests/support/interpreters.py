"""mlenv as installed for another Python: from this machine, or inside a Debian tree that has that Python."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from support.home import CHECKOUT, only_one, test_home
from support.trees import debian_tree, inside, outside_environment

SUITES = {"3.13": "trixie", "3.14": "forky"}

# What a program in a tree needs of the machine, to reach the package index and the Debian archive as the machine does.
MACHINE = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs",
    "/etc/xdg",
    "/etc/uv",
    "/etc/apt",
    "/usr/share/keyrings",
    "/usr/local/share/ca-certificates",
)


@dataclass(frozen=True)
class OtherPython:
    """mlenv with its dependencies in the virtual environment `prefix`, under Python `version`."""

    version: str
    prefix: Path
    tree: Path | None = None

    def run(
        self,
        command: Sequence[str],
        *,
        binds: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `mlenv …` or `python …`. The folders `binds` (and `cwd`) are there, at the same paths.

        `env` is added to this process's environment. With `check`, a status other than 0 fails the test and
        shows what was printed.
        """
        program = [str(self.prefix / "bin" / command[0]), *command[1:]]
        environment = outside_environment({"UV_CACHE_DIR": str(uv_cache()), **(env or {})})
        if self.tree:
            there = [Path(path) for path in MACHINE if Path(path).exists()]
            binds = [*there, self.prefix, uv_cache(), *binds, *([cwd] if cwd else [])]
            program = inside(self.tree, program, binds, str(cwd or "/"))
        done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment, cwd=cwd)
        if check and done.returncode:
            pytest.fail(f"{command} under Python {self.version}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done


def uv_cache() -> Path:
    """uv's cache for what runs in trees, where a home folder is empty and soon gone."""
    folder = test_home() / "uv"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def uv() -> str:
    """The uv that came with mlenv."""
    import uv as package

    return str(package.find_uv_bin())


@cache
def find_python(version: str) -> Path | None:
    """An interpreter of this minor version on PATH or among pyenv's, or None."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which(name)
    candidates = [*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))]
    # pyenv's command of that name on PATH fails unless this version is switched on: each is tried.
    return next(filter(_runs, candidates), None)


def _runs(candidate: Path) -> bool:
    return subprocess.run([candidate, "-c", "import ssl, venv"], capture_output=True, check=False).returncode == 0


def versions() -> tuple[str, ...]:
    """The other Pythons to test with. 3.12 is in no Debian suite: it counts where this machine has it."""
    return (*SUITES, *(["3.12"] if find_python("3.12") else []))


def built_wheel() -> Path:
    """The wheel that tests/run.sh has built and installed, or one built now from the checkout."""
    named = os.environ.get("MLENV_TEST_WHEEL")
    if named:
        return Path(named)
    folder = test_home() / "wheel"
    with only_one("wheel"):
        subprocess.run([uv(), "build", "--wheel", "-q", "--out-dir", folder, CHECKOUT], check=True, cwd="/")
    return max(folder.glob("mlenv-*.whl"), key=lambda wheel: wheel.stat().st_mtime)


def other_python(version: str) -> OtherPython:
    """mlenv under Python `version`; the environment is kept for as long as the wheel stays the same."""
    found = None if version in SUITES and os.geteuid() == 0 else find_python(version)
    if found is None and version not in SUITES:
        pytest.skip(f"needs Python {version}")
    tree = None if found else debian_tree(SUITES[version])
    prefix = test_home() / "pythons" / version
    environment = OtherPython(version, prefix, tree)
    with only_one(f"python-{version}"):
        _install(environment, str(found or "/usr/bin/python3"))
    return environment


def _install(python: OtherPython, interpreter: str) -> None:
    """Runs uv where the interpreter is: outside, or in the tree with uv and the wheel bound into it.

    Only a wheel that is not the installed one is installed: another worker may be using what is there.
    """
    wheel, program = built_wheel(), Path(uv())
    installed, wanted = python.prefix / "installed-wheel", hashlib.sha256(wheel.read_bytes()).hexdigest()
    if installed.exists() and installed.read_text() == wanted:
        return
    python.prefix.mkdir(parents=True, exist_ok=True)
    steps = [
        [str(program), "venv", "-q", "--allow-existing", "--python", interpreter, str(python.prefix)],
        [str(program), "pip", "install", "-q", "--python", str(python.prefix / "bin" / "python"), str(wheel)],
    ]
    # The folder of a tree's environment is a mount point there, which uv cannot remove: it is emptied out here.
    shutil.rmtree(python.prefix)
    python.prefix.mkdir()
    settings = {"UV_CACHE_DIR": str(uv_cache()), "UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
    there = [Path(path) for path in MACHINE if Path(path).exists()]
    binds = [*there, python.prefix, uv_cache(), program, wheel]
    for step in steps:
        command = inside(python.tree, step, binds) if python.tree else step
        environment = outside_environment(settings)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd="/")
        if done.returncode:
            pytest.fail(f"{step[1:3]} for Python {python.version}: {done.stdout}{done.stderr}", pytrace=False)
    installed.write_text(wanted)
