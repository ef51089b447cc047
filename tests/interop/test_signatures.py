"""Signatures of locks are accepted by verifiers that nobody here wrote, and refused by them once a bit is flipped."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from support import locks
from support.signers import signed, signer, statement
from support.verifiers import OTHERS, Signed, Verdict

from mlenv.errors import MlenvError
from mlenv.model.manifest import Environment
from mlenv.model.platform import Platform
from mlenv.trust.judge import NamedBundle, judge_lock
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.policy import TrustPolicy

KINDS = list(KeyType)
NAME = "mlenv.lock.sigstore.json"

# The auditor's page looks at the clock, so that these statements are of today.
NOW = datetime.now(UTC).replace(microsecond=0)
ENVIRONMENT = Environment(name="fraud-detection", version="1.0", platforms=(Platform.LINUX_AMD64,))


def mlenv(given: Signed) -> Verdict:
    try:
        policy = TrustPolicy.of_keys([PublicKey.parse(given.key)])
        judgement = judge_lock(given.lock, [NamedBundle(NAME, given.bundle)], policy, NOW)
    except MlenvError as error:
        return Verdict(accepted=False, said=str(error))
    return Verdict(judgement.approval is not None, str(judgement.findings))


VERIFIERS = {"mlenv": mlenv, **OTHERS}
EVERYBODY = set(VERIFIERS)

# What is changed by one bit, and who refuses it then. openssl stands for all commands of the auditor's page.
REFUSED_BY = {
    "payload": EVERYBODY,
    "payloadType": EVERYBODY,
    "signature": EVERYBODY,
    "key": EVERYBODY,
    "hint": EVERYBODY - {"cosign", "securesystemslib"},  # these two try the key that they are given
    "lock": EVERYBODY - {"sigstore-js", "securesystemslib"},  # these two are asked about a signature only
}


@cache
def signed_lock(kind: KeyType, name: str = "alice", **changes: Any) -> Signed:
    lock = locks.lock(environment=ENVIRONMENT)
    times = {"issued_at": NOW - timedelta(days=1), "expires": NOW + timedelta(days=1)}
    payload = statement(lock, **times, **changes).to_bytes()
    return _signed(lock.to_toml().encode(), payload, kind, name)


def _signed(lock: bytes, payload: bytes, kind: KeyType, name: str = "alice") -> Signed:
    by = signer(name, kind)
    return Signed(lock, signed(payload, by).data, by.public_key.pem.encode())


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_lock_is_accepted(kind: KeyType, verifier: str) -> None:
    verdict = VERIFIERS[verifier](signed_lock(kind))

    assert verdict.accepted, verdict.said


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", ["bob", "carol"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_further_signers_bundle_is_accepted_with_that_signers_key_only(
    kind: KeyType, name: str, verifier: str
) -> None:
    theirs = signed_lock(kind, name)

    verdict = VERIFIERS[verifier](theirs)
    with_alices_key = VERIFIERS[verifier](replace(theirs, key=signed_lock(kind).key))

    assert verdict.accepted, verdict.said
    assert not with_alices_key.accepted


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("part", REFUSED_BY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_refused(kind: KeyType, part: str, verifier: str) -> None:
    for place in (0.02, 0.5, 1):
        verdict = VERIFIERS[verifier](flip(signed_lock(kind), part, place))

        assert verdict.accepted == (verifier not in REFUSED_BY[part]), verdict.said


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_statement_of_another_kind_is_refused_by_those_who_look(kind: KeyType, verifier: str) -> None:
    given = signed_lock(kind)
    payload = b64decode(json.loads(given.bundle)["dsseEnvelope"]["payload"])
    other = payload.replace(b"https://mlenv.dev/lock/v1", b"https://spdx.dev/Document")
    assert other != payload

    verdict = VERIFIERS[verifier](_signed(given.lock, other, kind))

    assert verdict.accepted == (verifier in {"sigstore-js", "securesystemslib"}), verdict.said


@pytest.mark.parametrize("kind", KINDS)
def test_mlenv_refuses_every_bit_of_a_bundle(kind: KeyType) -> None:
    given = signed_lock(kind)

    accepted = [place for place, bundle in every_bit(given.bundle) if mlenv(replace(given, bundle=bundle)).accepted]

    assert accepted == []


@pytest.mark.parametrize("kind", KINDS)
def test_mlenv_refuses_every_bit_of_a_key(kind: KeyType) -> None:
    given = signed_lock(kind)
    keys = ((place, pem(der)) for place, der in every_bit(der_of(given.key)))

    assert [place for place, key in keys if mlenv(replace(given, key=key)).accepted] == []


@pytest.mark.parametrize("kind", KINDS)
def test_mlenv_refuses_a_flipped_bit_in_every_byte_of_a_lock(kind: KeyType) -> None:
    given = signed_lock(kind)

    flipped = (flip(given, "lock", (place + 1) / len(given.lock)) for place in range(len(given.lock)))

    assert not any(mlenv(one).accepted for one in flipped)


def flip(given: Signed, part: str, place: float) -> Signed:
    """The same with one bit of a part changed; `place` is how far into the part, from 0 to 1."""

    def bit(data: bytes) -> bytes:
        changed = bytearray(data)
        at = max(0, round(place * len(data)) - 1)
        changed[at] ^= 1 << (at % 8)
        return bytes(changed)

    def text(encoded: str) -> str:
        return b64encode(bit(b64decode(encoded))).decode()

    if part == "lock":
        return replace(given, lock=bit(given.lock))
    if part == "key":
        return replace(given, key=pem(bit(der_of(given.key))))
    bundle = json.loads(given.bundle)
    envelope, public_key = bundle["dsseEnvelope"], bundle["verificationMaterial"]["publicKey"]
    edits: dict[str, Callable[[], None]] = {
        "payload": lambda: envelope.update(payload=text(envelope["payload"])),
        "payloadType": lambda: envelope.update(payloadType="application/vnd.in-toto+jsom"),  # one bit: n, m
        "signature": lambda: envelope["signatures"][0].update(sig=text(envelope["signatures"][0]["sig"])),
        "hint": lambda: public_key.update(hint=text(public_key["hint"])),
    }
    edits[part]()
    return replace(given, bundle=json.dumps(bundle).encode())


def every_bit(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The data with one bit flipped, for each of its bits, and which it was."""
    for place in range(len(data)):
        for number in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << number
            yield f"byte {place}, bit {number}", bytes(changed)


def der_of(key: bytes) -> bytes:
    return b64decode(b"".join(key.splitlines()[1:-1]))


def pem(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + b64encode(der) + b"\n-----END PUBLIC KEY-----\n"
