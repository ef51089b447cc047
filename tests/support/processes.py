"""Servers that the tests start, and end again, by process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest


class Server:
    """A process that lives until `stop`, or until the process that started it dies, however that dies.

    Its output goes to `log`, which a failure to start or to stop shows.
    """

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        # The kernel sends SIGTERM when the tests are killed: nothing stays behind after kill -9 either.
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*guard, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> Self:
        """Returns once `ready()` is true; a server that ends or is late by `seconds` fails the test."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"{self._process.args!r} did not start:\n{self._tail()}", pytrace=False)
            time.sleep(0.05)
        return self

    def stop(self, seconds: float = 30) -> None:
        """SIGTERM, and SIGKILL when the process is still there `seconds` later."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_all_naming(folder: Path) -> None:
    """Kills, by process id, whatever still names `folder`, which only the tests use, in its command line."""
    needle = os.fsencode(folder)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
