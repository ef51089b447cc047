"""The first of the README's two commands, as written, in a fresh copy of the project."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.home import CHECKOUT
from support.programs import require_root

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("quickstart")]

DIGEST = re.compile(r"^(locked|built|again)\s+(sha256:[0-9a-f]{64})$", re.MULTILINE)
MACHINE = (
    "PATH",
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
)


def fresh_copy(folder: Path) -> Path:
    """What a clone holds of what the quickstart needs."""
    copy = folder / "mlenv"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(CHECKOUT / name, copy)
    for name in ("mlenv", "examples", "schema"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("out", "__pycache__"))
    return copy


def environment(home: Path, **more: str) -> dict[str, str]:
    """Little but the way to the package index. The tests' own virtual environment is not on the PATH."""
    kept = {name: os.environ[name] for name in MACHINE if name in os.environ}
    return kept | {"HOME": str(home), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} | more


def require_same(out: str) -> None:
    """The locked digest is the one that was built, twice."""
    digests = dict(DIGEST.findall(out))
    assert set(digests) == {"locked", "built", "again"}
    assert len(set(digests.values())) == 1


def test_as_root_it_ends_with_a_prediction(tmp_path: Path, require_tool: Callable[[str], Path]) -> None:
    require_root("the quickstart starts an engine")
    require_tool("dockerd")
    copy = fresh_copy(tmp_path)
    command = [copy / "examples" / "quickstart" / "run.sh"]
    done = subprocess.run(command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    require_same(done.stdout)
    assert "iris 5.1 3.5 1.4 0.2: setosa" in done.stdout
    assert "iris 6.7 3.0 5.2 2.3: virginica" in done.stdout
    assert "what the engine has is what was signed" in done.stdout
    assert "Where everything lies" in done.stdout


def test_as_an_ordinary_user_without_an_engine(require_tool: Callable[[str], Path]) -> None:
    require_root("another user is impersonated")
    folder = Path("/var/tmp") / f"mlenv-quickstart-{os.getpid()}"  # pytest's folders are for one user only
    folder.mkdir(mode=0o755)
    try:
        copy = fresh_copy(folder)
        subprocess.run(["chown", "--recursive", "12345:12345", folder], check=True)
        command: list[str | Path] = [require_tool("setpriv"), "--reuid=12345", "--regid=12345", "--clear-groups"]
        command += [copy / "examples" / "quickstart" / "run.sh", "--no-engine"]
        done = subprocess.run(
            command,
            env=environment(folder), cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        require_same(done.stdout)
        assert "is what mlenv.lock says, approved by" in done.stdout
        assert (copy / "examples" / "quickstart" / "out" / "image" / "index.json").exists()
    finally:
        shutil.rmtree(folder)


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [CHECKOUT / "examples" / "quickstart" / "run.sh", "--what"],
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "usage:" in done.stderr
