"""A base in a real registry, from the tag in mlenv.toml to the built image."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from support.refusals import Project
from support.registry import Registry, credentials
from support.small_projects import make_project

from mlenv.model.lock import Lock


def put_base_into(registry: Registry, project: Project, skopeo: Path, *options: str) -> str:
    """The reference of the project's base in the registry, without a digest."""
    reference = f"{registry.host}/bases/python:1"
    command: list[str | Path] = [
        skopeo,
        "copy",
        "-q",
        "--dest-tls-verify=false",
        *options,
        f"oci:{project.root}/base:1",
    ]
    subprocess.run([*command, f"docker://{reference}"], check=True, capture_output=True)
    text = project.manifest.read_text()
    old = text.partition('image = "')[2].partition('"')[0]
    project.manifest.write_text(text.replace(old, reference))
    return reference


def require_image(project: Project) -> None:
    """Locked, built from an empty output, and the same."""
    for command in (["pin"], ["lock"], ["build"]):
        done = project.run(*command)
        assert done.status == 0, done.err
    assert done.out.strip() == str(Lock.parse(project.lock.read_text()).image_digest)


def test_a_tag_is_pinned_locked_and_built(
    registry: Registry, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    project = make_project(tmp_path)
    reference = put_base_into(registry, project, require_tool("skopeo"))
    refused = project.run("lock")
    assert refused.status == 2
    require_image(project)
    digest = project.manifest.read_text().partition(f"{reference}@")[2].partition('"')[0]
    assert digest.startswith("sha256:")
    assert digest in refused.err
    assert "# and one at the end of a line" in project.manifest.read_text()
    base = Lock.parse(project.lock.read_text()).platforms[0].base
    assert base.facts.python == "3.12.4"


def test_a_base_that_was_seen_needs_no_registry(
    registry: Registry, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    project = make_project(tmp_path)
    put_base_into(registry, project, require_tool("skopeo"))
    require_image(project)
    project.lock.unlink()
    for command in (["lock", "--offline"], ["build", "--offline", "-o", "oci:offline"]):
        done = project.run(*command)
        assert done.status == 0, done.err


def test_a_registry_that_wants_a_password(
    private_registry: Registry, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    project = make_project(tmp_path)
    login = f"--dest-creds={private_registry.user}:{private_registry.password}"
    put_base_into(private_registry, project, require_tool("skopeo"), login)
    refused = project.run("pin")
    assert refused.status == 6
    assert str(private_registry.password) not in refused.err
    (tmp_path / "docker").mkdir()
    credentials(private_registry, tmp_path / "docker" / "config.json")
    project.environ["DOCKER_CONFIG"] = str(tmp_path / "docker")
    require_image(project)
    assert str(private_registry.password) not in project.lock.read_text()
