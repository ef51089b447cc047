"""Docker engines of the tests' own: private socket, data and state, no bridge, no firewall rules."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.images import Image
from support.home import only_one
from support.processes import Server, end_all_naming
from support.trees import inside

# A socket's path has at most 107 bytes, which a checkout's path may use up.
STATES = Path("/var/tmp")
PREFIX = "mlenv-engine-"

KINDS = ("20.10-classic", "28.5-classic", "28.5-containerd")


@dataclass(frozen=True)
class Engine:
    """An engine that runs. `kind` is one of KINDS, `pid` dockerd's, `state` the folder of all it writes."""

    kind: str
    state: Path
    pid: int

    @property
    def url(self) -> str:
        return f"unix://{self.state}/docker.sock"

    @property
    def store(self) -> str:
        """`classic` (an image's id is its config's digest) or `containerd` (its manifest's)."""
        return self.kind.partition("-")[2]

    @cached_property
    def _client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.url, timeout=300)

    def client(self) -> docker.DockerClient:
        """docker-py, connected; the engine closes it."""
        return self._client

    def load(self, archive: Path) -> list[Image]:
        """What `docker load` does with the tar `archive`."""
        with archive.open("rb") as file:
            return list(self.client().images.load(file))

    def run(self, image: str, *command: str, **options: Any) -> str:
        """What `command` prints in a new container of `image`, which has no network and is removed afterwards.

        A status other than 0 raises docker.errors.ContainerError, which holds what went to stderr.
        """
        output = self.client().containers.run(image, list(command) or None, network_mode="none", remove=True, **options)
        return bytes(output).decode()

    def answers(self) -> bool:
        """Whether the engine serves requests yet."""
        if not (self.state / "docker.sock").exists():
            return False
        try:
            return bool(self.client().ping())
        except (docker.errors.DockerException, OSError):
            return False

    def close(self) -> None:
        """Ends all containers, which would otherwise have ten seconds each to end themselves."""
        for container in self.client().containers.list():
            container.kill()
        self.client().close()


def _dockerd(dockerd: str, state: Path, kind: str) -> list[str]:
    features = f'{{"containerd-snapshotter": {str(kind.endswith("containerd")).lower()}}}'
    settings = "{}" if kind.startswith("20.10") else f'{{"features": {features}}}'
    (state / "daemon.json").write_text(settings)
    return [
        dockerd,
        f"--config-file={state}/daemon.json",
        f"--host=unix://{state}/docker.sock",
        f"--data-root={state}/data",
        f"--exec-root={state}/exec",
        f"--pidfile={state}/docker.pid",
        # Where a containerd of the machine's runs, dockerd uses it: under names that only this engine knows.
        f"--containerd-namespace={state.name}",
        f"--containerd-plugins-namespace={state.name}-plugins",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--shutdown-timeout=2",
    ]


@contextmanager
def serve(kind: str, dockerd: str, tree: Path | None = None) -> Iterator[Engine]:
    """An engine until the block ends. With a `tree`, it is the one installed there."""
    _clear_what_killed_tests_left()
    state = STATES / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    state.mkdir(mode=0o700)
    command = _dockerd(dockerd, state, kind)
    server = Server(inside(tree, command, [state]) if tree else command, state / "log")
    engine = Engine(kind, state, server.pid)
    try:
        server.wait_until(engine.answers, 120)
        yield engine
        engine.close()
    finally:
        server.stop(30)
        _clear(state)


def _clear(state: Path) -> None:
    end_all_naming(state)
    _unmount_below(state)
    shutil.rmtree(state, ignore_errors=True)


def _clear_what_killed_tests_left() -> None:
    """After kill -9 the engines end by themselves; their folders, and containers that were running, do not."""
    for state in STATES.glob(f"{PREFIX}*"):
        owner = state.name.removeprefix(PREFIX).split("-")[0]
        if not Path("/proc", owner).exists():
            with only_one("leftovers"):
                _clear(state)


def _unmount_below(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}{os.sep}")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
