"""Signatures that nobody here made: Wycheproof, the DSSE protocol's own, sigstore-conformance, and cosign's."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlenv.errors import SigningKeyError
from mlenv.trust.bundle import Bundle
from mlenv.trust.envelope import IN_TOTO, Envelope, pae
from mlenv.trust.keys import PublicKey
from mlenv.trust.statement import LOCK_PREDICATE, LockStatement


@pytest.mark.parametrize(("name", "count"), [("ecdsa_secp256r1_sha256", 484), ("ed25519", 151)])
def test_wycheproof_says_which_signatures_are_valid(name: str, count: int, vectors: Path) -> None:
    """A result is `valid` or `invalid`; none of these vectors is `acceptable`, which would leave the choice to us."""
    groups = json.loads((vectors / "wycheproof" / f"{name}_test.json").read_bytes())["testGroups"]
    wrong, seen = [], 0
    for group in groups:
        key = PublicKey.parse(group["publicKeyPem"].encode())
        assert key.spki == bytes.fromhex(group["publicKeyDer"])
        for test in group["tests"]:
            seen += 1
            accepted = key.verifies(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            if {True: "valid", False: "invalid"}[accepted] != test["result"]:
                wrong.append((test["tcId"], test["comment"], test["result"]))
    assert wrong == []
    assert seen == count


# protocol.md of secure-systems-lab/dsse, "Test Vectors". Its signature is r and s side by side, not DER.
DSSE_X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
DSSE_Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
DSSE_TYPE = "http://example.com/HelloWorld"
DSSE_PAYLOAD = b"hello world"
DSSE_SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_the_published_vector_of_dsse_is_accepted() -> None:
    public = ec.EllipticCurvePublicNumbers(DSSE_X, DSSE_Y, ec.SECP256R1()).public_key()
    key = PublicKey.parse(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    raw = base64.b64decode(DSSE_SIGNATURE)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    assert pae(DSSE_TYPE, DSSE_PAYLOAD) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert Envelope(DSSE_TYPE, DSSE_PAYLOAD, der).is_signed_by(key)
    assert not Envelope(DSSE_TYPE, DSSE_PAYLOAD, raw).is_signed_by(key)  # Sigstore's ECDSA signatures are DER
    assert not Envelope(DSSE_TYPE + "s", DSSE_PAYLOAD, der).is_signed_by(key)


CASES = [
    "managed-key-and-trusted-root",
    "managed-key-happy-path",
    "managed-key-no-key_fail",
    "managed-key-wrong-key_fail",
]


def test_all_cases_of_sigstore_conformance_are_listed_here(vectors: Path) -> None:
    assert sorted(path.name for path in (vectors / "sigstore-conformance").glob("*/")) == CASES


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_of_sigstore_conformance_never_passes(case: str, vectors: Path) -> None:
    """All of them sign bare bytes and have log entries: mlenv checks neither and says so, the good ones included."""
    data = (vectors / "sigstore-conformance" / case / "bundle.sigstore.json").read_bytes()
    with_envelope = json.loads(data)
    del with_envelope["messageSignature"]
    with_envelope["dsseEnvelope"] = Envelope(IN_TOTO, b"{}", b"signature").to_json()

    with pytest.raises(ValueError, match="the bundle has a messageSignature"):
        Bundle.parse(data)
    with pytest.raises(ValueError, match=r"transparency log \(tlogEntries\), which mlenv does not check"):
        Bundle.parse(json.dumps(with_envelope).encode())


@pytest.mark.parametrize("case", CASES[:2])
def test_key_hint_and_signature_of_sigstore_conformance_are_read_as_they_are_meant(case: str, vectors: Path) -> None:
    folder = vectors / "sigstore-conformance"
    key = PublicKey.parse((folder / case / "key.pub").read_bytes())
    bundle = json.loads((folder / case / "bundle.sigstore.json").read_bytes())
    signature = base64.b64decode(bundle["messageSignature"]["signature"])
    artifact = (folder / "a.txt").read_bytes()

    assert key.hint == bundle["verificationMaterial"]["publicKey"]["hint"]
    assert key.verifies(signature, artifact)
    assert not key.verifies(signature, artifact + b"\n")


def test_the_wrong_key_of_sigstore_conformance_is_no_key_at_all(vectors: Path) -> None:
    with pytest.raises(SigningKeyError, match="a public key that cannot be read"):
        PublicKey.parse((vectors / "sigstore-conformance" / "managed-key-wrong-key_fail" / "key.pub").read_bytes())


STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "mlenv.lock", "digest": {"sha256": "0" * 64}}],
    "predicateType": LOCK_PREDICATE,
    "predicate": {
        "environment": "small",
        "serial": 3,
        "issuedAt": "2026-01-31T12:00:00Z",
        "expires": "2027-01-31T12:00:00Z",
    },
}


def test_a_bundle_that_cosign_made_is_read_and_its_signature_accepted(
    peer: Callable[[str], Path], tmp_path: Path
) -> None:
    """Made with a key and without a log: the same form, another spelling of the same JSON in the payload."""
    (tmp_path / "statement.json").write_text(json.dumps(STATEMENT, indent=1) + "\n")
    no_services = {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "rekorTlogConfig": {},
        "tsaConfig": {},
    }
    (tmp_path / "services.json").write_text(json.dumps(no_services))
    environ = {**os.environ, "COSIGN_PASSWORD": "correct horse", "HOME": str(tmp_path)}
    options = "--yes --key cosign.key --signing-config services.json --statement statement.json --bundle bundle.json"
    for command in (["generate-key-pair"], ["attest-blob", *options.split()]):
        subprocess.run([peer("cosign"), *command], cwd=tmp_path, env=environ, capture_output=True, check=True)
    key = PublicKey.parse((tmp_path / "cosign.pub").read_bytes())

    bundle = Bundle.parse((tmp_path / "bundle.json").read_bytes())

    assert bundle.hint == key.hint
    assert bundle.envelope.is_signed_by(key)
    assert bundle.envelope.payload == (tmp_path / "statement.json").read_bytes()
    assert LockStatement.parse(bundle.envelope.payload).serial == 3
    assert Bundle.parse(bundle.to_bytes()) == bundle
