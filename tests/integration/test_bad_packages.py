"""Packages that cannot be had, do not fit, or are not what they should be."""

import hashlib
from pathlib import Path

from support.made_images import ROOT, elf
from support.refusals import Project, assert_refused
from support.small_projects import make_wheel, use_base


def wheel_of(project: Project, name: str = "demo") -> Path:
    (path,) = (project.root / "wheels").glob(f"{name}-*")
    return path


def swap_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forget(project: Project, path: Path) -> None:
    """Take a file out of the cache, as on another machine."""
    (project.cache / "blobs" / "sha256" / hashlib.sha256(path.read_bytes()).hexdigest()).unlink()


def test_versions_that_contradict_one_another(project: Project) -> None:
    make_wheel(project.root / "wheels", "needy", needs=["demo>=2"])
    project.edit('"demo"', '"demo", "needy"')
    assert_refused(
        project.run("lock"), status=5, says=["mlenv.toml python: no set of packages fits", "needy", "demo>=2"]
    )


def test_a_package_that_does_not_exist(project: Project) -> None:
    project.edit('"demo"', '"demo", "nowhere"')
    assert_refused(project.run("lock"), status=5, says=["mlenv.toml python: ", "nowhere", "check its name"])


def test_no_wheel_for_this_base(project: Project) -> None:
    make_wheel(project.root / "wheels", "native", "2.1", tag="cp313-cp313-win_amd64")
    make_wheel(project.root / "wheels", "native", "2.1", tag="cp312-cp312-macosx_11_0_arm64")
    project.edit('"demo"', '"native"')
    says = ["native", "2.1", "cp312-cp312-manylinux", "cp312-cp312-macosx_11_0_arm64"]
    assert_refused(project.run("lock"), status=5, says=says)


def test_only_a_source_distribution(project: Project) -> None:
    (project.root / "wheels" / "sourced-3.0.tar.gz").write_bytes(b"not even one")
    project.edit('"demo"', '"sourced"')
    assert_refused(project.run("lock"), status=5, says=["sourced", "source distribution"])


def test_a_base_older_than_the_wheels_libc(project: Project) -> None:
    use_base(
        project, ROOT | {"usr/lib/x86_64-linux-gnu/libc.so.6": elf(b"GNU C Library stable release version 2.17.\n")}
    )
    make_wheel(project.root / "wheels", "modern", tag="cp312-cp312-manylinux_2_28_x86_64")
    project.edit('"demo"', '"modern"')
    assert_refused(project.run("lock"), status=5, says=["modern", "2.17", "manylinux_2_28_x86_64"])


def test_two_wheels_with_one_path(project: Project) -> None:
    for name in ("first", "second"):
        make_wheel(project.root / "wheels", name, files={"shared.py": f"owner = {name!r}\n".encode()})
    project.edit('"demo"', '"first", "second"')
    says = ["shared.py", "wheel first 1.0", "wheel second 1.0"]
    assert_refused(project.run("lock"), status=5, says=says)


def test_a_truncated_wheel(project: Project) -> None:
    path = wheel_of(project)
    path.write_bytes(path.read_bytes()[:-40])
    assert_refused(project.run("lock"), status=7, says=["demo-1.0-py3-none-any.whl"])


def test_a_wheel_whose_own_record_is_wrong(project: Project) -> None:
    path = wheel_of(project)
    data = path.read_bytes()
    assert data.count(b"version = '1.0'") == 1
    path.write_bytes(data.replace(b"version = '1.0'", b"version = '6.6'"))
    assert_refused(project.run("lock"), status=7, says=["demo-1.0-py3-none-any.whl", "demo.py"])


def test_a_wheel_that_is_no_longer_the_locked_one(locked: Project) -> None:
    path = wheel_of(locked)
    forget(locked, path)
    swap_a_byte(path)
    assert_refused(locked.run("build", "--output", "oci:out"), status=7, says=["demo-1.0-py3-none-any.whl"])


def test_a_locked_wheel_that_is_gone(locked: Project) -> None:
    path = wheel_of(locked)
    forget(locked, path)
    path.unlink()
    assert_refused(locked.run("build", "--output", "oci:out"), status=6, says=["demo"])


def test_a_requirements_file_that_demands_another_hash(project: Project) -> None:
    project.edit("[python]", '[python]\nrequirements = ["more.txt"]')
    (project.root / "more.txt").write_text(f"other==1.0 --hash=sha256:{'0' * 64}\n")
    assert_refused(project.run("lock"), status=7, says=["other"])
