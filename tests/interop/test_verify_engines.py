"""`mlenv verify docker-daemon:NAME:TAG` with real engines of both stores, and images that others copied."""

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines import Engine
from support.environments import AMD64, ARM64, BuiltEnvironment
from support.made_images import tar_of
from support.refusals import Project
from support.small_projects import make_project

from mlenv.model.platform import Platform

Finder = Callable[[str], Path]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project that is locked and built as the layout `out`."""
    made = make_project(tmp_path_factory.mktemp("engines"))
    for arguments in (["lock"], ["build", "--output", "oci:out"]):
        result = made.run(*arguments)
        assert result.status == 0, result.err
    return made


@pytest.fixture
def name(project: Project, all_engines: Engine) -> Iterator[str]:
    """The image under a name of this test's own in the engine."""
    name = f"mlenv-test/verify-{secrets.token_hex(4)}:1"
    project.environ["DOCKER_HOST"] = all_engines.url
    result = project.run("build", "--output", f"docker-daemon:{name}")
    assert result.status == 0, result.err
    yield name
    for container in all_engines.client().containers.list(all=True, filters={"ancestor": name}):
        container.remove(force=True)
    all_engines.client().images.remove(name, force=True)


def verify(project: Project, name: str) -> dict[str, Any]:
    """The report on an image in the engine."""
    result = project.run("verify", f"docker-daemon:{name}", "--no-signature", "--json")
    assert "Traceback" not in result.err
    report: dict[str, Any] = json.loads(result.out)
    assert result.status == report["exit_status"]
    return report


def messages(report: dict[str, Any], *statuses: str) -> list[str]:
    """What was found in the image with one of these statuses."""
    found = [one for one in report["findings"] if one["check"].startswith("image.")]
    return [one["message"] for one in found if one["status"] in (statuses or ("fail", "unverifiable"))]


def test_the_image_passes_in_every_engine(all_engines: Engine, project: Project, name: str) -> None:
    report = verify(project, name)
    assert report["exit_status"] == 0, report
    found = [one for one in report["findings"] if one["check"].startswith("image.")]
    assert {one["trusted"] for one in found} == {"engine"}
    assert [one["check"] for one in found] == ["image.manifest", "image.config", *["image.layer"] * 3]
    assert found[0]["status"] == ("pass" if all_engines.store == "containerd" else "skipped")
    assert ("keeps no manifest" in found[0]["message"]) == (all_engines.store == "classic")


def test_another_image_under_the_name(
    all_engines: Engine, project: Project, name: str, tiny_image: Path, require_tool: Finder
) -> None:
    archive = project.root.parent / "another.tar"
    skopeo: list[str | Path] = [
        require_tool("skopeo"),
        "copy",
        f"oci:{tiny_image}",
        f"docker-archive:{archive}:mlenv-test/tiny:1",
    ]
    archive.unlink(missing_ok=True)
    subprocess.run(skopeo, check=True, capture_output=True)
    all_engines.load(archive)
    repository, _, tag = name.partition(":")
    all_engines.client().images.get("mlenv-test/tiny:1").tag(repository, tag)
    report = verify(project, name)
    assert report["exit_status"] == 1
    found = messages(report)
    assert "the config is not the locked one" in found
    assert any("layer 2 (venv) is not in the image" in one for one in found)
    all_engines.client().images.remove("mlenv-test/tiny:1", force=True)


def test_a_change_that_was_committed_under_the_name(all_engines: Engine, project: Project, name: str) -> None:
    client = all_engines.client()
    container = client.containers.create(name, ["none"], network_mode="none")
    container.put_archive("/", tar_of({"evil.py": b"import os"}))
    repository, _, tag = name.partition(":")
    container.commit(repository, tag, changes=["ENV LD_PRELOAD=/evil.so", "USER 0"])
    container.remove()
    report = verify(project, name)
    assert report["exit_status"] == 1
    found = messages(report)
    assert "the config is not the locked one" in found
    assert "the config's User is not as locked" in found
    assert any(one.startswith("layer 4 of the image is not in the lock") for one in found)
    assert any("Env LD_PRELOAD" in one for one in messages(report, "skipped"))
    assert any("layer 3 (wheels demo)" in one for one in messages(report, "pass"))


def test_an_edit_in_the_engines_own_storage(all_engines: Engine, project: Project, name: str) -> None:
    image = all_engines.client().images.get(name)
    if all_engines.store == "classic":
        (path,) = Path(image.attrs["GraphDriver"]["Data"]["UpperDir"]).rglob("demo.py")
    else:
        digest = json.loads((project.root / "out" / "index.json").read_text())["manifests"][0]["digest"]
        manifest = json.loads((project.root / "out" / "blobs" / digest.replace(":", "/")).read_text())
        (path,) = all_engines.state.rglob(manifest["layers"][-1]["digest"].removeprefix("sha256:"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + b"X" + whole[-2:])
    try:
        report = verify(project, name)
    finally:
        path.write_bytes(whole)
    assert report["exit_status"] in (1, 4)
    (said,) = messages(report)
    noticed = "file integrity checksum failed" if all_engines.store == "classic" else "digest"
    assert said.startswith("the engine did not hand the image out: ")
    assert noticed in said
    assert verify(project, name)["exit_status"] == 0


def test_an_image_that_is_not_there(all_engines: Engine, project: Project) -> None:
    project.environ["DOCKER_HOST"] = all_engines.url
    result = project.run("verify", "docker-daemon:mlenv-test/absent:1", "--no-signature")
    assert result.status == 6
    assert "the engine has no image mlenv-test/absent:1" in result.err
    assert "hint: " in result.err


def test_no_room_for_a_copy_of_the_image(project: Project, name: str, full_disk: Path) -> None:
    (full_disk / "filler").write_bytes(bytes((4 << 20) - (8 << 10)))
    result = project.run("verify", f"docker-daemon:{name}", "--no-signature", environ={"TMPDIR": str(full_disk)})
    assert result.status == 6, result
    assert "no room for a copy of the image" in result.err
    assert [path.name for path in full_disk.iterdir()] == ["filler"]


# Several platforms, and the copies of others


def report_of(built: BuiltEnvironment, target: str, **environ: str) -> dict[str, Any]:
    """The report on a target that passes."""
    report: dict[str, Any] = json.loads(built.mlenv("verify", target, "--no-signature", "--json", **environ))
    return report


@pytest.mark.parametrize("modern_engine", ["containerd"], indirect=True)
def test_an_index_in_an_engine_that_keeps_one(
    tmp_path: Path, assorted: BuiltEnvironment, modern_engine: Engine
) -> None:
    archive = tmp_path / "x.tar"
    assorted.build(f"oci-archive:{archive}")
    modern_engine.load(archive)
    report = report_of(assorted, f"docker-daemon:{assorted.name}", DOCKER_HOST=modern_engine.url)
    assert report["ok"]
    index = next(one for one in report["findings"] if one["check"] == "image.index")
    assert (index["status"], index["observed"]) == ("pass", str(assorted.lock.index))


@pytest.mark.parametrize("platform", [AMD64, ARM64])
def test_one_platform_of_two(tmp_path: Path, assorted: BuiltEnvironment, platform: Platform) -> None:
    assorted.build(f"oci:{tmp_path}/out", platform)
    report = report_of(assorted, f"oci:{tmp_path}/out")
    other = ARM64 if platform is AMD64 else AMD64
    assert f"locked, but not in this image: {other}" in messages(report, "skipped")
    report = report_of(assorted, f"oci:{assorted.layout}")
    assert report["ok"]
    assert "there is an image for every locked platform" in messages(report, "pass")


def test_what_skopeo_copied_passes_unless_it_packed_the_layers_anew(
    tmp_path: Path, project: Project, require_tool: Finder
) -> None:
    skopeo = require_tool("skopeo")
    for options, target in (
        ([], f"oci:{tmp_path}/layout"),
        ([], f"oci-archive:{tmp_path}/x.tar"),
        (["--dest-compress", "--dest-compress-format", "zstd"], f"oci:{tmp_path}/zstd"),
    ):
        copy: list[str | Path] = [skopeo, "copy", *options, f"oci:{project.root}/out:1", f"{target}:1"]
        subprocess.run(copy, check=True, capture_output=True)
    for target in (f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/x.tar:1"):
        assert project.run("verify", target, "--no-signature").status == 0
    result = project.run("verify", f"oci:{tmp_path}/zstd", "--no-signature", "--json")
    if result.status == 0:  # this skopeo leaves layers alone that are compressed already
        return
    assert result.status == 1
    assert any("is packed anew, with the same content" in one for one in messages(json.loads(result.out)))
