"""The programs of others that this machine has."""

import os
import shutil
from pathlib import Path

import pytest
from support.home import CHECKOUT

# Administrators' programs lie outside an ordinary user's PATH.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def debian_packages() -> dict[str, str]:
    """Program -> the Debian package that has it, from tests/debian-packages.txt."""
    lines = (CHECKOUT / "tests" / "debian-packages.txt").read_text().splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {program: package for package, program in pairs}


def find_tool(name: str) -> Path:
    """The program `name` of this machine; skips the test when there is none."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        package = debian_packages().get(name, name)
        pytest.skip(f"needs the program {name}: apt-get install {package}")
    return Path(found)


def require_root(purpose: str) -> None:
    """Skips the test for anybody but root."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root: {purpose}")
