"""The real things that the fixtures bring are there and work."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from support.engines import Engine
from support.images import REFERENCE, write_loadable
from support.interpreters import OtherPython
from support.registry import Registry, credentials

Finder = Callable[[str], Path]


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def loaded(all_engines: Engine, tiny_image: Path, tmp_path: Path) -> Engine:
    (image,) = all_engines.load(write_loadable(tiny_image, tmp_path / "tiny.tar"))
    assert REFERENCE in image.tags
    return all_engines


def test_an_engine_runs_an_image_without_network(loaded: Engine) -> None:
    assert loaded.run(REFERENCE) == "tiny\n"
    interfaces = loaded.run(REFERENCE, "/bin/sh", "-c", "cat /proc/net/dev")
    assert [line.split(":")[0].strip() for line in interfaces.splitlines()[2:] if ":" in line].count("eth0") == 0


def test_an_engine_says_what_a_command_printed_that_failed(loaded: Engine) -> None:
    with pytest.raises(docker.errors.ContainerError, match="no such user"):
        loaded.run(REFERENCE, "/bin/sh", "-c", "echo no such user >&2; exit 3")


def test_the_engines_are_the_versions_and_stores_that_they_are_named_for(all_engines: Engine) -> None:
    version = all_engines.client().version()["Version"]
    driver = all_engines.client().info()["Driver"]

    if all_engines.kind.startswith("28.5"):
        assert version.startswith("28.5.")
    # The containerd store's driver is the snapshotter `overlayfs`; the classic one's never has that name.
    assert (driver == "overlayfs") == (all_engines.store == "containerd")


def test_the_classic_store_names_an_image_by_its_config_and_the_containerd_store_by_its_manifest(
    loaded: Engine, tiny_image: Path, require_tool: Finder
) -> None:
    skopeo = require_tool("skopeo")
    manifest = run(skopeo, "inspect", "--format", "{{.Digest}}", f"oci:{tiny_image}:1").strip()

    identity = loaded.client().images.get(REFERENCE).id

    assert (identity == manifest) == (loaded.store == "containerd")


def test_the_registry_takes_an_image_that_crane_finds_whole(
    registry: Registry, tiny_image: Path, require_tool: Finder, peer: Finder
) -> None:
    target = f"{registry.host}/fixtures/tiny:1"
    run(require_tool("skopeo"), "copy", "--dest-tls-verify=false", f"oci:{tiny_image}:1", f"docker://{target}")

    assert "PASS" in run(peer("crane"), "validate", "--insecure", "--remote", target)


def test_the_private_registry_wants_its_password(
    private_registry: Registry, tiny_image: Path, require_tool: Finder, tmp_path: Path
) -> None:
    skopeo = require_tool("skopeo")
    target = f"docker://{private_registry.host}/fixtures/tiny:1"
    copy: list[str | Path] = [skopeo, "copy", "--dest-tls-verify=false", f"oci:{tiny_image}:1", target]

    nobody = tmp_path / "nobody.json"
    nobody.write_text("{}")
    refused = subprocess.run([*copy, "--authfile", nobody], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "authentication required" in refused.stderr

    run(*copy, "--authfile", credentials(private_registry, tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("name", "arguments"), [("crane", ["version"]), ("oras", ["version"]), ("cosign", ["version"])]
)
def test_a_peer_runs_here(peer: Finder, name: str, arguments: list[str]) -> None:
    assert run(peer(name), *arguments)


def test_another_python_imports_the_installed_mlenv(other_python: OtherPython, tmp_path: Path) -> None:
    code = "import mlenv, sys; print(sys.version.split()[0].rpartition('.')[0], mlenv.__file__)"

    done = other_python.run(["python", "-c", code], cwd=tmp_path)

    version, file = done.stdout.split()
    assert version == other_python.version
    assert file.startswith(str(other_python.prefix))


def test_another_python_shares_a_folder_with_the_test(other_python: OtherPython, tmp_path: Path) -> None:
    code = "import os, pathlib; pathlib.Path('seen').write_text(os.environ['MLENV_PROBE'])"

    other_python.run(["python", "-c", code], cwd=tmp_path, env={"MLENV_PROBE": "yes"})

    assert (tmp_path / "seen").read_text() == "yes"


def test_a_full_disk_is_full(full_disk: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught:
        (full_disk / "large").write_bytes(bytes(8 * 1024 * 1024))
    assert caught.value.errno == errno.ENOSPC


def test_without_network_not_even_loopback_answers(
    registry: Registry, netless: Callable[..., "subprocess.CompletedProcess[str]"], require_tool: Finder
) -> None:
    done = netless([require_tool("skopeo"), "list-tags", "--tls-verify=false", f"docker://{registry.host}/x"])

    assert done.returncode != 0
    assert "unreachable" in done.stderr


def test_nothing_is_imported_from_the_checkout() -> None:
    if os.environ.get("MLENV_TEST_INSTALLED") != "1":
        return  # a developer may well test the checkout
    import mlenv

    assert "site-packages" in Path(str(mlenv.__file__)).parts
