"""Roots of trust: who may replace one by which, and what is no root at all. python-tuf's own client is the oracle."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.signer import CryptoSigner, SSlibKey
from support.roots import LATER, POLICY, followed_by_tuf, library_key, next_root, root_of_tuf
from support.signers import NOW, policy_text, signer
from tuf.api.metadata import Metadata, Root

from mlenv.errors import SigningKeyError, TrustPolicyError, UsageError
from mlenv.model.digest import Digest
from mlenv.signing.root import draft_root, sign_root
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.root import RootFile, TrustRoot, first_root, last_root, parse_root

ALICE, BOB, CAROL, DAVE = (signer(name).public_key for name in ("alice", "bob", "carol", "dave"))
ED = signer("ed", KeyType.ED25519)


def file(data: bytes, name: str = "1.json") -> RootFile:
    return RootFile(name, data)


def signed_root(*names: str, by: tuple[str, ...] | None = None, previous: bytes | None = None, **changes: Any) -> bytes:
    """A root of ours with the keys of these names, signed by those of `by`, else by its own."""
    arguments: dict[str, Any] = {
        "expires": LATER,
        "keys": [signer(name).public_key for name in names],
        "previous": file(previous) if previous else None,
    }
    root = draft_root(POLICY.encode(), **(arguments | changes))
    for name in names if by is None else by:
        root = sign_root(file(root), signer(name), file(previous) if previous else None)
    return root


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(TrustPolicyError) as caught:
        call()
    (problem,) = caught.value.problems
    assert problem.where
    assert problem.hint
    assert "\n" not in problem.message + problem.hint
    return problem.message


def changed(data: bytes, change: Callable[[dict[str, Any]], object], *, by: tuple[str, ...] = ()) -> bytes:
    """A root with its JSON changed, and then signed anew with the library where `by` names keys."""
    document = json.loads(data)
    change(document["signed"])
    if not by:
        return json.dumps(document).encode()
    metadata: Metadata[Root] = Metadata.from_dict(document | {"signatures": []})
    for name in by:
        metadata.sign(CryptoSigner(signer(name).private), append=True)
    return metadata.to_bytes()


def test_a_first_root() -> None:
    data = signed_root("alice", "bob", threshold=2)
    root = first_root(data, NOW, where="1.json")
    assert (root.version, root.expires, root.threshold) == (1, LATER, 2)
    assert root.keys == root.signers == (ALICE, BOB)
    assert root.data == data
    assert root.policy.digest == Digest.of(POLICY.encode())
    assert [key.name for key in root.policy.keys] == ["alice"]
    assert followed_by_tuf(data)


def test_a_root_that_python_tuf_made_alone() -> None:
    data = root_of_tuf("alice", "bob", threshold=2)
    root = first_root(data, NOW, where="1.json")
    assert set(root.signers) == {ALICE, BOB}
    later = root_of_tuf("bob", "carol", version=2, threshold=2, by=["alice", "bob", "carol"])
    assert next_root(data, later, NOW, where="2.json").version == 2


def test_ed25519_and_p256_in_one_root() -> None:
    data = draft_root(POLICY.encode(), expires=LATER, keys=[ALICE, ED.public_key], threshold=2)
    data = sign_root(file(sign_root(file(data), signer("alice"))), ED)
    assert set(first_root(data, NOW, where="1.json").signers) == {ALICE, ED.public_key}
    assert followed_by_tuf(data)


def test_keys_are_replaced_one_after_the_other() -> None:
    first = signed_root("alice", "bob", threshold=2)
    second = signed_root("bob", "carol", previous=first, by=("alice", "bob", "carol"))
    third = signed_root("carol", "dave", previous=second, by=("bob", "carol", "dave"))
    root = last_root(file(first), [file(second), file(third)], NOW)
    assert (root.version, root.threshold, root.keys) == (3, 2, (CAROL, DAVE))
    assert last_root(None, [file(first), file(second), file(third)], NOW) == root
    assert followed_by_tuf(first, second, third)


def test_without_keys_those_of_the_root_before_stay() -> None:
    first = signed_root("alice", "bob", threshold=2)
    second = draft_root(policy_text(["bob"]).encode(), expires=LATER, previous=file(first))
    for name in ("alice", "bob"):
        second = sign_root(file(second), signer(name))
    root = next_root(first, second, NOW, where="2.json")
    assert (root.version, root.threshold, root.keys) == (2, 2, (ALICE, BOB))
    assert [key.name for key in root.policy.keys] == ["bob"]


OLD = root_of_tuf("alice", "bob", threshold=2)
EVERYBODY = ["alice", "bob", "carol", "dave"]
NEXT: dict[str, Any] = {"version": 2, "threshold": 2}
NEW = root_of_tuf("carol", "dave", **NEXT, by=EVERYBODY)
ROTATIONS = {
    "only new keys": (root_of_tuf("carol", "dave", **NEXT), "0 of the 2 signatures that version 1, which is trusted"),
    "only old keys": (
        root_of_tuf("carol", "dave", **NEXT, by=["alice", "bob"]),
        "0 of the 2 signatures that version 2",
    ),
    "one old key": (root_of_tuf("carol", "dave", **NEXT, by=EVERYBODY[1:]), "1 of the 2 signatures that version 1"),
    "one new key": (root_of_tuf("carol", "dave", **NEXT, by=EVERYBODY[:3]), "1 of the 2 signatures that version 2"),
    "nobody": (root_of_tuf("carol", "dave", **NEXT, by=[]), "0 of the 2 signatures that version 1"),
    "same version": (root_of_tuf("carol", by=EVERYBODY), "version 1 is the one that is trusted already"),
    "the very same": (OLD, "version 1 is the one that is trusted already"),
    "a version left out": (root_of_tuf("carol", version=3, by=EVERYBODY), "version 3 does not follow version 1"),
    "expired": (root_of_tuf("carol", version=2, by=EVERYBODY, expires=NOW), "the root expired on 2026-11-22 12:00:00"),
    "tampered policy": (changed(NEW, lambda root: root.update({"x-mlenv-trust": POLICY + "#"})), "0 of the 2"),
    "tampered expiry": (changed(NEW, lambda root: root.update(expires="2036-01-01T00:00:00Z")), "0 of the 2"),
    "lower threshold": (changed(NEW, lambda root: root["roles"]["root"].update(threshold=1)), "0 of the 2"),
    "an added field": (changed(NEW, lambda root: root.update({"x": 1})), "0 of the 2"),
}


def test_the_root_that_the_refused_ones_differ_from_is_good() -> None:
    assert next_root(OLD, NEW, NOW, where="2.json").version == 2
    assert followed_by_tuf(OLD, NEW)


@pytest.mark.parametrize("case", ROTATIONS)
def test_what_is_no_next_root(case: str) -> None:
    new, message = ROTATIONS[case]
    assert message in refusal(lambda: next_root(OLD, new, NOW, where="2.json"))
    assert not followed_by_tuf(OLD, new)


def test_never_back() -> None:
    assert "older than the trusted version 2" in refusal(lambda: next_root(NEW, OLD, NOW, where="1.json"))
    assert not followed_by_tuf(NEW, OLD)


def test_a_trusted_root_is_checked_each_time() -> None:
    edited = changed(OLD, lambda root: root["roles"]["root"].update(threshold=1))
    assert "that version 1 itself asks for" in refusal(lambda: next_root(edited, NEW, NOW, where="2.json"))
    assert "that version 1 itself asks for" in refusal(lambda: first_root(edited, NOW, where="1.json"))
    below = root_of_tuf("alice", "bob", threshold=2, by=["alice"])
    assert "1 of the 2 signatures" in refusal(lambda: first_root(below, NOW, where="1.json"))


def test_only_the_last_root_must_not_have_expired() -> None:
    past = NOW - timedelta(days=1)
    first = root_of_tuf("alice", expires=past)
    second = root_of_tuf("alice", version=2, expires=past)
    third = root_of_tuf("alice", version=3)
    assert last_root(file(first), [file(second), file(third)], NOW).version == 3
    assert last_root(None, [file(first), file(second), file(third)], NOW).version == 3
    assert followed_by_tuf(first, second, third)
    assert "expired" in refusal(lambda: last_root(file(first), [file(second)], NOW))
    assert "expired" in refusal(lambda: last_root(None, [file(first)], NOW))
    assert not followed_by_tuf(first, second)


def test_a_later_root_puts_a_policy_right_that_nobody_can_read() -> None:
    first = root_of_tuf("alice")
    broken = root_of_tuf("alice", version=2, fields={"x-mlenv-trust": "version = "})
    without = root_of_tuf("alice", version=3, fields={})
    good = root_of_tuf("alice", version=4)
    assert last_root(file(first), [file(broken), file(without), file(good)], NOW).version == 4
    assert last_root(file(broken), [file(without), file(good)], NOW).version == 4
    assert "not TOML" in refusal(lambda: last_root(file(first), [file(broken)], NOW))
    assert "without a trust policy" in refusal(lambda: last_root(file(broken), [file(without)], NOW))


def test_the_moment_of_expiry() -> None:
    assert first_root(root_of_tuf("alice", expires=NOW + timedelta(seconds=1)), NOW, where="1.json")
    assert "expired" in refusal(lambda: first_root(root_of_tuf("alice", expires=NOW), NOW, where="1.json"))


@pytest.mark.parametrize("other", [signer("alice"), signer("alice", KeyType.ED25519)])
def test_one_key_under_two_ids_does_not_count_twice(other: Any) -> None:
    data = root_of_tuf(ids={"one": other, "two": other}, threshold=2)
    assert followed_by_tuf(data), "the library counts ids, which is why mlenv looks"
    assert "one key under two ids, one and two" in refusal(lambda: first_root(data, NOW, where="1.json"))
    after = root_of_tuf("bob", version=2, ids={"one": other, "two": other}, threshold=2, by=["bob"])
    assert "under two ids" in refusal(lambda: next_root(root_of_tuf("bob"), after, NOW, where="2.json"))


def compressed(pem: str) -> str:
    """A P-256 key as PEM with its point compressed (SEC 1 section 2.3.3)."""
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    return f"-----BEGIN PUBLIC KEY-----\n{b64encode(spki).decode()}\n-----END PUBLIC KEY-----\n"


SPELLINGS: dict[str, tuple[KeyType, Callable[[str], str]]] = {
    "lines that end as on Windows": (KeyType.ECDSA_P256, lambda pem: pem.replace("\n", "\r\n")),
    "a word before": (KeyType.ECDSA_P256, lambda pem: f"a word before\n{pem}"),
    "a compressed point": (KeyType.ECDSA_P256, compressed),
    "capital letters": (KeyType.ED25519, str.upper),
    "spaces": (KeyType.ED25519, lambda text: " ".join(text[start : start + 2] for start in range(0, 64, 2))),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_one_key_in_two_spellings_does_not_count_twice(case: str) -> None:
    kind, spell = SPELLINGS[case]
    alice = signer("alice", kind)

    def respell(root: dict[str, Any]) -> None:
        value = root["keys"]["two"]["keyval"]
        assert spell(value["public"]) != value["public"]
        value["public"] = spell(value["public"])

    draft = changed(root_of_tuf(ids={"one": alice, "two": alice}, threshold=2), respell)
    metadata: Metadata[Root] = Metadata.from_bytes(draft)
    for keyid in ("one", "two"):
        metadata.sign(CryptoSigner(alice.private, library_key(alice.private.public_key(), keyid)), append=True)
    data = metadata.to_bytes()
    assert followed_by_tuf(data), "the library counts it twice"
    message = refusal(lambda: first_root(data, NOW, where="1.json"))
    assert message in (
        "one key under two ids, one and two, would count twice",
        f"the key two holds no {kind} public key",
    )


def test_a_key_in_two_roles_is_no_key_under_two_ids() -> None:
    data = root_of_tuf("alice")

    def other_id(root: dict[str, Any]) -> None:
        root["keys"]["online"] = dict(next(iter(root["keys"].values())))
        root["roles"]["timestamp"]["keyids"] = ["online"]

    assert first_root(changed(data, other_id, by=("alice",)), NOW, where="1.json").keys == (ALICE,)


def with_key(key: SSlibKey) -> bytes:
    def add(root: dict[str, Any]) -> None:
        root["keys"][key.keyid] = key.to_dict()

    return changed(root_of_tuf("alice"), add, by=("alice",))


P384 = SSlibKey.from_crypto(ec.derive_private_key(7, ec.SECP384R1()).public_key())
RSA = SSlibKey.from_crypto(rsa.generate_private_key(65537, 2048).public_key())
P256_PEM, ED_HEX = (
    SSlibKey.from_crypto(one.private.public_key()).keyval["public"]
    for one in (signer("bob"), signer("ed", KeyType.ED25519))
)
KEYS = {
    "RSA": (RSA, "rsa, rsassa-pss-sha256"),
    "P-384": (P384, "ecdsa, ecdsa-sha2-nistp384"),
    "an old name": (
        SSlibKey("id", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", {"public": P256_PEM}),
        "ecdsa-sha2-nistp256, ecdsa-sha2-nistp256",
    ),
    "P-384 by another name": (
        SSlibKey("id", "ecdsa", "ecdsa-sha2-nistp256", P384.keyval),
        "the key id holds no ecdsa-p256 public key",
    ),
    "Ed25519 by another name": (SSlibKey("id", "ecdsa", "ecdsa-sha2-nistp256", {"public": ED_HEX}), "holds no ecdsa"),
    "P-256 by another name": (SSlibKey("id", "ed25519", "ed25519", {"public": P256_PEM}), "holds no ed25519"),
    "half a key": (SSlibKey("id", "ed25519", "ed25519", {"public": ED_HEX[:32]}), "holds no ed25519"),
    "no key": (SSlibKey("id", "ecdsa", "ecdsa-sha2-nistp256", {"public": ""}), "holds no ecdsa"),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_of_other_kinds(case: str) -> None:
    key, message = KEYS[case]
    data = with_key(key)
    assert message in refusal(lambda: parse_root(data, where="1.json"))


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(root_of_tuf("alice"))
    change(document)
    return json.dumps(document).encode()


ROOT_ID = next(iter(json.loads(root_of_tuf("alice"))["signed"]["keys"]))
FORMS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not TUF root metadata: "),
    "not JSON": (b"version = 1", "not TUF root metadata: "),
    "a list": (b"[]", "not an object that holds"),
    "not UTF-8": (b'{"signed": "\xff"}', "not UTF-8"),
    "too large": (b" " * (1 << 20) + b"{}", "1048576 is the limit"),
    "too deep": (b"[" * 100_000, "nested too deeply"),
    "a key twice": (b'{"signed": 1, "signed": 2}', "the key 'signed' appears twice"),
    "a key twice, deep in": (
        root_of_tuf("alice").replace(b'"version": 1', b'"version": 2, "version": 1'),
        "the key 'version' appears twice",
    ),
    "another type": (edited(lambda root: root["signed"].update(_type="targets")), "another type: targets"),
    "unsigned fields": (
        edited(lambda root: root.update({"x-mlenv-trust": POLICY})),
        "no signature covers x-mlenv-trust",
    ),
    "no version": (edited(lambda root: root["signed"].pop("version")), "no integer"),
    "a true version": (edited(lambda root: root["signed"].update(version=True)), "no integer"),
    "version 0": (edited(lambda root: root["signed"].update(version=0)), "version must be > 0"),
    "half a version": (edited(lambda root: root["signed"].update(version=1.5)), "no integer"),
    "a fraction elsewhere": (edited(lambda root: root["signed"].update(x=1.5)), "a number with a fraction"),
    "a huge number": (edited(lambda root: root["signed"].update(x=1 << 60)), "out of range"),
    "threshold 0": (edited(lambda root: root["signed"]["roles"]["root"].update(threshold=0)), "at least 1"),
    "a true threshold": (edited(lambda root: root["signed"]["roles"]["root"].update(threshold=True)), "no integer"),
    "threshold 2 of 1": (
        edited(lambda root: root["signed"]["roles"]["root"].update(threshold=2)),
        "asks for 2 signatures of 1 different keys",
    ),
    "no keys": (edited(lambda root: root["signed"].update(keys={})), "a key that it does not hold"),
    "keys missing": (edited(lambda root: root["signed"].pop("keys")), "'keys' is missing"),
    "keyids as text": (edited(lambda root: root["signed"]["roles"]["root"].update(keyids="a")), "keyids is no list"),
    "an id twice": (
        edited(lambda root: root["signed"]["roles"]["root"].update(keyids=[ROOT_ID, ROOT_ID])),
        "Nonunique keyids",
    ),
    "a role less": (edited(lambda root: root["signed"]["roles"].pop("targets")), "Role names must be"),
    "a signature twice": (edited(lambda root: root.update(signatures=root["signatures"] * 2)), "Multiple signatures"),
    "no expiry": (edited(lambda root: root["signed"].pop("expires")), "'expires' is missing"),
    "an expiry of another form": (edited(lambda root: root["signed"].update(expires="2027-01-01")), "does not match"),
    "TUF 2": (edited(lambda root: root["signed"].update(spec_version="2.0.0")), "Unsupported spec_version 2.0.0"),
    "a key that is none": (edited(lambda root: root["signed"]["keys"].update(x=[])), "of the wrong type"),
}


@pytest.mark.parametrize("case", FORMS)
def test_what_is_no_root(case: str) -> None:
    data, message = FORMS[case]
    assert message in refusal(lambda: parse_root(data, where="1.json"))
    assert message in refusal(lambda: first_root(data, NOW, where="1.json"))
    assert message in refusal(lambda: next_root(OLD, data, NOW, where="1.json"))


@pytest.mark.parametrize("fields", [{}, {"x-mlenv-trust": None}, {"x-mlenv-trust": {"version": 1}}])
def test_a_root_of_another_repository(fields: dict[str, Any]) -> None:
    data = root_of_tuf("alice", fields=fields)
    assert "a TUF root without a trust policy" in refusal(lambda: first_root(data, NOW, where="1.json"))


def test_a_root_whose_policy_is_none() -> None:
    data = root_of_tuf("alice", fields={"x-mlenv-trust": "version = 2\n"})
    with pytest.raises(TrustPolicyError) as caught:
        first_root(data, NOW, where="1.json")
    assert all(problem.where.startswith("1.json x-mlenv-trust") for problem in caught.value.problems)


def test_the_policy_keeps_every_character() -> None:
    text = policy_text(["alice"]) + '# "quoted" \\ back\tslash, ümläut, 🔑\r\n'
    root = sign_root(file(draft_root(text.encode(), expires=LATER, keys=[ALICE])), signer("alice"))
    assert first_root(root, NOW, where="1.json").policy.digest == Digest.of(text.encode())
    assert followed_by_tuf(root)


def test_signing_twice_is_signing_once() -> None:
    root = signed_root("alice", "bob", threshold=2, by=("alice", "alice"))
    assert parse_root(root, where="1.json").signers == (ALICE,)
    assert len(json.loads(root)["signatures"]) == 1


def test_who_may_sign() -> None:
    first = signed_root("alice")
    draft = draft_root(POLICY.encode(), expires=LATER, keys=[BOB], previous=file(first))
    with pytest.raises(SigningKeyError) as caught:
        sign_root(file(draft), signer("alice"))
    assert "--previous" in caught.value.problems[0].hint
    with pytest.raises(SigningKeyError, match="is no key of this root"):
        sign_root(file(draft), signer("carol"), file(first))
    signed = sign_root(file(sign_root(file(draft), signer("alice"), file(first))), signer("bob"))
    assert next_root(first, signed, NOW, where="2.json").keys == (BOB,)


def test_a_key_that_the_root_before_knows_by_another_id_signs_for_both() -> None:
    before = root_of_tuf(ids={"of another program": signer("alice")})
    draft = draft_root(POLICY.encode(), expires=LATER, keys=[ALICE], previous=file(before))
    assert next_root(before, sign_root(file(draft), signer("alice")), NOW, where="2.json").version == 2

    other = root_of_tuf("alice", version=2, by=[])
    signed = sign_root(file(other), signer("alice"), file(before))
    assert next_root(before, signed, NOW, where="2.json").version == 2
    assert followed_by_tuf(before, signed)


class Confused:
    """A signer that says it has another key."""

    public_key: PublicKey = ALICE

    def sign(self, data: bytes) -> bytes:
        return signer("bob").sign(data)


class Locked:
    """A signer whose key cannot be had."""

    public_key: PublicKey = ALICE

    def sign(self, data: bytes) -> bytes:
        raise SigningKeyError(f"the passphrase is wrong, {len(data)} bytes are not signed")


def test_signers_that_do_not_sign() -> None:
    draft = file(draft_root(POLICY.encode(), expires=LATER, keys=[ALICE]))
    with pytest.raises(SigningKeyError, match="no signature of this key"):
        sign_root(draft, Confused())
    with pytest.raises(SigningKeyError, match="the passphrase is wrong"):
        sign_root(draft, Locked())


def test_drafts_that_nobody_could_use() -> None:
    with pytest.raises(UsageError, match="needs keys"):
        draft_root(POLICY.encode(), expires=LATER)
    with pytest.raises(UsageError, match="2 signatures of 1 different keys can never be made"):
        draft_root(POLICY.encode(), expires=LATER, keys=[ALICE, ALICE], threshold=2)


def test_a_draft_is_trusted_by_nobody() -> None:
    draft = draft_root(POLICY.encode(), expires=LATER, keys=[ALICE])
    root: TrustRoot = parse_root(draft, where="1.json")
    assert root.signers == ()
    assert "0 of the 1 signatures" in refusal(lambda: first_root(draft, NOW, where="1.json"))


def test_fractions_of_a_second_are_cut_off() -> None:
    moment = datetime(2027, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC)
    draft = draft_root(POLICY.encode(), expires=moment, keys=[ALICE])
    assert parse_root(draft, where="1.json").expires == moment.replace(microsecond=0)


@pytest.mark.parametrize("point", ["01" + 31 * "00", "ec" + 30 * "ff" + "7f", 32 * "00", "ee" + 30 * "ff" + "7f"])
def test_a_key_that_anybody_can_sign_for_is_none(point: str) -> None:
    document = json.loads(root_of_tuf("alice"))
    key = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": point}}
    document["signed"]["keys"]["anybody"] = key
    document["signed"]["roles"]["root"]["keyids"] = ["anybody"]
    # R is the neutral element and S is 0: right for whatever is signed, where the key is the neutral element too.
    document["signatures"] = [{"keyid": "anybody", "sig": "01" + 63 * "00"}]
    data = json.dumps(document).encode()
    assert "the key anybody holds no ed25519 public key" in refusal(lambda: first_root(data, NOW, where="1.json"))
