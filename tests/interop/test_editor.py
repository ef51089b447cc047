"""Taplo, which is in Even Better TOML and other editors' extensions, checks mlenv.toml by our JSON Schema."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.manifests import FULL
from typer.testing import CliRunner

from mlenv.cli import app


@pytest.fixture(scope="module")
def taplo() -> str:
    found = shutil.which("taplo", path=Path(sys.executable).parent) or shutil.which("taplo")
    if found is None:
        pytest.skip("needs the program taplo, which the development group has")
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert CliRunner().invoke(app, ["init", "--manifest", str(tmp_path / "mlenv.toml")]).exit_code == 0
    return tmp_path


def check(taplo: str, project: Path) -> tuple[int, str]:
    """Nothing but the first line of mlenv.toml says where the schema is."""
    done = subprocess.run(
        [taplo, "check", "--colors", "never", "mlenv.toml"], cwd=project, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_what_init_writes_is_right(taplo: str, project: Path) -> None:
    assert check(taplo, project)[0] == 0


def test_a_full_manifest_is_right(taplo: str, project: Path) -> None:
    (project / "mlenv.toml").write_text(FULL.replace("./schema/", "./"))
    assert check(taplo, project)[0] == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[pyhton]", "'pyhton' was unexpected"),
        ("[resources]\nmemory = '5 cows'", "5 cows"),
        ("[resources]\npids = 'many'", "integer"),
        ("[base]\nimage = 'Python'", "Python"),
        ("[[models]]\nname = 'a'", "uri"),
    ],
)
def test_what_is_wrong_is_shown(taplo: str, project: Path, lines: str, words: str) -> None:
    with (project / "mlenv.toml").open("a") as file:
        file.write(lines)
    status, said = check(taplo, project)
    assert status == 1
    assert words in said
