"""Small projects for the tests of the whole program."""

from pathlib import Path

import pytest
from support.refusals import Project
from support.small_projects import copy_project, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that was never locked, with an empty cache."""
    return make_project(tmp_path / "new")


@pytest.fixture(scope="session")
def _locked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("locked"), packages=("demo", "other"))
    made.edit("[python]", '[[files]]\nsource = "app"\ntarget = "/app"\n\n[python]\nrequirements = ["more.txt"]')
    (made.root / "app").mkdir()
    (made.root / "app" / "main.py").write_text("print(1)\n")
    (made.root / "more.txt").write_text("demo<2\n")
    result = made.run("lock")
    assert result.status == 0, result.err
    return made


@pytest.fixture
def locked(_locked: Project, tmp_path: Path) -> Project:
    """A project of its own that was locked, with all that it needs in its cache: nothing has changed since."""
    return copy_project(_locked, tmp_path / "locked")
