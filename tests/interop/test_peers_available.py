"""The programs and engines of others that the interoperability tests compare with are there.

A test that compares with a peer skips where the peer is missing. This one names all of them in one place, so that a
machine on which half of the comparisons would not happen is seen at a glance.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import Engine
from support.programs import debian_packages

Finder = Callable[[str], Path]


@pytest.mark.parametrize("program", sorted(debian_packages()))
def test_the_program_is_installed(program: str, require_tool: Finder) -> None:
    assert require_tool(program).is_file()


@pytest.mark.parametrize(
    ("program", "arguments", "expected"),
    [
        ("skopeo", ["--version"], "skopeo version"),
        ("umoci", ["--version"], "umoci version"),
        ("podman", ["--version"], "podman version"),
        ("buildah", ["--version"], "buildah version"),
        ("pigz", ["--version"], "pigz"),
        ("igzip", ["--version"], "igzip"),
    ],
)
def test_the_program_runs(program: str, arguments: list[str], expected: str, require_tool: Finder) -> None:
    done = subprocess.run([require_tool(program), *arguments], capture_output=True, text=True, check=True)
    assert expected in done.stdout + done.stderr


def test_netbsd_mtree_is_the_one_that_is_found(require_tool: Finder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")

    listed = subprocess.run(
        [require_tool("mtree"), "-c", "-k", "sha256", "-p", tmp_path], capture_output=True, check=True
    )

    assert b"ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" in listed.stdout


@pytest.mark.parametrize("name", ["crane", "cosign", "oras"])
def test_the_program_of_the_next_suite_is_to_be_had(name: str, peer: Finder) -> None:
    assert peer(name).is_file()


def test_the_engine_answers(all_engines: Engine) -> None:
    assert all_engines.client().ping() is True
