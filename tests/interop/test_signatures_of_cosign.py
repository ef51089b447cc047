"""Bundles that cosign writes: mlenv takes one over the words that others signed, and counts it beside theirs.

With P-256 keys only: cosign 3.1 signs with Ed25519 keys in a way (Ed25519ph) that its own verifier refuses afterwards.
"""

import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.locks import lock as make_lock
from support.signers import NOW, policy, signed, signer, statement

from mlenv.trust.bundle import Bundle
from mlenv.trust.judge import Judgement, NamedBundle, judge_lock
from mlenv.trust.keys import KeyType
from mlenv.trust.policy import TrustPolicy

Finder = Callable[[str], Path]

LOCK = make_lock()
DATA = LOCK.to_toml().encode()


@dataclass(frozen=True)
class Cosign:
    """cosign with a key of the tests, and without any service: it asks no network."""

    program: Path
    folder: Path

    def run(self, *arguments: str | Path) -> str:
        environ = os.environ | {"COSIGN_PASSWORD": "correct horse", "HOME": str(self.folder)}
        command = [self.program, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def take_key(self, name: str) -> None:
        pem = signer(name).private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / "plain.key").write_bytes(pem)
        self.run("import-key-pair", "--key", "plain.key", "--output-key-prefix", "cosign")

    def attest(self, *what: str | Path) -> NamedBundle:
        services = ["--signing-config", "no-services.json", "--trusted-root", "no-authorities.json"]
        self.run("attest-blob", "--key", "cosign.key", "--bundle", "bundle", *services, "--yes", *what)
        return NamedBundle("mlenv.lock.cosign.sigstore.json", (self.folder / "bundle").read_bytes())


@pytest.fixture
def cosign(tmp_path: Path, peer: Finder) -> Cosign:
    made = Cosign(peer("cosign"), tmp_path)
    (tmp_path / "no-services.json").write_text(made.run("signing-config", "create"))
    (tmp_path / "no-authorities.json").write_text(made.run("trusted-root", "create"))
    return made


def judge(*bundles: NamedBundle, by: TrustPolicy) -> Judgement:
    return judge_lock(DATA, bundles, by, NOW)


@pytest.mark.parametrize("kind", list(KeyType))
def test_cosign_signs_the_same_words_as_others(cosign: Cosign, kind: KeyType) -> None:
    alice, bob = signer("alice", kind), signer("bob")
    words = statement(LOCK).to_bytes()
    (cosign.folder / "statement.json").write_bytes(words)
    cosign.take_key("bob")

    theirs = cosign.attest("--statement", "statement.json")
    trust = TrustPolicy.of_keys([alice.public_key, bob.public_key], 2)
    alone, together = judge(theirs, by=trust), judge(signed(words, alice), theirs, by=trust)

    assert alone.approval is None
    assert together.approval is not None, together.findings
    assert Bundle.parse(theirs.data).envelope.payload == words


def test_cosign_writes_the_form_that_mlenv_does(cosign: Cosign) -> None:
    (cosign.folder / "statement.json").write_bytes(statement(LOCK).to_bytes())
    cosign.take_key("alice")

    theirs = json.loads(cosign.attest("--statement", "statement.json").data)
    ours = json.loads(signed(statement(LOCK).to_bytes(), signer("alice")).data)
    for bundle in (theirs, ours):
        assert len(b64decode(bundle["dsseEnvelope"]["signatures"][0].pop("sig"))) in range(64, 73)

    assert theirs == ours


def test_a_statement_that_cosign_makes_itself_is_refused_by_its_name(cosign: Cosign) -> None:
    """It says v0.1, and names only the file."""
    said = json.loads(statement(LOCK).to_bytes())
    (cosign.folder / "predicate.json").write_text(json.dumps(said["predicate"]))
    (cosign.folder / "mlenv.lock").write_bytes(DATA)
    cosign.take_key("alice")

    theirs = cosign.attest("--predicate", "predicate.json", "--type", "https://mlenv.dev/lock/v1", "mlenv.lock")
    judgement = judge(theirs, by=policy("alice"))

    assert judgement.approval is None
    assert any("Statement" in str(one) for one in judgement.findings), judgement.findings
