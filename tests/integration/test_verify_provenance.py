"""`mlenv verify TARGET --provenance FILE`: whether a trusted builder says that it built just this image."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.key_files import key_file, sign_at, trust
from support.refusals import Project, Result
from support.signers import policy_text

NOW = datetime.now(UTC).replace(microsecond=0)
ASKING = ("verify", "oci:out", "--provenance", "provenance.json", "--json")


@pytest.fixture
def built(locked: Project) -> Project:
    """A project that alice approved, and whose image `builder` built into `out`."""
    sign_at(locked, "alice", NOW - timedelta(days=1))
    trust(locked, policy_text(["alice"], builders=["builder"]))
    build(locked, "builder")
    return locked


def build(project: Project, name: str) -> None:
    key = key_file(project.root.with_name("keys"), name)
    result = project.run("build", "-o", "oci:out", "--provenance", "provenance.json", "--key", str(key))
    assert result.status == 0, result.err


def failures(result: Result) -> dict[str, Any]:
    return {one["check"]: one for one in json.loads(result.out)["findings"] if one["status"] == "fail"}


def test_built_by_a_builder_out_of_this_lock(built: Project) -> None:
    result = built.run(*ASKING)
    assert result.status == 0, result.out
    assert {"provenance.builder", "provenance.lock", "provenance.image"} <= {
        one["check"] for one in json.loads(result.out)["findings"]
    }


def test_whoever_approves_does_not_build(built: Project) -> None:
    build(built, "alice")
    result = built.run(*ASKING)
    assert result.status == 3
    assert "alice is not a builder of small" in failures(result)["provenance.builder"]["message"]


def test_a_builder_that_nobody_knows(built: Project) -> None:
    build(built, "mallory")
    result = built.run(*ASKING)
    assert (result.status, list(failures(result))) == (3, ["provenance.signature"])


def test_the_signature_of_a_lock_is_no_provenance(built: Project) -> None:
    (built.root / "provenance.json").write_bytes((built.root / "mlenv.lock.sigstore.json").read_bytes())
    result = built.run(*ASKING)
    assert (result.status, list(failures(result))) == (3, ["provenance.statement"])


def test_provenance_of_what_was_built_out_of_another_lock(built: Project) -> None:
    other = (built.root / "provenance.json").read_bytes()
    built.edit('version = "1"', 'version = "2"')
    assert built.run("lock", "--offline").status == 0
    sign_at(built, "alice", NOW, serial=2)
    build(built, "builder")
    (built.root / "provenance.json").write_bytes(other)
    result = built.run("verify", "oci:out:2", *ASKING[2:])
    assert result.status == 3
    assert {"provenance.lock", "provenance.image"} <= failures(result).keys()


@pytest.mark.parametrize("arguments", [("lock",), ("oci:out", "--no-signature")])
def test_questions_that_make_no_sense(built: Project, arguments: tuple[str, ...]) -> None:
    result = built.run("verify", *arguments, "--provenance", "provenance.json")
    assert result.status == 2
    assert "--provenance is about an image" in result.err


def test_a_file_that_is_not_there(built: Project) -> None:
    (built.root / "provenance.json").unlink()
    result = built.run(*ASKING)
    assert result.status == 3
    assert "provenance.json" in result.err
