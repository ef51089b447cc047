"""Programs of others that only a newer Debian suite has, without installing anything."""

import subprocess
from pathlib import Path

import pytest
from support.home import only_one, test_home
from support.programs import find_tool
from support.trees import debian_mirror


def fetch_peer(name: str, suite: str = "forky") -> Path:
    """The program `name` out of the Debian package of the same name in `suite`; needs no root.

    Statically linked Go programs (crane, cosign, oras) run on an older Debian as they are.
    """
    find_tool("apt-get")
    find_tool("dpkg")
    folder = test_home() / "peers" / suite
    program = folder / "root" / "usr" / "bin" / name
    with only_one(f"peers-{suite}"):
        if not program.exists():
            _unpack(name, folder, suite)
    return program


def _unpack(name: str, folder: Path, suite: str) -> None:
    """Downloads the package with an apt of its own, so that the machine's apt never hears of `suite`."""
    options = _apt_options(folder, suite)
    if not any((folder / "lists").glob("*_Packages*")):
        _apt(folder, *options, "update")
    _apt(folder, *options, "download", name)
    (package,) = folder.glob(f"{name}_*.deb")
    subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    package.unlink()


def _apt(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["apt-get", "-q", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"apt-get {arguments[-1]}: {done.stdout}{done.stderr}", pytrace=False)


def _apt_options(folder: Path, suite: str) -> list[str]:
    for part in ("lists/partial", "cache/archives/partial", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f"[signed-by={keyring}] " if keyring.exists() else ""
    (folder / "sources.list").write_text(f"deb {signed}{debian_mirror()} {suite} main\n")
    (folder / "status").touch()
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "",  # the home may be closed to apt's own user
        "APT::Update::Post-Invoke-Success": "",
    }
    return [f"-o{key}={value}" for key, value in settings.items()]
