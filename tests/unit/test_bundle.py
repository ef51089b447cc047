"""Sigstore bundles: what mlenv writes, what of others' it reads, and what it refuses by name."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.signers import signer

from mlenv.trust.bundle import BUNDLE_TYPE, LIMIT, Bundle
from mlenv.trust.envelope import IN_TOTO, Envelope
from mlenv.trust.keys import KeyType

ALICE = signer("alice")
BUNDLE = Bundle.sign(b'{"_type":"x"}', ALICE)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(BUNDLE.to_bytes())
    change(value)
    return json.dumps(value).encode()


def material(**fields: Any) -> bytes:
    return changed(lambda value: value["verificationMaterial"].update(fields))


@pytest.mark.parametrize("kind", list(KeyType))
def test_a_bundle_survives_writing_and_reading(kind: KeyType) -> None:
    key = signer("alice", kind)
    bundle = Bundle.sign(b"{}", key)

    assert Bundle.parse(bundle.to_bytes()) == bundle
    assert bundle.hint == key.public_key.hint
    assert bundle.envelope.is_signed_by(key.public_key)


def test_the_written_file_has_exactly_these_fields() -> None:
    written = Bundle("aGludA==", Envelope(IN_TOTO, b"{}", b"sig")).to_bytes()

    assert written == (
        b'{"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"c2ln"}]},'
        b'"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",'
        b'"verificationMaterial":{"publicKey":{"hint":"aGludA=="}}}\n'
    )


@pytest.mark.parametrize(
    "written",
    [
        changed(lambda value: value),
        material(tlogEntries=[]),
        material(timestampVerificationData={}),  # as sigstore-js writes it
        material(tlogEntries=[], timestampVerificationData={"rfc3161Timestamps": []}),
        changed(lambda value: value["dsseEnvelope"]["signatures"][0].update(keyid="")),
    ],
)
def test_a_bundle_that_others_wrote_without_log_and_timestamp_is_the_same_bundle(written: bytes) -> None:
    assert Bundle.parse(written) == BUNDLE


ENTRY = {"logIndex": "1", "logId": {"keyId": "AA=="}, "canonicalizedBody": "e30="}
REFUSED: list[tuple[bytes, str]] = [
    (b"", "not JSON: Expecting value"),
    (b"-----BEGIN PGP SIGNATURE-----\n", "not JSON"),
    (b"\xff", "not UTF-8"),
    (b"null", "not a Sigstore bundle: it has no mediaType"),
    (b"[]", "not a Sigstore bundle: it has no mediaType"),
    (b"{}", "not a Sigstore bundle: it has no mediaType"),
    (json.dumps(BUNDLE.envelope.to_json()).encode(), "not a Sigstore bundle: it has no mediaType"),
    (changed(lambda value: value.update(mediaType=3)), "not a Sigstore bundle: it has no mediaType"),
    (
        changed(lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")),
        f"not of media type {BUNDLE_TYPE}, but of 'application/vnd.dev.sigstore.bundle+json;version=0.2'",
    ),
    (
        changed(lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1")),
        "but of 'application/vnd.dev.sigstore.bundle+json;version=0.1'",
    ),
    (
        changed(lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.3")),
        "but of 'application/vnd.dev.sigstore.bundle+json;version=0.3'",
    ),
    (
        changed(lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json")),
        "but of 'application/vnd.dev.sigstore.bundle.v0.4+json'",
    ),
    (changed(lambda value: value.update(mediaType=BUNDLE_TYPE + "\n")), "but of"),
    (changed(lambda value: value.update(messageSignature={})), "the bundle has a messageSignature"),
    (changed(lambda value: value.pop("dsseEnvelope")), "the bundle has no dsseEnvelope"),
    (changed(lambda value: value.pop("verificationMaterial")), "the bundle has no verificationMaterial"),
    (changed(lambda value: value.update(extra=1)), "the bundle has a field that mlenv does not know: 'extra'"),
    (changed(lambda value: value.update(verificationMaterial=[])), "verificationMaterial is not an object"),
    (changed(lambda value: value.update(verificationMaterial={})), "verificationMaterial has no publicKey"),
    (changed(lambda value: value.update(dsseEnvelope=None)), "the envelope is not an object"),
    (
        changed(lambda value: value["dsseEnvelope"].update(payloadType="text/plain")),
        "the payload is no in-toto statement, but of type 'text/plain'",
    ),
    (changed(lambda value: value["dsseEnvelope"]["signatures"].append({"sig": "AA=="})), "2 signatures"),
    (material(certificate={"rawBytes": ""}), "is signed with a certificate (certificate), which mlenv does not check"),
    (material(x509CertificateChain={}), "is signed with a certificate chain (x509CertificateChain), which"),
    (material(tlogEntries=[ENTRY]), "has entries of a transparency log (tlogEntries), which mlenv does not check"),
    (material(tlogEntries={}), "has entries of a transparency log (tlogEntries)"),
    (material(tlogEntries=None), "has entries of a transparency log (tlogEntries)"),
    (
        material(timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": "AA=="}]}),
        "has timestamps (timestampVerificationData), which mlenv does not check",
    ),
    (material(timestampVerificationData=None), "has timestamps (timestampVerificationData)"),
    (material(timestampVerificationData={"other": []}), "has timestamps (timestampVerificationData)"),
    (material(extra=1), "verificationMaterial has a field that mlenv does not know: 'extra'"),
    (material(publicKey=None), "publicKey is not an object"),
    (material(publicKey={}), "publicKey has no hint"),
    (material(publicKey={"hint": 1}), "hint is not a string"),
    (material(publicKey={"hint": ""}), "the hint is not the sha256 of a key"),
    (material(publicKey={"hint": "alice"}), "hint is not standard base64"),
    (material(publicKey={"hint": "YWxpY2U="}), "the hint is not the sha256 of a key"),
    (material(publicKey={"hint": ALICE.public_key.fingerprint.hex}), "the hint is not the sha256 of a key"),
    (material(publicKey={"hint": BUNDLE.hint, "rawBytes": ""}), "publicKey has a field that mlenv does not know"),
    (BUNDLE.to_bytes().replace(b'{"dsseEnvelope"', b'{"mediaType":"x","dsseEnvelope"'), "'mediaType' appears twice"),
    (BUNDLE.to_bytes() + b"{}", "not JSON: Extra data"),
    (b"\xef\xbb\xbf" + BUNDLE.to_bytes(), "not JSON: Unexpected UTF-8 BOM"),
    (BUNDLE.to_bytes() + b" " * LIMIT, "is the limit"),
    (b'{"mediaType":' * 65 + b"1" + b"}" * 65, "nested too deeply"),
    (b'{"mediaType":' * 100_000, "not a Sigstore bundle: it has more than 1000 parts"),
    (b"[" + b"[]," * 1_300_000 + b"[]]", "not a Sigstore bundle: it has more than 1000 parts"),
    (b'{"mediaType": "\\ud800"}', "surrogates not allowed"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_a_bundle_that_mlenv_would_not_check_whole_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Bundle.parse(data)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_hint_names_a_key_and_proves_nothing() -> None:
    bob = signer("bob").public_key
    renamed = Bundle.parse(Bundle(bob.hint, BUNDLE.envelope).to_bytes())

    assert renamed.hint == bob.hint
    assert not renamed.envelope.is_signed_by(bob)
