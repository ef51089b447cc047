"""What a relock keeps, what it makes anew, and when a lock is stale."""

import json
from pathlib import Path

import pytest
from support.made_images import PYTHON, ROOT, Link, elf
from support.refusals import Project
from support.small_projects import make_project, make_wheel, use_base

from mlenv.model.lock import Lock, LockedLayer


def lock_of(project: Project) -> Lock:
    return Lock.parse(project.lock.read_text())


def layers(project: Project, kind: str) -> list[LockedLayer]:
    return [layer for layer in lock_of(project).platforms[0].layers if layer.kind == kind]


def versions(project: Project) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock_of(project).platforms[0].wheels}


def locked(project: Project, *options: str) -> str:
    done = project.run("lock", *options)
    assert done.status == 0, done.err
    return done.err


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path, packages=["demo", "other"])
    (made.root / "app").mkdir()
    (made.root / "app" / "serve.py").write_text("print(1)\n")
    made.manifest.write_text(made.manifest.read_text() + '\n[[files]]\nsource = "app"\ntarget = "/app"\n')
    locked(made)
    return made


def test_nothing_changed_writes_nothing(project: Project) -> None:
    before = project.lock.stat()
    assert "nothing changed" in locked(project)
    assert project.lock.stat().st_mtime_ns == before.st_mtime_ns
    assert project.run("lock", "--check").status == 0


def test_a_comment_does_not_make_a_lock_stale(project: Project) -> None:
    project.manifest.write_text("# another comment\n" + project.manifest.read_text())
    assert project.run("lock", "--check").status == 0


def test_pins_are_kept_until_they_are_let_go(project: Project) -> None:
    make_wheel(project.root / "wheels", "demo", "2.0")
    make_wheel(project.root / "wheels", "other", "2.0")
    project.edit('packages = ["demo", "other"]', 'packages = ["demo", "other", "third"]')
    make_wheel(project.root / "wheels", "third")
    locked(project)
    assert versions(project) == {"demo": "1.0", "other": "1.0", "third": "1.0"}
    locked(project, "--upgrade-package", "demo")
    assert versions(project) == {"demo": "2.0", "other": "1.0", "third": "1.0"}
    locked(project, "--upgrade")
    assert versions(project) == {"demo": "2.0", "other": "2.0", "third": "1.0"}


def test_a_new_package_leaves_the_layers_of_the_others_alone(project: Project) -> None:
    before = layers(project, "wheels")
    project.edit('packages = ["demo", "other"]', 'packages = ["demo", "other", "third"]')
    make_wheel(project.root / "wheels", "third")
    locked(project)
    assert layers(project, "wheels")[:-1] == before
    assert layers(project, "wheels")[-1].contents == ("third",)
    locked(project, "--upgrade")
    assert [layer.contents for layer in layers(project, "wheels")] == [("demo", "other", "third")]


def test_a_changed_file_changes_one_layer(project: Project) -> None:
    before = lock_of(project).platforms[0].layers
    (project.root / "app" / "serve.py").write_text("print(2)\n")
    stale = project.run("lock", "--check")
    assert stale.status == 1
    assert "app" in stale.err
    locked(project)
    after = lock_of(project).platforms[0].layers
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_a_relock_needs_no_wheel_that_did_not_change(project: Project) -> None:
    for blob in (project.cache / "blobs" / "sha256").iterdir():
        blob.unlink()
    for wheel in (project.root / "wheels").iterdir():
        wheel.unlink()
    (project.root / "app" / "serve.py").write_text("print(3)\n")
    locked(project, "--offline")
    assert project.run("lock", "--check").status == 0


def test_another_python_makes_the_wheels_layers_anew(project: Project) -> None:
    before = layers(project, "wheels")
    files = {name: data for name, data in ROOT.items() if data is not PYTHON}
    files["usr/local/bin/python3"] = Link("python3.13")
    files["usr/local/bin/python3.13"] = elf(b"3.13.1", b"Python 3.13.1 (main)")
    use_base(project, files)
    locked(project)
    assert lock_of(project).platforms[0].base.facts.python == "3.13.1"
    assert layers(project, "wheels") != before


def test_a_requirements_file_and_what_it_includes_are_watched(project: Project) -> None:
    (project.root / "requirements").mkdir()
    (project.root / "requirements" / "main.txt").write_text("-r more.txt\n-c limits # most\nthird\n")
    (project.root / "requirements" / "more.txt").write_text("# nothing yet\n")
    (project.root / "requirements" / "limits").write_text("-c lowest.txt\n-c ../requirements/limits\n")
    (project.root / "requirements" / "lowest.txt").write_text("# nothing yet\n")
    make_wheel(project.root / "wheels", "third")
    project.edit("find-links", 'requirements = ["requirements/main.txt"]\nfind-links')
    locked(project)
    assert [one.path for one in lock_of(project).requirements] == [
        "requirements/limits",
        "requirements/lowest.txt",
        "requirements/main.txt",
        "requirements/more.txt",
    ]
    assert versions(project)["third"] == "1.0"
    (project.root / "requirements" / "more.txt").write_text("# something else\n")
    stale = project.run("lock", "--check", "--json")
    assert stale.status == 1
    assert json.loads(stale.out)["problems"][0]["where"] == "requirements/more.txt"


def test_the_same_lock_builds_after_the_wheels_folder_moved_on(project: Project) -> None:
    make_wheel(project.root / "wheels", "demo", "2.0")
    done = project.run("build", "-o", "oci:image")
    assert done.status == 0, done.err
    assert done.out.strip() == str(lock_of(project).image_digest)
