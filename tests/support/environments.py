"""Real environments, locked and built once by the real `mlenv` program, for all tests and all workers of a run.

They hold wheels of the package index and packages of the Debian archive. Nothing of them outlives the run: another
mlenv may make other bytes, and a test must never meet those of yesterday.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from support.home import only_one, test_home

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedLayer, LockedPlatform
from mlenv.model.platform import Platform

AMD64, ARM64 = Platform.LINUX_AMD64, Platform.LINUX_ARM64

# Everything is pinned, also what the four need: an environment of tests must not change by itself.
COMPUTING = """\
[environment]
name = "computing"
version = "1.0.0"
platforms = ["linux/amd64"]

[python]
version = "3.13"
packages = ["numpy==2.5.5", "scikit-learn==1.9.1", "jax==0.12.0.1", "onnxruntime==1.32.0"]
requirements = ["requirements.txt"]
"""
COMPUTING_NEEDS = """\
cloudpickle==3.1.2
flatbuffers==25.12.19
jaxlib==0.12.0.1
joblib==1.6.0
ml-dtypes==0.6.0
narwhals==2.29.0
opt-einsum==3.4.0
packaging==26.3
protobuf==7.36.2
scipy==1.18.1
threadpoolctl==3.8.0
"""

# One wheel, a file tree with names and links of all kinds, and everything that an image config can say.
ASSORTED = """\
[environment]
name = "assorted"
version = "2.1.0"
platforms = [PLATFORMS]
description = "All that an image can hold"

[python]
version = "3.13"
packages = ["numpy==2.5.5"]

[[files]]
source = "app"
target = "/srv/app"

[container]
workdir = "/srv/app"
command = ["python", "main.py"]
env = { GREETING = "grüß dich", OMP_NUM_THREADS = "1" }
ports = ["8000/tcp"]
volumes = ["/data"]
labels = { "org.example.team" = "tests" }
healthcheck = { command = ["python", "-V"], interval = "30s", timeout = "5s", retries = 2 }
"""
LONG_NAME = "/".join(["a-folder-whose-name-goes-on-and-on-" + "x" * 90] * 3) + "/" + "f" * 150 + ".txt"
FILES: Mapping[str, bytes] = {
    "main.py": b"import os, numpy\nprint(os.environ['GREETING'], int(numpy.arange(5) @ numpy.arange(5)))\n",
    "empty": b"",
    "two words.txt": b"a blank in the name\n",
    "größe/名前.txt": b"not ASCII\n",
    "odd #[*]?=%'\".txt": b"characters that formats give a meaning\n",
    LONG_NAME: b"longer than ustar can say\n",
    "binary": bytes(range(256)) * 1024,
}


@dataclass(frozen=True)
class BuiltEnvironment:
    """A project in `folder`, locked, and built as the OCI layout `layout`; `cache` has all that it needs."""

    folder: Path
    cache: Path

    @property
    def layout(self) -> Path:
        return self.folder / "image"

    @cached_property
    def lock(self) -> Lock:
        return Lock.parse((self.folder / "mlenv.lock").read_text())

    def layers(self) -> dict[Digest, tuple[LockedLayer, LockedPlatform]]:
        """Every layer once, with a platform that it is of."""
        return {layer.digest: (layer, platform) for platform in self.lock.platforms for layer in platform.layers}

    @property
    def name(self) -> str:
        """What the image is called: NAME:VERSION."""
        return f"{self.lock.environment.name}:{self.lock.environment.version}"

    def platform(self, platform: Platform = AMD64) -> LockedPlatform:
        found = self.lock.of(platform)
        assert found is not None
        return found

    def blob(self, digest: Digest) -> Path:
        """Where the layout has it."""
        return self.layout / "blobs" / "sha256" / digest.hex

    def json(self, digest: Digest) -> Any:
        """A manifest, index or config of the layout."""
        return json.loads(self.blob(digest).read_bytes())

    def mlenv(self, *arguments: str | Path, **environ: str) -> str:
        """What `mlenv ARGUMENTS` prints in the project's folder; a status other than 0 fails the test."""
        command = [sys.executable, "-m", "mlenv", *arguments]
        environment = os.environ | {"MLENV_CACHE_DIR": str(self.cache)} | environ
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"mlenv {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout

    def build(self, output: str, platform: Platform | None = None, **environ: str) -> Digest:
        """`mlenv build` to an output; the digest that it prints."""
        chosen = ["--platform", platform] if platform else []
        return Digest.parse(self.mlenv("build", "--offline", "--output", output, *chosen, **environ).strip())

    def lock_and_build(self) -> None:
        self.mlenv("lock")
        self.build(f"oci:{self.layout}")


def write_tree(folder: Path) -> None:
    """The file tree of the assorted environment: FILES, and a link, an executable and an empty folder."""
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "link to main").symlink_to("main.py")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "nothing in it").mkdir()


def _computing(folder: Path) -> None:
    (folder / "mlenv.toml").write_text(COMPUTING)
    (folder / "requirements.txt").write_text(COMPUTING_NEEDS)


def _assorted(*platforms: Platform) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        names = ", ".join(f'"{platform}"' for platform in platforms)
        (folder / "mlenv.toml").write_text(ASSORTED.replace("PLATFORMS", names))
        write_tree(folder / "app")

    return write


PROJECTS: Mapping[str, Callable[[Path], None]] = {
    "computing": _computing,
    "assorted": _assorted(AMD64, ARM64),
    "assorted-amd64": _assorted(AMD64),
}


@contextmanager
def _folder_of_this_run() -> Iterator[Path]:
    """A folder that the workers of one run share. The last one to leave it removes it, after kill -9 the next run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"alone-{os.getpid()}"
    folder = test_home() / "environments" / run
    with only_one("environments"):
        for other in folder.parent.glob("*/in-use"):
            _remove_if_unused(other)
        folder.mkdir(parents=True, exist_ok=True)
        mark = (folder / "in-use").open("w")
        fcntl.flock(mark, fcntl.LOCK_SH)
    try:
        yield folder
    finally:
        mark.close()
        with only_one("environments"):
            _remove_if_unused(folder / "in-use")


def _remove_if_unused(mark: Path) -> None:
    try:
        with mark.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(mark.parent, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):  # another worker is in it, or was the last one and removed it
        pass


@pytest.fixture(scope="session")
def environments() -> Iterator[Callable[[str], BuiltEnvironment]]:
    """`environments("computing")` is one of PROJECTS, locked and built; the first worker to ask does the work."""
    with _folder_of_this_run() as home:

        def get(name: str) -> BuiltEnvironment:
            built = BuiltEnvironment(home / name, home / "cache")
            with only_one(f"environment-{name}"):
                if not (built.folder / "done").exists():
                    shutil.rmtree(built.folder, ignore_errors=True)
                    built.folder.mkdir()
                    PROJECTS[name](built.folder)
                    built.lock_and_build()
                    (built.folder / "done").touch()
            return built

        yield get


@pytest.fixture(scope="session")
def computing(environments: Callable[[str], BuiltEnvironment]) -> BuiltEnvironment:
    """numpy, scikit-learn, jax and onnxruntime on Debian trixie, linux/amd64: 256 MB."""
    return environments("computing")


@pytest.fixture(scope="session")
def assorted(environments: Callable[[str], BuiltEnvironment]) -> BuiltEnvironment:
    """Names, links and settings of all kinds and numpy, for linux/amd64 and linux/arm64: 80 MB each."""
    return environments("assorted")
