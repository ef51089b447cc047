"""`mlenv build --provenance`: what is written, when nothing is, and whose key it takes."""

import json
import os
import shutil
import stat
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.refusals import Project, Result, assert_refused
from support.signers import policy, signer

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.progress import SILENT
from mlenv.model.report import Status
from mlenv.sources.trust.bundles import read_bundle
from mlenv.trust.bundle import Bundle
from mlenv.trust.keys import KeyType
from mlenv.trust.slsa import Provenance
from mlenv.verify.provenance import check_provenance
from mlenv.verify.target import looking_at

PASSWORD = "correct horse"


def generate(folder: Path, kind: str = "ecdsa-p256", name: str = "ci") -> Path:
    """A key made by `mlenv keys generate`."""
    path = folder / name
    subprocess.run(
        [sys.executable, "-m", "mlenv", "keys", "generate", "--type", kind, "--output", str(path)],
        env=os.environ | {"MLENV_KEY_PASSWORD": PASSWORD},
        check=True,
        capture_output=True,
    )
    return path


def plain_key(folder: Path) -> Path:
    """The private key of `signer("ci")`, not encrypted."""
    path = folder / "plain"
    path.write_bytes(signer("ci").private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return path


def build(project: Project, *arguments: str | Path, password: str = PASSWORD) -> Result:
    command = ["build", "-o", "oci:out", "--provenance", "built.json", *map(str, arguments)]
    return project.run(*command, environ={"MLENV_KEY_PASSWORD": password})


def read(project: Project, name: str = "built.json") -> Provenance:
    bundle = Bundle.parse((project.root / name).read_bytes())
    return Provenance.parse(bundle.envelope.payload)


def assert_nothing_secret(lines: Iterable[str], key: Path) -> None:
    secrets = [PASSWORD, *[line for line in key.read_text().splitlines() if line and not line.startswith("-----")]]
    for text in lines:
        assert not any(secret in text for secret in secrets)


@pytest.mark.parametrize("kind", list(KeyType))
def test_what_was_built_is_said_and_signed(locked: Project, tmp_path: Path, kind: KeyType) -> None:
    key = generate(tmp_path, kind)
    before = datetime.now(UTC).replace(microsecond=0)
    result = build(locked, "--key", key, "-vv")
    assert result.status == 0, result.err
    assert result.out.strip() == f"sha256:{locked.locked_digest().removeprefix('sha256:')}"
    assert "built.json" in result.changed
    assert_nothing_secret([result.out, result.err], key)
    said = read(locked)
    assert [(one.name, str(one.digest)) for one in said.subjects] == [("image/linux/amd64", locked.image_digest())]
    assert said.locks == {Digest.of(locked.lock.read_bytes())}
    assert (said.environment, said.version, said.platforms) == ("small", "1", ("linux/amd64",))
    assert before <= said.started <= said.finished <= datetime.now(UTC)
    base = json.loads((locked.root / "base" / "index.json").read_text())["manifests"][0]["digest"]
    assert [(one.name, str(one.digest), one.uri) for one in said.dependencies[1:]] == [("base/linux/amd64", base, "")]
    mode = stat.S_IMODE((locked.root / "built.json").stat().st_mode)
    assert mode == 0o644


@pytest.mark.parametrize("output", ["oci:out", "oci-archive:out.tar"])
def test_a_policy_believes_its_builder(locked: Project, tmp_path: Path, output: str) -> None:
    done = locked.run("build", "-o", output, "--provenance", "built.json", "--key", str(plain_key(tmp_path)))
    assert done.status == 0, done.err
    bundle = read_bundle(locked.root / "built.json")
    data = locked.lock.read_bytes()
    lock = Lock.parse(data.decode())
    transport, _, place = output.partition(":")
    looked = looking_at(f"{transport}:{locked.root / place}", SILENT)(lock)
    trusted, now = policy("alice", builders=["ci"]), datetime.now(UTC)
    assert {one.status for one in check_provenance(bundle, lock, data, looked, trusted, now)} == {Status.PASS}
    nobody = check_provenance(bundle, lock, data, looked, policy("alice"), now)
    assert [one.check for one in nobody if one.status is Status.FAIL] == ["provenance.signature"]


def test_where_the_image_goes_changes_nothing_that_is_said(locked: Project, tmp_path: Path) -> None:
    key = plain_key(tmp_path)
    for name, output in (("one.json", "oci:out"), ("two.json", "oci-archive:out.tar")):
        done = locked.run("build", "-o", output, "--provenance", name, "--key", str(key), "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["provenance"] == name
    one, two = read(locked, "one.json"), read(locked, "two.json")
    assert one.to_bytes().split(b'"runDetails"')[0] == two.to_bytes().split(b'"runDetails"')[0]
    assert one.subjects == two.subjects


def test_the_key_may_be_named_by_the_environment(locked: Project, tmp_path: Path) -> None:
    locked.environ["MLENV_KEY"] = str(plain_key(tmp_path))
    assert build(locked).status == 0
    assert Bundle.parse((locked.root / "built.json").read_bytes()).envelope.is_signed_by(signer("ci").public_key)


def test_a_program_may_sign(locked: Project, tmp_path: Path) -> None:
    key, public = plain_key(tmp_path), tmp_path / "ci.pub"
    public.write_text(signer("ci").public_key.pem)
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not here")
    result = build(locked, "--key", public, "--signer-command", f"{openssl} dgst -sha256 -sign {key}")
    assert result.status == 0, result.err
    bundle = Bundle.parse((locked.root / "built.json").read_bytes())
    assert bundle.hint == signer("ci").public_key.hint
    assert bundle.envelope.is_signed_by(signer("ci").public_key)


def test_an_earlier_file_is_replaced_as_a_whole(locked: Project, tmp_path: Path) -> None:
    (locked.root / "built.json").write_text("old")
    assert build(locked, "--key", plain_key(tmp_path)).status == 0
    assert read(locked).environment == "small"
    assert [path.name for path in locked.root.iterdir() if ".mlenv-" in path.name] == []


def test_a_wrong_passphrase_is_said_before_anything_is_built(locked: Project, tmp_path: Path) -> None:
    key = generate(tmp_path)
    result = build(locked, "--key", key, password="wrong")
    assert_refused(result, status=3, says=["passphrase"])
    assert not (locked.root / "out").exists()


def test_there_has_to_be_a_key(locked: Project) -> None:
    assert_refused(build(locked), status=2, says=["no key to sign with", "--key"])


@pytest.mark.parametrize("options", [["--key", "ci"], ["--signer-command", "sign"]])
def test_a_key_without_provenance_is_a_mistake(locked: Project, options: list[str]) -> None:
    result = locked.run("build", "-o", "oci:out", *options)
    assert_refused(result, status=2, says=["an image is not signed, its provenance is", "--provenance FILE"])


@pytest.mark.parametrize("place", ["nowhere/built.json", "base"])
def test_a_place_that_cannot_be_written_is_said_first(locked: Project, tmp_path: Path, place: str) -> None:
    command = ["build", "-o", "oci:out", "--provenance", place, "--key", str(plain_key(tmp_path))]
    assert_refused(locked.run(*command), status=2, says=[place, "a folder that exists"])


@pytest.mark.parametrize("place", ["mlenv.lock", "mlenv.lock.sigstore.json", "../project/mlenv.lock.ci.sigstore.json"])
def test_a_lock_and_its_signatures_are_never_overwritten(locked: Project, tmp_path: Path, place: str) -> None:
    command = ["build", "-o", "oci:out", "--provenance", place, "--key", str(plain_key(tmp_path))]
    assert_refused(locked.run(*command), status=2, says=["the lock and its signatures have this name"])


def test_a_build_that_fails_leaves_no_provenance(locked: Project, tmp_path: Path) -> None:
    for path in (locked.root / "base" / "blobs" / "sha256").iterdir():
        path.write_bytes(b"something else")
    shutil.rmtree(locked.cache)
    (locked.root / "built.json").write_text("that of an earlier build")
    result = build(locked, "--key", plain_key(tmp_path))
    assert result.status == 7, result.err
    assert (locked.root / "built.json").read_text() == "that of an earlier build"


def test_a_stale_lock_leaves_no_provenance(locked: Project, tmp_path: Path) -> None:
    locked.edit('version = "1"', 'version = "2"')
    assert_refused(build(locked, "--key", plain_key(tmp_path)), status=1, says=["mlenv lock"])


def test_a_program_that_signs_wrongly_leaves_no_provenance(locked: Project, tmp_path: Path) -> None:
    public = tmp_path / "ci.pub"
    public.write_text(signer("ci").public_key.pem)
    result = build(locked, "--key", public, "--signer-command", "head -c 64 /dev/zero")
    assert result.status == 3, result.err
    assert not (locked.root / "built.json").exists()


def test_the_envelope_is_one_of_in_toto(locked: Project, tmp_path: Path) -> None:
    assert build(locked, "--key", plain_key(tmp_path)).status == 0
    value = json.loads((locked.root / "built.json").read_text())
    envelope = value["dsseEnvelope"]
    assert value["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert [list(one) for one in envelope["signatures"]] == [["sig"]]
    assert json.loads(b64decode(envelope["payload"]))["predicateType"] == "https://slsa.dev/provenance/v1"
