"""A wrong mlenv.toml: every problem at once, each where it is, with what to do."""

import pytest
from support.refusals import Project, assert_refused


def line_of(project: Project, text: str) -> int:
    (number,) = (at for at, line in enumerate(project.manifest.read_text().splitlines(), 1) if text in line)
    return number


@pytest.mark.parametrize("command", ["lock", "build", "pin"])
def test_no_manifest(project: Project, command: str) -> None:
    project.manifest.unlink()
    arguments = ("--output", "oci:out") if command == "build" else ()
    assert_refused(
        project.run(command, *arguments), status=2, says=["mlenv.toml: there is no such file", "`mlenv init`"]
    )


def test_an_unknown_key_with_the_known_one_that_is_meant(project: Project) -> None:
    project.edit("find-links", "find-link")
    place = f"mlenv.toml:{line_of(project, 'find-link')} python.find-link: "
    assert_refused(project.run("lock"), status=2, says=[place, "find-links"])


def test_a_wrong_type(project: Project) -> None:
    project.edit('packages = ["demo"]', 'packages = "demo"')
    assert_refused(project.run("lock"), status=2, says=[f"mlenv.toml:{line_of(project, 'packages')} python.packages: "])


def test_all_problems_at_once_and_as_one_document(project: Project) -> None:
    project.edit('version = "1"', "version = 1")
    project.edit('"linux/amd64"', '"linux/amd64", "plan9/mips"')
    project.edit("find-links", "find-link")
    places = [
        f"mlenv.toml:{line_of(project, 'version')} environment.version: ",
        f"mlenv.toml:{line_of(project, 'plan9')} environment.platforms[1]: ",
        f"mlenv.toml:{line_of(project, 'find-link')} python.find-link: ",
    ]
    assert_refused(project.run("lock"), status=2, says=places, problems=3)
    assert_refused(project.run("lock", "--json"), status=2, says=places, problems=3, json_=True)


def test_a_tag_without_digest_is_refused_with_its_digest_and_pinned(project: Project) -> None:
    text = project.manifest.read_text()
    digest = text.partition("oci:base@")[2].partition('"')[0]
    loose = text.replace(f"oci:base@{digest}", "oci:base:1")
    project.manifest.write_text(loose)
    place = f"mlenv.toml:{line_of(project, 'oci:base')} base.image: "
    assert_refused(project.run("lock"), status=2, says=[place, digest, "`mlenv pin`"])

    result = project.run("pin")
    assert (result.status, result.changed) == (0, ("mlenv.toml",)), result.err
    assert project.manifest.read_text() == loose.replace("oci:base:1", f"oci:base:1@{digest}")
    assert project.run("lock").status == 0


def test_not_toml(project: Project) -> None:
    project.edit("[python]", "[python")
    assert_refused(project.run("lock"), status=2, says=["mlenv.toml:", "not TOML"])


def test_not_utf8(project: Project) -> None:
    project.manifest.write_bytes(project.manifest.read_bytes() + b"# caf\xe9\n")
    count = len(project.manifest.read_bytes().splitlines())
    assert_refused(project.run("lock"), status=2, says=[f"mlenv.toml:{count}: not UTF-8"])


def test_two_megabytes(project: Project) -> None:
    project.manifest.write_text(project.manifest.read_text() + "# padding\n" * 200_000)
    assert_refused(project.run("lock"), status=2, says=["mlenv.toml: larger than 1 MiB"])


def test_a_folder_in_its_place(project: Project) -> None:
    project.manifest.unlink()
    project.manifest.mkdir()
    assert_refused(project.run("lock"), status=2, says=["mlenv.toml"])


@pytest.mark.parametrize("path", ["absent.txt", "wheels"])
def test_a_requirements_file_that_cannot_be_read(project: Project, path: str) -> None:
    project.edit("[python]", f'[python]\nrequirements = ["{path}"]')
    assert_refused(project.run("lock"), status=2, says=["mlenv.toml", "python.requirements", path])


def test_a_requirement_that_is_none(project: Project) -> None:
    project.edit('"demo"', '"demo=1"')
    assert_refused(project.run("lock"), status=2, says=["python.packages[0]", "demo=1"])


def test_a_requirements_file_that_holds_none(project: Project) -> None:
    project.edit("[python]", '[python]\nrequirements = ["more.txt"]')
    (project.root / "more.txt").write_text("demo\n=== what\n")
    assert_refused(project.run("lock"), status=2, says=["more.txt:2:1"])


def test_a_file_tree_that_is_not_there(project: Project) -> None:
    project.edit("[python]", '[[files]]\nsource = "absent"\ntarget = "/app"\n\n[python]')
    assert_refused(project.run("lock"), status=2, says=["absent"])


def test_a_folder_of_wheels_that_is_not_there(project: Project) -> None:
    project.edit('"wheels"', '"absent"')
    assert_refused(project.run("lock"), status=2, says=["absent"])
