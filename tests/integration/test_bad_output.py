"""Outputs that cannot be written, or would destroy something."""

from pathlib import Path

import pytest
from support.refusals import Project, assert_refused


@pytest.mark.parametrize(
    "output",
    ["out", "oci:", "docker-daemon:small", "docker-archive:", "oci-archive:a:b c", "tar:out", "docker-daemon:Small:1"],
)
def test_no_output_at_all(locked: Project, output: str) -> None:
    assert_refused(locked.run("build", "--output", output), status=2, says=[f"'{output}'", "oci:DIR[:TAG]"])


def test_a_registry(locked: Project) -> None:
    assert_refused(
        locked.run("build", "--output", "docker://127.0.0.1:9/small:1"), status=2, says=["registry", "skopeo copy"]
    )


def test_an_option_without_its_value(locked: Project) -> None:
    assert_refused(locked.run("build", "--output"), status=2, says=["--output", "--help"])
    assert_refused(locked.run("build", "--json", "--output"), status=2, says=["--output"], json_=True)


def test_a_platform_that_does_not_exist(locked: Project) -> None:
    result = locked.run("build", "--output", "oci:out", "--platform", "linux/mips")
    assert_refused(result, status=2, says=["linux/mips", "linux/amd64", "linux/arm64"])


def test_a_platform_that_is_not_locked(locked: Project) -> None:
    result = locked.run("build", "--output", "oci:out", "--platform", "linux/arm64")
    assert_refused(result, status=2, says=["linux/arm64", "it has linux/amd64"])


def test_a_file_where_a_layout_should_be(locked: Project) -> None:
    (locked.root / "out").write_text("mine")
    assert_refused(locked.run("build", "--output", "oci:out"), status=6, says=["out"])


def test_a_folder_where_an_archive_should_be(locked: Project) -> None:
    (locked.root / "out").mkdir()
    (locked.root / "out" / "mine").write_text("mine")
    assert_refused(locked.run("build", "--output", "oci-archive:out"), status=6, says=["out"])


@pytest.mark.parametrize("name", ["mine", "blobs.txt", ".hidden"])
def test_a_folder_with_other_things_stays_untouched(locked: Project, name: str) -> None:
    path = locked.root / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert_refused(locked.run("build", "--output", "oci:out"), status=2, says=["out", "not an OCI layout"])


def test_a_layout_of_a_later_version_stays_untouched(locked: Project) -> None:
    (locked.root / "out").mkdir()
    (locked.root / "out" / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    (locked.root / "out" / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    assert_refused(locked.run("build", "--output", "oci:out"), status=7, says=["out", "imageLayoutVersion"])


def test_below_a_file(locked: Project) -> None:
    assert_refused(locked.run("build", "--output", "oci:mlenv.toml/out"), status=6, says=["mlenv.toml"])
    assert_refused(locked.run("build", "--output", "oci-archive:mlenv.toml/out"), status=6, says=["mlenv.toml"])


def test_in_a_folder_that_is_not_there(locked: Project) -> None:
    assert_refused(locked.run("build", "--output", "docker-archive:absent/out.tar"), status=6, says=["absent"])


@pytest.mark.parametrize("output", ["oci:/proc/out", "oci-archive:/proc/out.tar"])
def test_where_nobody_may_write(locked: Project, output: str) -> None:
    assert_refused(locked.run("build", "--output", output), status=6, says=["/proc"])


def test_an_engine_that_does_not_answer(locked: Project, tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}
    result = locked.run("build", "--output", "docker-daemon:small:1", environ=environ)
    assert_refused(
        result,
        status=6,
        says=["docker-daemon:", "the engine does not answer: No such file or directory", "DOCKER_HOST"],
    )
    assert list((locked.cache / "tmp").iterdir()) == []


def test_a_second_build_into_the_same_layout_is_the_same(locked: Project) -> None:
    first = locked.run("build", "--output", "oci:out")
    assert (first.status, first.out.strip()) == (0, locked.image_digest())
    second = locked.run("build", "--output", "oci:out")
    assert (second.status, second.changed) == (0, ())
