"""What must hold of signatures for any bytes: no reader falls over, and no change goes unnoticed."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.signers import signer

from mlenv.errors import SigningKeyError
from mlenv.model.digest import Digest
from mlenv.trust.bundle import BUNDLE_TYPE, Bundle
from mlenv.trust.envelope import IN_TOTO, Envelope, decode, pae
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.statement import LOCK_PREDICATE, SERIALS, STATEMENT_TYPE, LockStatement, Subject

Kind = TypeVar("Kind")

DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: Digest(data.hex()))
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001 -- hypothesis wants its bounds naive
    lambda moment: moment.replace(microsecond=0)
)
STATEMENTS = st.builds(
    lambda lock, subjects, environment, serial, issued, seconds, policy: LockStatement(
        (Subject("mlenv.lock", lock), *(Subject(f"model/{name}", digest) for name, digest in subjects.items())),
        environment,
        serial,
        issued,
        issued + timedelta(seconds=seconds),
        policy,
    ),
    DIGESTS,
    st.dictionaries(NAMES, DIGESTS, max_size=4),
    st.from_regex(r"[a-z0-9]{1,9}([._-][a-z0-9]{1,9}){0,3}", fullmatch=True),
    st.integers(1, SERIALS),
    MOMENTS,
    st.integers(1, 86_400),
    st.none() | DIGESTS,
)

# JSON that is nearly right: the words of these formats in wrong places, and any other value in right ones.
WORDS = st.sampled_from(
    f"""mediaType verificationMaterial publicKey hint dsseEnvelope payload payloadType signatures sig keyid tlogEntries
    _type subject predicateType predicate name digest sha256 environment serial issuedAt expires policy {"0" * 64}
    {BUNDLE_TYPE} {IN_TOTO} {STATEMENT_TYPE} {LOCK_PREDICATE} mlenv.lock 2026-01-31T12:00:00Z AA==""".split()
)
TEXT = WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=6),
    max_leaves=20,
)

ALICE = {kind: signer("alice", kind) for kind in KeyType}
STATEMENT = LockStatement(
    (Subject("mlenv.lock", Digest("0" * 64)), Subject("image/linux/amd64", Digest("1" * 64))),
    "small",
    3,
    datetime(2026, 1, 31, 12, tzinfo=UTC),
    datetime(2027, 1, 31, 12, tzinfo=UTC),
    Digest("2" * 64),
)
BUNDLES = {kind: Bundle.sign(STATEMENT.to_bytes(), key) for kind, key in ALICE.items()}


def refused(read: Callable[[Any], Kind], value: Any, error: type[Exception] = ValueError) -> Kind | None:
    """What `read` makes of a value; None where it refuses it, which it does in one line and with this error only."""
    try:
        return read(value)
    except error as raised:
        if "\n" in str(raised) or not str(raised).isprintable():
            pytest.fail(f"not one line of text: {raised!a}")
        return None


@given(STATEMENTS)
def test_a_statement_survives_writing_and_reading(statement: LockStatement) -> None:
    assert LockStatement.parse(statement.to_bytes()) == statement
    assert LockStatement.parse(statement.to_bytes()).to_bytes() == statement.to_bytes()


@given(st.binary(min_size=1, max_size=200), st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_a_bundle_survives_writing_and_reading(signature: bytes, hint: bytes, payload: bytes) -> None:
    bundle = Bundle(base64.b64encode(hint).decode(), Envelope(IN_TOTO, payload, signature))

    assert Bundle.parse(bundle.to_bytes()) == bundle


@given(st.sampled_from(KeyType), st.binary(max_size=300))
def test_a_signature_of_any_payload_is_accepted(kind: KeyType, payload: bytes) -> None:
    assert Bundle.parse(Bundle.sign(payload, ALICE[kind]).to_bytes()).envelope.is_signed_by(ALICE[kind].public_key)


@given(TEXT, st.binary(max_size=20), TEXT, st.binary(max_size=20))
def test_two_envelopes_are_never_signed_as_the_same_bytes(a: str, one: bytes, b: str, two: bytes) -> None:
    assert (pae(a, one) == pae(b, two)) == ((a, one) == (b, two))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 10_000)
def test_any_bytes_are_a_bundle_or_a_statement_or_a_value_error(data: bytes) -> None:
    refused(Bundle.parse, data)
    refused(LockStatement.parse, data)


@given(JSON)
def test_any_json_is_an_envelope_or_a_value_error(value: Any) -> None:
    refused(Envelope.parse, value)
    refused(decode, value)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the parts of a JSON document are."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in inner for deeper in paths(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """The document with another value at a place."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


@given(st.data(), JSON, TEXT)
def test_any_value_in_any_place_is_refused_or_read(data: st.DataObject, other: Any, extra: str) -> None:
    kinds: list[tuple[bytes, Callable[[bytes], object]]] = [
        (STATEMENT.to_bytes(), LockStatement.parse),
        (BUNDLES[KeyType.ED25519].to_bytes(), Bundle.parse),
    ]
    for written, read in kinds:
        document = json.loads(written)
        path = data.draw(st.sampled_from(paths(document)))
        found = refused(read, json.dumps(replaced(document, path, other)).encode())
        if found is not None and not isinstance(found, LockStatement | Bundle):
            pytest.fail(f"read as {found!r}")
        place = document
        for key in path:
            place = place[key]
        if isinstance(place, dict) and extra not in place and extra != "keyid":
            assert refused(read, json.dumps(replaced(document, path, {**place, extra: 0})).encode()) is None


def unchanged_or_refused(kind: KeyType, data: bytes) -> None:
    """Nothing signed changes: the bundle is refused, or its signature is, or it says what it said before."""
    bundle = refused(Bundle.parse, data)
    if bundle is not None and bundle.envelope.is_signed_by(ALICE[kind].public_key):
        assert bundle.envelope == BUNDLES[kind].envelope


@given(st.sampled_from(KeyType), st.data())
def test_no_flipped_bit_goes_unnoticed(kind: KeyType, data: st.DataObject) -> None:
    written = bytearray(BUNDLES[kind].to_bytes())
    for bit in data.draw(st.lists(st.integers(0, len(written) * 8 - 1), min_size=1, max_size=3)):
        written[bit // 8] ^= 1 << bit % 8
    unchanged_or_refused(kind, bytes(written))


@given(st.sampled_from(KeyType), st.data())
def test_nothing_put_in_or_taken_out_goes_unnoticed(kind: KeyType, data: st.DataObject) -> None:
    written = BUNDLES[kind].to_bytes()
    begin, end = sorted(data.draw(st.tuples(st.integers(0, len(written)), st.integers(0, len(written)))))
    piece = data.draw(st.binary(max_size=8) | TEXT.map(str.encode) | st.just(written[begin:end]))
    unchanged_or_refused(kind, written[:begin] + piece + written[end:])
    unchanged_or_refused(kind, written[:begin] + piece + written[begin:])


@given(st.sampled_from(KeyType), st.binary(max_size=100), st.binary(max_size=20))
def test_no_bytes_are_a_signature_and_none_fall_over(kind: KeyType, signature: bytes, payload: bytes) -> None:
    assert not ALICE[kind].public_key.verifies(signature, payload)


PEM = ALICE[KeyType.ECDSA_P256].public_key.pem.encode()


def parse_key(data: bytes) -> PublicKey:
    return PublicKey.parse(data, where="key.pub")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_a_signing_key_error(data: bytes) -> None:
    refused(parse_key, data, SigningKeyError)
    block = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(data) + b"-----END PUBLIC KEY-----\n"
    refused(parse_key, block, SigningKeyError)
    refused(parse_key, data + PEM, SigningKeyError)


@given(st.sampled_from(KeyType), st.data())
def test_a_key_with_a_flipped_bit_is_refused_or_another_key_or_the_same(kind: KeyType, data: st.DataObject) -> None:
    spki = bytearray(ALICE[kind].public_key.spki)
    bit = data.draw(st.integers(0, len(spki) * 8 - 1))
    spki[bit // 8] ^= 1 << bit % 8
    block = b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(bytes(spki)) + b"-----END PUBLIC KEY-----\n"
    key = refused(parse_key, block, SigningKeyError)
    if key is not None:
        assert PublicKey.parse(key.pem.encode()) == key
        assert BUNDLES[kind].envelope.is_signed_by(key) == (key == ALICE[kind].public_key)
