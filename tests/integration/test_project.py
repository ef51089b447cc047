"""What the project promises about itself: its top level, its wheel, its change log, the commands in its README."""

import os
import re
import tomllib
import zipfile
from collections import Counter
from email.parser import BytesParser
from typing import Any

import pytest
import typer.main
from packaging.version import Version
from support.home import CHECKOUT
from support.interpreters import built_wheel
from support.programs import debian_packages

from mlenv import errors
from mlenv.cli import app
from mlenv.errors import MlenvError

TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "mlenv", "schema", "tests", "examples"}
MADE_BY_TOOLS = {"build", "dist"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="module")
def wheel() -> zipfile.ZipFile:
    return zipfile.ZipFile(built_wheel())


def test_the_top_level_holds_only_what_it_should() -> None:
    here = {entry.name for entry in CHECKOUT.iterdir() if not entry.name.startswith(".")}
    assert here - MADE_BY_TOOLS == TOP_LEVEL


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(
    wheel: zipfile.ZipFile, project: dict[str, Any]
) -> None:
    names = wheel.namelist()
    information = f"mlenv-{project['version']}.dist-info"
    assert "mlenv/py.typed" in names
    assert f"{information}/licenses/LICENSE" in names
    assert [name for name in names if not name.startswith(("mlenv/", f"{information}/"))] == []


def test_the_wheel_is_what_pyproject_says(wheel: zipfile.ZipFile, project: dict[str, Any]) -> None:
    metadata = BytesParser().parsebytes(wheel.read(f"mlenv-{project['version']}.dist-info/METADATA"))
    assert metadata["Version"] == project["version"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_the_change_log_begins_with_what_is_unreleased_and_goes_back_in_time(project: dict[str, Any]) -> None:
    headings = re.findall(r"^## (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[([^\]]+)\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:]]
    versions = [Version(match[1]) for match in releases if match]
    assert len(versions) == len(releases), f"not of the form [1.2.3] - 2026-01-31: {headings[1:]}"
    assert [Version(project["version"]), *versions] == sorted({Version(project["version"]), *versions}, reverse=True)


def test_the_readme_names_the_two_commands() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    assert {"./examples/quickstart/run.sh", "./tests/run.sh"} <= set(commands(readme))


def test_every_script_that_the_readme_names_can_be_run() -> None:
    scripts = {CHECKOUT / command for command in commands((CHECKOUT / "README.md").read_text())}
    assert [str(script) for script in scripts if not os.access(script, os.X_OK)] == []


def commands(markdown: str) -> list[str]:
    """What a reader would type: lines of code, fenced or indented, that begin with a program of the checkout."""
    return re.findall(r"^\s*(?:\$ )?(\./[\w./-]+)", markdown, re.MULTILINE)


def test_the_readme_explains_every_exit_status() -> None:
    table = (CHECKOUT / "README.md").read_text().partition("### Exit status")[2]
    explained = {int(status) for status in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    raised = {
        kind.exit_status for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MlenvError)
    }
    assert raised <= explained
    assert 0 in explained


def test_the_readme_lists_the_commands_that_there_are() -> None:
    listed = set(re.findall(r"^\| `mlenv ([a-z]+)", (CHECKOUT / "README.md").read_text(), re.MULTILINE))
    assert listed == set(typer.main.get_group(app).commands)


def test_every_test_file_has_a_name_of_its_own() -> None:
    names = Counter(file.name for file in (CHECKOUT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_the_programs_of_the_tests_are_listed_once() -> None:
    lines = (CHECKOUT / "tests" / "debian-packages.txt").read_text().splitlines()
    assert len(debian_packages()) == len([line for line in lines if line and not line.startswith("#")])
