"""The real things that the fixtures bring are there and work."""

import subprocess
from pathlib import Path

from support.engines import Engine
from support.images import REFERENCE, write_loadable


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_every_engine_loads_and_runs_an_image(all_engines: Engine, tiny_image: Path, tmp_path: Path) -> None:
    version = all_engines.client().version()["Version"]
    assert all_engines.kind.startswith(".".join(version.split(".")[:2])) or all_engines.kind.startswith("20.10")

    (loaded,) = all_engines.load(write_loadable(tiny_image, tmp_path / "tiny.tar"))

    assert REFERENCE in loaded.tags
    assert all_engines.run(REFERENCE) == "tiny\n"
    assert all_engines.run(REFERENCE, "/bin/sh", "-c", "cat /proc/net/dev").count("eth0") == 0
