"""What schema/auditing.md tells an auditor to run holds for what mlenv writes, and fails where something is wrong."""

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import locks
from support.auditing import BEFORE, COSIGN, IMAGE, OPENSSL, PAGE, SERIAL, SEVERAL, assert_fails_at, blocks, follow
from support.refusals import Project
from support.signers import signed, signer, statement
from support.small_projects import make_project

from mlenv.model.canonical import canonical_json
from mlenv.model.lock import Lock
from mlenv.model.manifest import Environment
from mlenv.model.platform import Platform
from mlenv.trust.keys import KeyType, Signer

Finder = Callable[[str], Path]

NOW = datetime.now(UTC).replace(microsecond=0)
ENVIRONMENT = Environment(name="fraud-detection", version="1.0", platforms=(Platform.LINUX_AMD64,))
CHECKS = (OPENSSL, SEVERAL, SERIAL)


def payload(lock: Lock, **changes: Any) -> bytes:
    fields = {"environment": "fraud-detection", "serial": 7, "issued_at": NOW, "expires": NOW + timedelta(days=1)}
    return statement(lock, **(fields | changes)).to_bytes()


def lay_out(folder: Path, signed_bytes: bytes, by: Signer | None = None, name: str = "") -> Path:
    """A bundle under the name of a signer, and that signer's key; gives the bundle's path."""
    by = by or signer("alice")
    bundle = folder / (f"mlenv.lock.{name}.sigstore.json" if name else "mlenv.lock.sigstore.json")
    bundle.write_bytes(signed(signed_bytes, by).data)
    (folder / f"{name or 'alice'}.pub").write_text(by.public_key.pem)
    return bundle


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(bundle.read_text())
    change(value)
    bundle.write_text(json.dumps(value))


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    lock = locks.lock(environment=ENVIRONMENT)
    (tmp_path / "mlenv.lock").write_bytes(lock.to_toml().encode())
    return lock


def test_all_signers_of_a_lock_are_checked(tmp_path: Path, lock: Lock) -> None:
    words = payload(lock)
    lay_out(tmp_path, words)
    lay_out(tmp_path, words, signer("bob", KeyType.ED25519), "bob")
    lay_out(tmp_path, words, signer("carol"), "carol")

    for bundle, key in (
        ("mlenv.lock.sigstore.json", "alice.pub"),
        ("mlenv.lock.bob.sigstore.json", "bob.pub"),
        ("mlenv.lock.carol.sigstore.json", "carol.pub"),
    ):
        done = follow(tmp_path, *CHECKS, names={"mlenv.lock.sigstore.json": bundle, "alice.pub": key})
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "statement.json").read_bytes() == words


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"environment": "fraud-training"}, "jq -e --arg name fraud-detection"),
        ({"serial": 6}, "jq -e .predicate.serial >= 7"),
        ({"issued_at": NOW - timedelta(days=2), "expires": NOW - timedelta(days=1)}, "jq -e .predicate | (.issuedAt"),
        ({"issued_at": NOW + timedelta(hours=2)}, "jq -e .predicate | (.issuedAt"),
    ],
    ids=["another environment", "an older serial", "expired", "not yet issued"],
)
def test_an_approval_that_does_not_count_fails(tmp_path: Path, lock: Lock, changes: dict[str, Any], at: str) -> None:
    lay_out(tmp_path, payload(lock, **changes))

    assert_fails_at(at, follow(tmp_path, *CHECKS))


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"), "jq -e .mediaType"),
        (lambda value: value["dsseEnvelope"].update(payloadType="application/json"), "jq -e .dsseEnvelope.payloadType"),
        (lambda value: value["dsseEnvelope"]["signatures"].append({}), "jq -e .dsseEnvelope.signatures | length == 1"),
        (lambda value: value["dsseEnvelope"].update(signatures=[]), "jq -e .dsseEnvelope.signatures | length == 1"),
        (lambda value: value["dsseEnvelope"].pop("payload"), "openssl dgst"),
        (lambda value: value["dsseEnvelope"]["signatures"][0].pop("sig"), "openssl dgst"),
        (lambda value: value["verificationMaterial"].pop("publicKey"), "test null = "),
    ],
    ids=["media type", "payload type", "two signatures", "none", "no payload", "no bytes of a signature", "no hint"],
)
def test_a_bundle_of_another_form_fails(
    tmp_path: Path, lock: Lock, change: Callable[[dict[str, Any]], None], at: str
) -> None:
    edit(lay_out(tmp_path, payload(lock)), change)

    assert_fails_at(at, follow(tmp_path, *CHECKS))


def test_an_expired_approval_does_not_come_back_by_an_edited_statement(tmp_path: Path, lock: Lock) -> None:
    bundle = lay_out(tmp_path, payload(lock, issued_at=NOW - timedelta(days=3), expires=NOW - timedelta(days=2)))

    def prolong(value: dict[str, Any]) -> None:
        said = json.loads(b64decode(value["dsseEnvelope"]["payload"]))
        said["predicate"]["expires"] = "2999-01-01T00:00:00Z"
        value["dsseEnvelope"]["payload"] = b64encode(json.dumps(said).encode()).decode()

    edit(bundle, prolong)

    assert_fails_at("openssl dgst", follow(tmp_path, OPENSSL))


def test_a_lock_with_crlf_fails(tmp_path: Path, lock: Lock) -> None:
    lay_out(tmp_path, payload(lock))
    (tmp_path / "mlenv.lock").write_bytes(lock.to_toml().encode().replace(b"\n", b"\r\n"))

    assert_fails_at("test ", follow(tmp_path, OPENSSL))


def test_a_lock_that_is_one_of_two_fails(tmp_path: Path, lock: Lock) -> None:
    both = json.loads(payload(lock))
    both["subject"].append({"name": "mlenv.lock", "digest": {"sha256": "00" * 32}})
    lay_out(tmp_path, canonical_json(both))

    assert_fails_at("test ", follow(tmp_path, OPENSSL))


def test_a_statement_that_says_two_things_fails(tmp_path: Path, lock: Lock) -> None:
    words = payload(lock)
    twice = words.replace(b'"serial":7', b'"serial":9,"serial":7')
    assert twice != words
    for said in (twice, words + b"{}", words + b"\n"):
        lay_out(tmp_path, said)
        done = follow(tmp_path, OPENSSL)
        assert done.returncode != 0
        assert "cmp" in done.stderr
        assert "_type" not in done.stderr


@pytest.mark.parametrize("kind", [["RSA"], ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]], ids=["RSA", "P-384"])
def test_a_true_signature_by_a_key_of_another_kind_fails(
    tmp_path: Path, lock: Lock, kind: list[str], require_tool: Finder
) -> None:
    openssl = require_tool("openssl")
    words = payload(lock)
    bundle = lay_out(tmp_path, words)
    said = tmp_path / "said"
    said.write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(words), words))
    key, public = tmp_path / "key", tmp_path / "alice.pub"
    subprocess.run([openssl, "genpkey", "-algorithm", *kind, "-out", key], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", key, "-pubout", "-out", public], check=True)
    signature = subprocess.run([openssl, "dgst", "-sha256", "-sign", key, said], check=True, capture_output=True)
    hashed = subprocess.run(
        [openssl, "pkey", "-pubin", "-in", public, "-outform", "DER"], check=True, capture_output=True
    )
    digest = subprocess.run(
        [openssl, "dgst", "-sha256", "-binary"], input=hashed.stdout, check=True, capture_output=True
    )

    def resign(value: dict[str, Any]) -> None:
        value["dsseEnvelope"]["signatures"][0]["sig"] = b64encode(signature.stdout).decode()
        value["verificationMaterial"]["publicKey"]["hint"] = b64encode(digest.stdout).decode()

    edit(bundle, resign)
    done = follow(tmp_path, OPENSSL)

    assert_fails_at("false", done)
    assert "alice.pub is neither a P-256 nor an Ed25519 key" in done.stderr


def test_signers_of_two_approvals_are_not_counted_together(tmp_path: Path, lock: Lock) -> None:
    lay_out(tmp_path, payload(lock))
    lay_out(tmp_path, payload(lock, serial=8), signer("bob"), "bob")

    assert follow(tmp_path, OPENSSL).returncode == 0
    assert_fails_at("test 2 -eq 1", follow(tmp_path, OPENSSL, SEVERAL))


def test_one_key_under_two_names_is_not_counted_twice(tmp_path: Path, lock: Lock) -> None:
    words = payload(lock)
    lay_out(tmp_path, words)
    lay_out(tmp_path, words, signer("alice"), "bob")

    assert follow(tmp_path, OPENSSL).returncode == 0
    assert_fails_at(f"test -z {signer('alice').public_key.hint}", follow(tmp_path, OPENSSL, SEVERAL))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A locked and signed project whose image lies in the folder `image`."""
    project = make_project(tmp_path_factory.mktemp("audited"))
    project.edit('name = "small"', 'name = "fraud-detection"')
    project.environ["MLENV_KEY_PASSWORD"] = "correct horse"
    for command in (
        ["lock"],
        ["build"],
        ["keys", "generate", "-o", "../alice.key"],
        ["keys", "generate", "-o", "../bob.key", "--type", "ed25519"],
        ["sign", "--key", "../alice.key", "--serial", "7"],
        ["sign", "--key", "../bob.key", "--as", "bob"],
    ):
        done = project.run(*command)
        assert done.status == 0, done.err
    for name in ("alice", "bob"):
        shutil.copy(project.root / f"../{name}.key.pub", project.root / f"{name}.pub")
    return project


@pytest.fixture
def audited(built: Project, tmp_path: Path, require_tool: Finder) -> Path:
    require_tool("skopeo")
    return Path(shutil.copytree(built.root, tmp_path / "audited"))


@pytest.mark.parametrize("name", ["", "bob"])
def test_what_mlenv_signed_and_built_is_what_the_page_expects(audited: Path, name: str, peer: Finder) -> None:
    theirs = (
        {"mlenv.lock.sigstore.json": f"mlenv.lock.{name}.sigstore.json", "alice.pub": f"{name}.pub"} if name else {}
    )

    done = follow(audited, *CHECKS, COSIGN, IMAGE, names=theirs, programs=[peer("cosign")])

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", ["config", "layers"])
def test_a_flipped_bit_in_the_image_fails(audited: Path, what: str) -> None:
    (entry,) = json.loads((audited / "image" / "index.json").read_text())["manifests"]
    blobs = audited / "image" / "blobs" / "sha256"
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_text())
    descriptor = manifest["config"] if what == "config" else manifest["layers"][-1]
    blob = blobs / descriptor["digest"].removeprefix("sha256:")
    data = bytearray(blob.read_bytes())
    data[-20] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)

    assert_fails_at("skopeo copy", follow(audited, OPENSSL, IMAGE))


def test_another_image_in_the_layout_fails(audited: Path) -> None:
    shutil.rmtree(audited / "image")
    shutil.copytree(audited / "base", audited / "image")

    assert_fails_at("test ", follow(audited, OPENSSL, IMAGE))


def test_a_lock_that_names_another_image_fails(audited: Path) -> None:
    lock = audited / "mlenv.lock"
    one = Lock.parse(lock.read_text())
    subjects = json.loads(payload(one))
    base, other = one.platforms[0].base.manifest, "0" * 64
    assert base  # a digest that the lock names at another place is none of an image
    for digest in (base.hex, other):
        subjects["subject"][1]["digest"]["sha256"] = digest
        lay_out(audited, canonical_json(subjects))
        assert follow(audited, OPENSSL).returncode == 0
        done = follow(audited, OPENSSL, IMAGE)
        assert done.returncode != 0
        assert "grep -qxF" in done.stderr
        assert "skopeo" not in done.stderr


def test_git_leaves_the_bytes_alone_where_it_is_told_so(tmp_path: Path, lock: Lock, require_tool: Finder) -> None:
    git = require_tool("git")
    was = tmp_path / "was"
    was.mkdir()
    lay_out(was, payload(lock))
    (was / "mlenv.lock").write_bytes(lock.to_toml().encode())
    (was / ".gitattributes").write_text(PAGE.read_text().split("```gitattributes\n")[1].split("```")[0])

    def run(*arguments: str | Path) -> None:
        identity = ["-c", "user.name=alice", "-c", "user.email=alice@example.org"]
        subprocess.run([git, *identity, *arguments], cwd=was, check=True, capture_output=True)

    run("init", "--quiet")
    run("add", ".")
    run("commit", "--quiet", "-m", "a lock")
    run("clone", "--quiet", "-c", "core.autocrlf=true", was, tmp_path / "is")

    for file in ("mlenv.lock", "mlenv.lock.sigstore.json"):
        assert (tmp_path / "is" / file).read_bytes() == (was / file).read_bytes()
    assert b"\r\n" in (tmp_path / "is" / "alice.pub").read_bytes()  # which it was not told of


def test_the_page_names_all_that_a_statement_says(lock: Lock) -> None:
    said = json.loads(payload(lock, policy=locks.digest("policy")))
    page = PAGE.read_text()

    for field in said["predicate"]:
        assert f"| `predicate.{field}` |" in page
    for subject in said["subject"]:
        assert f"| subject `{subject['name']}`" in page


def test_every_block_is_one_that_a_test_runs() -> None:
    everything = PAGE.read_text().count("```sh\n")

    assert everything == sum(len(blocks(heading)) for heading in (BEFORE, COSIGN, IMAGE, *CHECKS))
