"""Who may import whom, and which folders may read the world around them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.home import CHECKOUT

# Their results follow from their arguments alone.
PURE = ("model", "oci", "layers", "resolve", "build", "trust", "signing", "verify/checks", "report")
# What takes bytes and gives findings, and never opens, asks or starts anything itself.
CORE = ("trust", "verify/checks")
DOORS = {"io", "mmap", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}
WORLD_MODULES = {
    "getpass",
    "http",
    "locale",
    "random",
    "requests",
    "secrets",
    "socket",
    "time",
    "urllib.request",
    "uuid",
}
WORLD_NAMES = {
    "os.environ",
    "os.getenv",
    "os.urandom",
    "os.umask",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "datetime.datetime.now",
    "datetime.date.today",
    "date.today",
}


def test_imports_go_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run([linter, "--no-cache"], cwd=CHECKOUT, capture_output=True, text=True, check=False)

    # Its report names the contract and every import on the offending path.
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :] + done.stderr


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for file in sorted((CHECKOUT / "mlenv" / folder).rglob("*.py")):
            yield file.relative_to(CHECKOUT).as_posix(), parsed(file)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def world_read_by(node: ast.AST) -> list[str]:
    read = [name for name in imported(node) if {name, name.split(".")[0]} & WORLD_MODULES]
    return read + [name for name in [dotted(node)] if name in WORLD_NAMES]


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("folder", PURE)
def test_only_the_edges_read_clock_environment_network_or_randomness(folder: str) -> None:
    found = [
        f"{name}:{node.lineno}: {what}"
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.expr | ast.stmt)
        for what in world_read_by(node)
    ]
    assert found == []


@pytest.mark.parametrize("folder", CORE)
def test_the_core_of_the_verifier_does_no_input_or_output(folder: str) -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import | ast.ImportFrom) and {one.split(".")[0] for one in imported(node)} & DOORS)
        or (isinstance(node, ast.Call) and dotted(node.func) in {"open", "input", "exec", "eval"})
    ]
    assert list(modules(folder))
    assert found == []


def test_only_the_command_line_prints() -> None:
    folders = [folder.name for folder in (CHECKOUT / "mlenv").iterdir() if folder.is_dir() and folder.name != "cli"]
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules(*folders)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) in {"print", "sys.exit", "sys.stdout.write"}
    ]
    assert found == []
