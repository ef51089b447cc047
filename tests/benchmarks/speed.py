#!/usr/bin/env python3
"""How fast `mlenv build` is, against what it is measured against, as ratios in one run.

    python tests/benchmarks/speed.py [--rounds 3] [--no-docker] [--keep FOLDER]

Run it with the Python that mlenv and the development dependencies are installed for (./tests/run.sh makes one). The
wheels come from the configured package index. For the two `docker build` rows it must be root, and dockerd and
docker installed; it starts an engine of its own. Every row works on the same wheels and the same base.

The floor is one thread that reads every wheel, inflates it with ISA-L, hashes raw and compressed bytes with sha256 and
writes the compressed bytes.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isal import isal_zlib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PACKAGES = ("jax", "onnxruntime", "transformers", "scikit-learn", "pandas", "pyarrow", "xgboost-cpu")
EXCLUDE_NEWER = "2026-11-01T00:00:00Z"
BASE_PACKAGES = ("python3", "python3-pip", "ca-certificates", "libgomp1", "libstdc++6")
CHUNK = 1 << 20

BASE = """[environment]
name = "bench-base"
version = "1"
[base]
debian = {{ suite = "trixie", packages = {packages} }}
[container]
user = "root"
"""
BENCH = """[environment]
name = "bench"
version = "1"
[base]
image = "oci:base@{digest}"
[python]
packages = {packages}
exclude-newer = {newer}
[[files]]
source = "app"
target = "/app"
"""


class Bench:
    """One project, one cache, and the commands that are timed on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = os.environ | {"MLENV_CACHE_DIR": str(folder / "cache")}
        self.wheels = folder / "wheels"

    def mlenv(self, *arguments: str) -> str:
        """What mlenv prints to standard output."""
        command = [sys.executable, "-m", "mlenv", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def prepare(self) -> None:
        """A base image, a lock, all wheels in the cache and under their names in a folder."""
        import tomllib

        (self.folder / "app").mkdir()
        (self.folder / "app" / "serve.py").write_text("print('hello')\n")
        base = self.folder / "base.toml"
        base.write_text(BASE.format(packages=list(BASE_PACKAGES)))
        self.mlenv("lock", "-q", "--manifest", "base.toml", "--lock", "base.lock")
        self.mlenv("build", "-q", "--manifest", "base.toml", "--lock", "base.lock", "-o", "oci:base")
        digest = without_venv(self.folder / "base")
        text = BENCH.format(digest=digest, packages=list(PACKAGES), newer=EXCLUDE_NEWER)
        (self.folder / "mlenv.toml").write_text(text)
        self.mlenv("lock", "-q")
        self.wheels.mkdir()
        lock = tomllib.loads((self.folder / "mlenv.lock").read_text())
        for wheel in lock["platforms"][0]["wheels"]:
            blob = self.folder / "cache" / "blobs" / "sha256" / wheel["digest"].removeprefix("sha256:")
            shutil.copyfile(blob, self.wheels / wheel["filename"])

    def build(self) -> None:
        """From cached wheels; no layer exists."""
        shutil.rmtree(self.folder / "image", ignore_errors=True)
        self.mlenv("build", "-q", "-o", "oci:image")

    def build_again(self) -> None:
        """Nothing changed."""
        self.mlenv("build", "-q", "-o", "oci:image")

    def lock_again(self) -> None:
        """Nothing changed."""
        self.mlenv("lock", "-q")

    def lock_anew(self) -> None:
        """From cached wheels; no digest of a layer is known, so that everything is inflated and checked."""
        for kind in (self.folder / "cache" / "records").iterdir():
            if kind.name == "layers":
                shutil.rmtree(kind)
        lock = self.folder / "mlenv.lock"
        before = lock.read_bytes()
        lock.unlink()
        self.mlenv("lock", "-q")
        assert lock.read_bytes() == before

    def change_app(self) -> None:
        """One application file changed, then lock and build."""
        app = self.folder / "app" / "serve.py"
        app.write_text(app.read_text() + "# changed\n")
        self.mlenv("lock", "-q")
        self.mlenv("build", "-q", "-o", "oci:image")

    def floor(self) -> None:
        """One thread, in this process."""
        with (self.folder / "floor.bin").open("wb") as out:
            for path in sorted(self.wheels.iterdir()):
                floor_of(path, out)
            out.flush()
        (self.folder / "floor.bin").unlink()

    def uv(self) -> None:
        """`uv pip install` of the same wheels into an empty folder with an empty cache."""
        from uv import find_uv_bin

        target = self.folder / "uv-target"
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as cache:
            python = ["--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_40"]
            options = ["-q", "--no-deps", "--no-index", *python, "--target", target, "--cache-dir", cache]
            wheels = sorted(self.wheels.iterdir())
            subprocess.run([find_uv_bin(), "pip", "install", *map(str, options), *wheels], check=True)


def without_venv(layout: Path) -> str:
    """Make the image of a layout one of Debian packages only: mlenv takes no base that has a /opt/venv. Its digest."""

    def put(document: object, media_type: str) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def get(descriptor: dict[str, str]) -> dict[str, Any]:
        name = descriptor["digest"].removeprefix("sha256:")
        document: dict[str, Any] = json.loads((layout / "blobs" / "sha256" / name).read_bytes())
        return document

    index = json.loads((layout / "index.json").read_bytes())
    manifest = get(index["manifests"][0])
    config = get(manifest["config"])
    config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:1]
    config["history"] = config["history"][:1]
    config["config"] = {"Env": ["PATH=/usr/local/bin:/usr/bin"], "User": "root"}
    manifest["layers"] = manifest["layers"][:1]
    manifest["config"] = put(config, manifest["config"]["mediaType"])
    made = put(manifest, manifest["mediaType"])
    index["manifests"][0] |= made
    (layout / "index.json").write_text(json.dumps(index))
    return str(made["digest"])


def floor_of(path: Path, out: object) -> None:
    """Read, inflate, hash twice, write one wheel."""
    raw, compressed = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file, zipfile.ZipFile(file) as wheel:
        for entry in sorted(wheel.infolist(), key=lambda one: one.header_offset):
            file.seek(entry.header_offset + 26)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
            file.seek(name + extra, os.SEEK_CUR)
            inflate = isal_zlib.decompressobj(-15) if entry.compress_type == zipfile.ZIP_DEFLATED else None
            left = entry.compress_size
            while left:
                chunk = file.read(min(CHUNK, left))
                left -= len(chunk)
                compressed.update(chunk)
                out.write(chunk)  # type: ignore[attr-defined]
                raw.update(inflate.decompress(chunk) if inflate else chunk)


class DockerBuild:
    """`docker build` of the same packages on the same base, by the engine's own builder and by BuildKit.

    The engine's own builder, which Debian's engine uses unless told otherwise, knows no mounts: the wheels are copied
    into a layer first. With BuildKit they are mounted, and sent to the engine once only.
    """

    def __init__(self, bench: Bench, host: str) -> None:
        from uv import find_uv_bin

        self.environ = os.environ | {"DOCKER_HOST": host}
        self.context = bench.folder / "context"
        self.context.mkdir()
        shutil.copytree(bench.wheels, self.context / "wheels")
        shutil.copyfile(find_uv_bin(), self.context / "uv")
        (self.context / "uv").chmod(0o755)
        (self.context / "app").write_text("print('hello')\n")
        archive = bench.folder / "base.tar"
        output = f"docker-archive:{archive}:bench-base:1"
        bench.mlenv("build", "-q", "--manifest", "base.toml", "--lock", "base.lock", "-o", output)
        self._docker("0", "load", "-q", "-i", str(archive))
        mount = "--mount=type=bind,source=wheels,target=/wheels --mount=type=bind,source=uv,target=/uv"
        common = ["--no-index", "--find-links", "/wheels", "--break-system-packages", *PACKAGES]
        tools = {
            "pip": ["/usr/bin/python3", "-m", "pip", "install", "-q", "--root-user-action=ignore", *common],
            "uv": ["/uv", "pip", "install", "-q", "--python", "/usr/bin/python3", "--no-cache", *common],
        }
        for tool, words in tools.items():
            run, end = json.dumps(words), "COPY app /app\n"
            (self.context / f"Dockerfile.{tool}.1").write_text(f"FROM bench-base:1\nRUN {mount} {run}\n{end}")
            copies = "COPY wheels /wheels\nCOPY uv /uv\n"
            (self.context / f"Dockerfile.{tool}.0").write_text(f"FROM bench-base:1\n{copies}RUN {run}\n{end}")

    def _docker(self, buildkit: str, *arguments: str) -> str:
        program = shutil.which("docker", path="/usr/bin:/bin") or "docker"
        environ = self.environ | {"DOCKER_BUILDKIT": buildkit}
        done = subprocess.run(
            [program, *arguments], env=environ, cwd=self.context, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"docker {arguments[0]} failed:\n{done.stderr[-3000:]}")
        return done.stdout.strip()

    def build(self, tool: str, buildkit: str) -> str:
        """The id of a new image."""
        file = f"Dockerfile.{tool}.{buildkit}"
        return self._docker(buildkit, "build", "-q", "--no-cache", "--network=none", "-f", file, ".")


@contextmanager
def scratch(keep: Path | None) -> Iterator[Path]:
    """A folder on the disk (not in memory), gone at the end unless it is to be kept."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def measure(rows: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each row, the rows in turn, so that a slow moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds):
        for name, work in rows.items():
            os.sync()  # what an earlier row left to be written is not this one's
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
            print(f"round {number + 1}: {name}: {times[name][-1]:.2f} s", file=sys.stderr)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-docker", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with scratch(options.keep) as folder:
        bench = Bench(folder)
        bench.prepare()
        rows: dict[str, Callable[[], object]] = {
            "mlenv build, cached wheels, no layers": bench.build,
            "floor: one thread, read + inflate + hash + write": bench.floor,
            "uv pip install, empty cache": bench.uv,
            "mlenv lock, cached wheels, no digests": bench.lock_anew,
            "mlenv lock, nothing changed": bench.lock_again,
            "mlenv build, nothing changed": bench.build_again,
            "mlenv lock + build, one app file changed": bench.change_app,
        }
        if options.no_docker:
            report(bench, measure(rows, options.rounds))
            return
        from support.engines import serve
        from support.programs import find_tool

        with serve("20.10-classic", str(find_tool("dockerd"))) as engine:
            docker = DockerBuild(bench, engine.url)
            rows["docker build + pip install"] = lambda: docker.build("pip", "0")
            rows["docker build + uv pip install"] = lambda: docker.build("uv", "0")
            rows["the same with BuildKit and mounts: pip"] = lambda: docker.build("pip", "1")
            rows["the same with BuildKit and mounts: uv"] = lambda: docker.build("uv", "1")
            report(bench, measure(rows, options.rounds))


def report(bench: Bench, times: dict[str, list[float]]) -> None:
    """The table: medians, and each row as a multiple of `mlenv build`, pair by pair."""
    wheels = list(bench.wheels.iterdir())
    files = sum(entry.file_size for path in wheels for entry in zipfile.ZipFile(path).infolist())
    packed = sum(path.stat().st_size for path in wheels)
    print(f"\n{len(wheels)} wheels, {packed / 1e6:.0f} MB, {files / 1e6:.0f} MB of files, {os.cpu_count()} cores\n")
    own = next(iter(times.values()))
    print(f"{'':<52}{'median s':>9}{'min':>8}{'max':>8}{'x mlenv build':>15}")
    for name, seconds in times.items():
        ratio = statistics.median(other / mine for other, mine in zip(seconds, own, strict=True))
        middle = statistics.median(seconds)
        print(f"{name:<52}{middle:>9.2f}{min(seconds):>8.2f}{max(seconds):>8.2f}{ratio:>15.2f}")


if __name__ == "__main__":
    main()
