"""DSSE envelopes: what is signed, what is read, and what is refused."""

import base64
from typing import Any

import pytest
from support.signers import signer

from mlenv.trust.envelope import IN_TOTO, Envelope, decode, pae
from mlenv.trust.keys import KeyType

ALICE = signer("alice")
GOOD = {"payload": "aGVsbG8=", "payloadType": IN_TOTO, "signatures": [{"sig": "c2ln"}]}


def test_what_is_signed_is_the_pre_authentication_encoding() -> None:
    hello = pae("http://example.com/HelloWorld", b"hello world")

    assert hello == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"  # protocol.md, "Test Vectors"
    assert pae("", b"") == b"DSSEv1 0  0 "
    assert pae("é", b"\0\xff") == b"DSSEv1 2 \xc3\xa9 2 \0\xff"  # lengths are of bytes


def test_the_encoding_of_two_envelopes_is_never_the_same() -> None:
    assert pae("a", b"b 1 c") != pae("a b", b"c")
    assert pae("a 1 b", b"") != pae("a", b"b 0 ")


@pytest.mark.parametrize("kind", list(KeyType))
def test_payload_and_type_are_both_signed(kind: KeyType) -> None:
    key = signer("alice", kind)
    envelope = Envelope.sign(IN_TOTO, b"{}", key)

    assert envelope.is_signed_by(key.public_key)
    assert Envelope.parse(envelope.to_json()) == envelope
    assert not Envelope(IN_TOTO, b"{} ", envelope.signature).is_signed_by(key.public_key)
    assert not Envelope("text/plain", b"{}", envelope.signature).is_signed_by(key.public_key)
    assert not envelope.is_signed_by(signer("bob", kind).public_key)


def test_the_written_signature_has_no_key_id() -> None:
    assert Envelope(IN_TOTO, b"hello", b"sig").to_json() == GOOD


@pytest.mark.parametrize("keyid", [{}, {"keyid": ""}])
def test_no_key_id_and_an_empty_one_are_the_same(keyid: dict[str, Any]) -> None:
    assert Envelope.parse({**GOOD, "signatures": [{"sig": "c2ln", **keyid}]}) == Envelope(IN_TOTO, b"hello", b"sig")


REFUSED: list[tuple[Any, str]] = [
    (None, "the envelope is not an object"),
    ([], "the envelope is not an object"),
    ("", "the envelope is not an object"),
    ({}, "the envelope has no payload"),
    ({"payload": "", "signatures": []}, "the envelope has no payloadType"),
    ({**GOOD, "extra": 1}, "the envelope has a field that mlenv does not know: 'extra'"),
    ({**GOOD, "payloadType": 1}, "payloadType is not a string"),
    ({**GOOD, "payloadType": ""}, "payloadType is not 1 to 255 visible ASCII characters"),
    ({**GOOD, "payloadType": "a b"}, "payloadType is not 1 to 255 visible ASCII characters"),
    ({**GOOD, "payloadType": "a\n"}, "payloadType is not 1 to 255 visible ASCII characters"),
    ({**GOOD, "payloadType": "a" * 256}, "payloadType is not 1 to 255 visible ASCII characters"),
    ({**GOOD, "payload": None}, "payload is not a string"),
    ({**GOOD, "payload": "aGVsbG8"}, "payload is not standard base64"),
    ({**GOOD, "signatures": []}, "the envelope is not signed"),
    ({**GOOD, "signatures": {}}, "the envelope is not signed"),
    ({**GOOD, "signatures": None}, "the envelope is not signed"),
    ({**GOOD, "signatures": [{"sig": "c2ln"}] * 2}, "the envelope has 2 signatures; each signer has a bundle"),
    ({**GOOD, "signatures": ["c2ln"]}, "the signature is not an object"),
    ({**GOOD, "signatures": [{}]}, "the signature has no sig"),
    ({**GOOD, "signatures": [{"sig": 1}]}, "sig is not a string"),
    ({**GOOD, "signatures": [{"sig": ""}]}, "the signature is empty"),
    ({**GOOD, "signatures": [{"sig": "c2ln", "cert": ""}]}, "a field that mlenv does not know: 'cert'"),
    ({**GOOD, "signatures": [{"sig": "c2ln", "keyid": "alice"}]}, "the signature has a keyid, which nobody signed"),
    ({**GOOD, "signatures": [{"sig": "c2ln", "keyid": None}]}, "the signature has a keyid, which nobody signed"),
    ({**GOOD, "signatures": [{"sig": "c2ln", "keyid": ALICE.public_key.hint}]}, "the signature has a keyid"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_is_no_envelope_with_one_signature_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Envelope.parse(value)
    assert message in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64_has_one_form(data: bytes) -> None:
    assert decode(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize(
    "text",
    [
        "YQ",
        "YQ=",
        "YQ===",
        "YR==",
        "YQ==\n",
        " YQ==",
        "Y Q==",
        "-_-_",
        "YWI=YWI=",
        "====",
        "=",
        "é",
        "\ud800",
        "YQ==\0",
    ],
)
def test_every_other_form_of_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not standard base64 with padding"):
        decode(text)
