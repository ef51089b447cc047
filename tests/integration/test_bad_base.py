"""Base images on which nothing can stand."""

import pytest
from support.made_images import ROOT, File, elf, make_image, make_index
from support.refusals import Project, assert_refused
from support.small_projects import use_base


def test_without_python(project: Project) -> None:
    use_base(project, {path: content for path, content in ROOT.items() if "python" not in path})
    assert_refused(project.run("lock"), status=5, says=["no Python 3", "choose a base with Python"])


def test_another_python_than_asked_for(project: Project) -> None:
    project.edit("[python]", '[python]\nversion = "3.13"')
    assert_refused(project.run("lock"), status=5, says=["has no Python 3.13", "3.12.4"])


def test_without_a_c_library(project: Project) -> None:
    use_base(project, {path: content for path, content in ROOT.items() if "libc" not in path})
    assert_refused(project.run("lock"), status=5, says=["C library"])


def test_of_another_platform(project: Project) -> None:
    use_base(project, architecture="arm64")
    assert_refused(project.run("lock"), status=5, says=["linux/arm64", "not linux/amd64"])


def test_an_index_without_this_platform(project: Project) -> None:
    layout = project.root / "base"
    old = project.manifest.read_text().partition("oci:base@")[2].partition('"')[0]
    made = make_image(layout, architecture="arm64")
    project.edit(old, make_index(layout, [(made, "arm64")]))
    assert_refused(project.run("lock"), status=5, says=["no image for linux/amd64", "linux/arm64"])


def test_its_python_is_for_another_processor(project: Project) -> None:
    other: dict[str, File] = {"usr/local/bin/python3.12": elf(b"3.12.4", b"Python 3.12.4 (main)", machine=183)}
    use_base(project, ROOT | other)
    assert_refused(project.run("lock"), status=5, says=["arm64", "amd64"])


@pytest.mark.parametrize("which", ["layer", "config", "manifest"])
def test_with_a_blob_that_is_not_its_digest(project: Project, which: str) -> None:
    made = use_base(project)
    digest = {"layer": made.layers[0], "config": made.config, "manifest": made.manifest}[which]
    blob = made.layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    assert_refused(project.run("lock"), status=7, says=[digest])


def test_with_a_missing_layer(project: Project) -> None:
    made = use_base(project)
    (made.layout / "blobs" / "sha256" / made.layers[0].removeprefix("sha256:")).unlink()
    assert_refused(project.run("lock"), status=6, says=[made.layers[0]])


def test_that_is_not_there(project: Project) -> None:
    project.edit("oci:base@", "oci:absent@")
    assert_refused(project.run("lock"), status=2, says=["absent", "there is no such folder"])


def test_a_registry_that_nobody_answers_for(project: Project) -> None:
    digest = project.manifest.read_text().partition("oci:base@")[2].partition('"')[0]
    project.edit(f"oci:base@{digest}", f"127.0.0.1:9/team/base@{digest}")
    assert_refused(project.run("lock"), status=6, says=["127.0.0.1:9"])


def test_changed_since_it_was_locked(locked: Project) -> None:
    layer = max((locked.root / "base" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(b"other bytes")
    assert_refused(locked.run("build", "--output", "oci:out"), status=7, says=[layer.name])
