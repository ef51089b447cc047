"""Who approved a lock: each attack on an approval, made with real keys, and what is said of it."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.locks import contents, lock
from support.signers import NOW, key_table, policy, policy_text, signed, signed_lock, signer, statement

from mlenv.errors import SignatureError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.manifest import Environment
from mlenv.model.platform import Platform
from mlenv.model.report import Finding, Report, Severity, Status, Trusted
from mlenv.trust.bundle import Bundle
from mlenv.trust.envelope import Envelope
from mlenv.trust.judge import Judgement, Mark, NamedBundle, judge_lock
from mlenv.trust.keys import KeyType
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.statement import LOCK_PREDICATE, STATEMENT_TYPE, Subject, lock_subjects

LOCK = lock()
DATA = LOCK.to_toml().encode()
OTHER = lock(environment=Environment(name="small", version="2.0"))
ALICE, BOB, CAROL, MALLORY = (signer(name) for name in ("alice", "bob", "carol", "mallory"))
DAY = timedelta(days=1)


def judge(
    *bundles: NamedBundle,
    data: bytes = DATA,
    by: TrustPolicy | None = None,
    now: datetime = NOW,
    marks: Mapping[str, Mark] | None = None,
    at_serial: int | None = None,
) -> Judgement:
    found = judge_lock(data, bundles, by or policy("alice"), now, marks=marks or {}, at_serial=at_serial)
    for one in found.findings:
        assert one.message
        assert "\n" not in one.message + one.hint + one.expected + one.observed
        assert bool(one.hint) == (one.status is not Status.PASS), one
        assert one.source
    assert (found.approval is None) == any(one.status is Status.FAIL for one in found.findings)
    return found


def failures(found: Judgement) -> dict[str, Finding]:
    """The failed checks by id; each check fails once."""
    failed = [one for one in found.findings if one.status is Status.FAIL]
    by_check = {one.check: one for one in failed}
    assert len(by_check) == len(failed), failed
    return by_check


def refused(found: Judgement, *checks: str) -> dict[str, Finding]:
    """Exactly these checks failed, and the exit status is that of a lack of authority."""
    failed = failures(found)
    assert set(failed) == set(checks), failed.values()
    assert Report("lock", {}, found.findings).exit_status == SignatureError.exit_status == 3
    return failed


def by_check(found: Judgement, check: str) -> Finding:
    (one,) = [one for one in found.findings if one.check == check]
    return one


def second(of: NamedBundle, name: str = "mlenv.lock.second.sigstore.json") -> NamedBundle:
    return replace(of, name=name)


# What is accepted


@pytest.mark.parametrize("kind", KeyType)
def test_an_approved_lock(kind: KeyType) -> None:
    key = signer("alice", kind)
    made = TrustPolicy.of_keys([key.public_key], 1)
    found = judge(signed_lock(LOCK, key), by=made)
    assert found.approval is not None
    assert found.approval.lock == LOCK
    assert found.approval.statement == statement(LOCK)
    assert [one.public_key for one in found.approval.signers] == [key.public_key]
    assert {one.status for one in found.findings} == {Status.PASS}
    assert {one.check: one.trusted for one in found.findings} == {
        "signature.bundle": Trusted.MATHEMATICS,
        "trust.environment": Trusted.KEY,
        "signature.subjects": Trusted.KEY,
        "signature.threshold": Trusted.MATHEMATICS,
        "signature.clock": Trusted.HOST,
        "signature.expiry": Trusted.HOST,
        "signature.serial": Trusted.KEY,
    }
    for one in found.findings:
        assert one.expected
        assert one.observed


def test_a_lock_of_several_platforms_binds_index_and_images() -> None:
    made = lock(contents(Platform.LINUX_AMD64), contents(Platform.LINUX_ARM64))
    found = judge(signed_lock(made, ALICE), data=made.to_toml().encode())
    assert found.approval is not None
    assert "4 digests" in by_check(found, "signature.subjects").message


def test_those_who_sign_together_sign_the_same_statement() -> None:
    bundles = [signed_lock(LOCK, key, name=f"{name}.json") for name, key in (("a", ALICE), ("b", BOB), ("c", CAROL))]
    found = judge(*reversed(bundles), by=policy("alice", "bob", "carol", threshold=2))
    assert found.approval is not None
    assert [one.name for one in found.approval.signers] == ["alice", "bob", "carol"]
    assert by_check(found, "signature.threshold").message == "approved by alice, bob and carol: 3 of 2 needed"


def test_the_first_rule_that_matches_decides() -> None:
    text = policy_text(["mallory"], environment="sm?l", keys={"alice": ()}) + "".join(
        f'[[environments]]\nname = "{name}"\napprovers = ["{approver}"]\n'
        for name, approver in (("small-*", "mallory"), ("sm*", "alice"), ("*", "mallory"))
    )
    found = judge(signed_lock(LOCK, ALICE), by=TrustPolicy.parse(text.encode()))
    assert found.approval is not None
    assert by_check(found, "trust.environment").expected == "sm*"


# A pull request


def test_a_lock_that_is_not_signed() -> None:
    failed = refused(judge(), "signature.present")
    assert failed["signature.present"].message == "the lock is not signed"


def test_a_lock_that_was_edited_after_it_was_signed() -> None:
    edited = DATA.replace(b'"/app"', b'"/opt"', 1)
    failed = refused(judge(signed_lock(LOCK, ALICE), data=edited), "signature.subjects", "signature.threshold")
    assert "edited after it was signed" in failed["signature.subjects"].message
    assert failed["signature.subjects"].expected == str(Digest.of(DATA))
    assert failed["signature.subjects"].observed == str(Digest.of(edited))
    assert failed["signature.threshold"].message == "there is no signature of this lock that counts"
    assert failed["signature.threshold"].observed == "none that counts"


def test_white_space_alone_is_an_edit() -> None:
    refused(judge(signed_lock(LOCK, ALICE), data=DATA + b"\n"), "signature.subjects", "signature.threshold")


def test_a_lock_that_nobody_signed_is_not_even_read() -> None:
    found = judge(signed_lock(LOCK, ALICE), data=b"\xff is no TOML")
    refused(found, "signature.subjects", "signature.threshold")


def test_an_edited_lock_signed_again_by_a_stranger() -> None:
    failed = refused(judge(signed_lock(LOCK, MALLORY)), "trust.key", "signature.threshold")
    fingerprint = str(MALLORY.public_key.fingerprint)
    assert failed["trust.key"].message == f"it names a key that the policy does not have: {fingerprint}"
    assert failed["trust.key"].hint.startswith(f"the policy has alice (sha256:{ALICE.public_key.fingerprint.short}…)")


def test_keys_of_a_command_line_are_called_by_their_fingerprints() -> None:
    made = TrustPolicy.of_keys([ALICE.public_key], 1)
    failed = refused(judge(signed_lock(LOCK, MALLORY), by=made), "trust.key", "signature.threshold")
    assert failed["trust.key"].expected == f"sha256:{ALICE.public_key.fingerprint.short}…"


def test_of_a_large_policy_a_few_names_are_said() -> None:
    names = [f"key-{number}" for number in range(12)]
    failed = refused(judge(signed_lock(LOCK, MALLORY), by=policy(*names)), "trust.key", "signature.threshold")
    assert failed["trust.key"].expected.endswith(" and 7 more")


@pytest.mark.parametrize("converted", [DATA.replace(b"\n", b"\r\n"), DATA.replace(b"\n", b"\r\n", 1)])
def test_converted_line_endings(converted: bytes) -> None:
    found = judge(signed_lock(LOCK, ALICE), data=converted)
    failed = refused(found, "lock.line-endings", "signature.subjects", "signature.threshold")
    assert "`mlenv.lock -text` into .gitattributes" in failed["lock.line-endings"].hint
    assert "signed this lock with LF line endings" in failed["signature.subjects"].message


def test_converted_line_endings_that_somebody_signed() -> None:
    data = DATA.replace(b"\n", b"\r\n")
    found = judge(signed_lock(LOCK, ALICE, subjects=lock_subjects(LOCK, data)), data=data)
    assert set(failures(found)) == {"lock.line-endings"}


# An old lock


def test_a_replayed_lock() -> None:
    mark = Mark(5, Digest.of(OTHER.to_toml().encode()), NOW - 2 * DAY)
    old = signed_lock(LOCK, ALICE, serial=4)
    failed = refused(judge(old, marks={"small": mark}), "signature.serial")["signature.serial"]
    assert failed.message == "serial 4 is too old: serial 5 was accepted on 2026-11-20T12:00:00Z"
    assert failed.hint == "get the current lock; to audit an old one, say --at-serial 4"
    assert judge(old, marks={"small": mark}, at_serial=4).approval is not None
    assert judge(old, marks={"another": mark}).approval is not None


@pytest.mark.parametrize("serial", [5, 6, 100])
def test_a_serial_that_is_not_below_the_mark(serial: int) -> None:
    mark = Mark(5, Digest.of(DATA), NOW - DAY)
    assert judge(signed_lock(LOCK, ALICE, serial=serial), marks={"small": mark}).approval is not None


def test_another_lock_under_a_serial_that_was_accepted() -> None:
    mark = Mark(5, Digest.of(OTHER.to_toml().encode()), NOW - DAY)
    for at_serial in (None, 5):
        found = judge(signed_lock(LOCK, ALICE, serial=5), marks={"small": mark}, at_serial=at_serial)
        failed = refused(found, "signature.serial")["signature.serial"]
        assert failed.message == f"serial 5 was accepted before for another lock, {mark.lock}"
        assert "--serial 6" in failed.hint


def test_at_serial_is_exactly_that_serial() -> None:
    failed = refused(judge(signed_lock(LOCK, ALICE, serial=4), at_serial=3), "signature.serial")
    assert failed["signature.serial"].message == "the lock has serial 4, and --at-serial says 3"


def test_the_policys_minimum_holds_for_an_audit_too() -> None:
    made = policy("alice", lines=["minimum-serial = 7"])
    assert judge(signed_lock(LOCK, ALICE, serial=7), by=made).approval is not None
    for at_serial in (None, 6):
        failed = refused(judge(signed_lock(LOCK, ALICE, serial=6), by=made, at_serial=at_serial), "signature.serial")
        assert failed["signature.serial"].message == "serial 6 is too old: the policy's minimum is 7"


def test_an_expired_approval() -> None:
    bundle = signed_lock(LOCK, ALICE, expires=NOW)
    assert judge(bundle, now=NOW - timedelta(seconds=1)).approval is not None
    failed = refused(judge(bundle), "signature.expiry")["signature.expiry"]
    assert failed.message == "the approval expired on 2026-11-22T12:00:00Z"


@pytest.mark.parametrize(
    ("age", "limit", "said"), [(91, "90d", "91 days"), (85, "12w", "85 days"), (2, "24h", "2 days")]
)
def test_an_approval_older_than_the_policy_allows(age: int, limit: str, said: str) -> None:
    made = policy("alice", lines=[f'maximum-age = "{limit}"'])
    bundle = signed_lock(LOCK, ALICE, issued_at=NOW - age * DAY)
    failed = refused(judge(bundle, by=made), "signature.age")["signature.age"]
    assert failed.message.startswith(f"the approval is {said} old; the policy allows ")
    assert judge(bundle, by=made, now=NOW - DAY).approval is not None


def test_the_age_of_a_fresh_approval() -> None:
    made = policy("alice", lines=['maximum-age = "24h"'])
    for ago, said in ((0, "0 min"), (59, "59 min"), (61, "1 h"), (1440, "1 day"), (-1, "0 min")):
        bundle = signed_lock(LOCK, ALICE, issued_at=NOW - timedelta(minutes=ago))
        assert by_check(judge(bundle, by=made), "signature.age").observed == said


def test_a_clock_that_was_set_back() -> None:
    mark = Mark(1, Digest.of(DATA), NOW + timedelta(minutes=5))
    bundle = signed_lock(LOCK, ALICE)
    assert judge(bundle, marks={"small": mark}).approval is not None
    for at_serial in (None, 1):
        found = judge(bundle, marks={"small": mark}, now=NOW - timedelta(seconds=1), at_serial=at_serial)
        failed = refused(found, "signature.clock")["signature.clock"]
        assert failed.message.startswith(
            "the clock was set back: it is 2026-11-22T11:59:59Z here, and it was 2026-11-22"
        )


def test_an_approval_of_the_future() -> None:
    assert judge(signed_lock(LOCK, ALICE, issued_at=NOW + timedelta(minutes=5))).approval is not None
    bundle = signed_lock(LOCK, ALICE, issued_at=NOW + timedelta(minutes=5, seconds=1))
    failed = refused(judge(bundle), "signature.clock")["signature.clock"]
    assert failed.message.startswith("the approval was issued in the future, on 2026-11-22T12:05:01Z")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    made = policy("alice", "bob", threshold=2, lines=["minimum-serial = 2", 'maximum-age = "1h"'])
    bundle = signed_lock(LOCK, ALICE, expires=NOW - timedelta(hours=1))
    refused(judge(bundle, by=made), "signature.threshold", "signature.expiry", "signature.age", "signature.serial")


# Parts of several locks


def test_the_signature_of_another_lock() -> None:
    refused(judge(signed_lock(OTHER, ALICE)), "signature.subjects", "signature.threshold")


def subjects(**changes: Digest | None) -> tuple[Subject, ...]:
    """The subjects of LOCK with others, or without (`image` stands for that of linux/amd64)."""
    names = {"image": "image/linux/amd64", "lock": "mlenv.lock"}
    changed = {names.get(name, name): digest for name, digest in changes.items()}
    held = {one.name: one.digest for one in lock_subjects(LOCK, DATA)} | changed
    return tuple(Subject(name, digest) for name, digest in held.items() if digest)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (subjects(image=OTHER.platforms[0].image.manifest), "image/linux/amd64 is sha256:"),
        (subjects(image=None), "it does not name image/linux/amd64"),
        (subjects(more=Digest.of(b"")), "it names more, which the lock does not have"),
    ],
    ids=["another image", "no image", "one more"],
)
def test_a_lock_with_another_image_signed_by_a_true_key(changed: tuple[Subject, ...], says: str) -> None:
    failed = refused(judge(signed_lock(LOCK, ALICE, subjects=changed)), "signature.subjects")
    assert says in failed["signature.subjects"].message


def test_a_contradiction_fails_though_others_are_enough() -> None:
    """An approver said that this lock is another image: nobody should go on before that is explained."""
    forged = subjects(image=OTHER.platforms[0].image.manifest)
    bundles = [signed_lock(LOCK, ALICE), second(signed_lock(LOCK, BOB, subjects=forged))]
    failed = refused(judge(*bundles, by=policy("alice", "bob")), "signature.subjects")
    assert failed["signature.subjects"].source == "mlenv.lock.second.sigstore.json"


def test_subjects_in_another_order_are_the_same() -> None:
    assert judge(signed_lock(LOCK, ALICE, subjects=subjects()[::-1])).approval is not None


def test_the_approval_of_another_environment() -> None:
    failed = refused(judge(signed_lock(LOCK, ALICE, environment="large")), "trust.environment")
    assert failed["trust.environment"].message == (
        "the statement approves the environment 'large', and the lock is that of 'small'"
    )
    assert failed["trust.environment"].source == "mlenv.lock.sigstore.json"


def failing(found: Judgement, check: str) -> Finding:
    (one,) = [one for one in found.findings if one.check == check and one.status is Status.FAIL]
    return one


# Keys


def test_a_leaked_key_alone_is_below_the_threshold() -> None:
    made = policy("alice", "bob", "carol", threshold=2)
    failed = refused(judge(signed_lock(LOCK, ALICE), by=made), "signature.threshold")["signature.threshold"]
    assert failed.message == "1 of 2 approvals are there; missing: bob and carol"
    assert failed.hint == "have it signed by 1 more: bob or carol, with `mlenv sign`"
    assert failed.observed == "alice"


def test_a_key_that_signs_twice_counts_once() -> None:
    bundles = [signed_lock(LOCK, ALICE), second(signed_lock(LOCK, ALICE))]
    failed = refused(judge(*bundles, by=policy("alice", "bob", threshold=2)), "signature.bundle", "signature.threshold")
    assert failed["signature.bundle"].message.endswith("was counted in mlenv.lock.sigstore.json: a key counts once")


def test_a_key_that_signs_several_statements_counts_once() -> None:
    bundles = [signed_lock(LOCK, ALICE), second(signed_lock(LOCK, ALICE, serial=2))]
    found = judge(*bundles, by=policy("alice", "bob", threshold=2))
    refused(found, "signature.statement", "signature.threshold")


def test_several_statements_none_of_which_reaches_the_threshold() -> None:
    bundles = [signed_lock(LOCK, ALICE, serial=7), second(signed_lock(LOCK, BOB, serial=8))]
    failed = refused(
        judge(*bundles, by=policy("alice", "bob", threshold=2)), "signature.statement", "signature.threshold"
    )
    assert failed["signature.threshold"].message == (
        "the approvers signed 2 different statements (serial 8 and serial 7): none has 2 signatures"
    )


REVOKED = "revoked = 2026-11-22T00:00:00Z"
SUPERSEDED = [REVOKED, 'revocation-reason = "superseded"']


@pytest.mark.parametrize(
    ("lines", "issued", "says"),
    [
        ([REVOKED], 30, "was revoked on 2026-11-22T00:00:00Z (key-compromise): nothing it signed counts"),
        ([REVOKED], 0, "was revoked on 2026-11-22T00:00:00Z (key-compromise): nothing it signed counts"),
        (["revoked = 2027-01-01T00:00:00Z"], 1, "was revoked on 2027-01-01T00:00:00Z (key-compromise)"),
        (
            SUPERSEDED,
            0,
            "was revoked on 2026-11-22T00:00:00Z (superseded), and this was issued after it, on 2026-11-22T",
        ),
        (["valid-from = 2026-11-22T00:00:00Z"], 1, "is not valid before 2026-11-22T00:00:00Z"),
        (["valid-from = 2027-01-01T00:00:00Z"], 0, "is not valid before 2027-01-01T00:00:00Z"),
        (["valid-until = 2026-11-22T12:00:00Z"], 1, "is no longer valid since 2026-11-22T12:00:00Z"),
        (["valid-until = 2026-11-20T00:00:00Z"], 30, "is no longer valid since 2026-11-20T00:00:00Z"),
    ],
)
def test_a_key_that_does_not_count(lines: list[str], issued: int, says: str) -> None:
    made = policy("alice", keys={"alice": lines})
    bundle = signed_lock(LOCK, ALICE, issued_at=NOW - issued * DAY)
    failed = refused(judge(bundle, by=made), "trust.key", "signature.threshold")
    assert failed["trust.key"].message.startswith(f"the key 'alice' {says}")


def test_what_a_superseded_key_signed_before_still_counts() -> None:
    made = policy("alice", keys={"alice": [*SUPERSEDED, "valid-from = 2026-11-01T00:00:00Z"]})
    assert judge(signed_lock(LOCK, ALICE), by=made).approval is not None


def test_a_revoked_key_does_not_fill_a_threshold() -> None:
    made = policy("alice", "bob", threshold=2, keys={"bob": [REVOKED]})
    failed = refused(
        judge(signed_lock(LOCK, ALICE), second(signed_lock(LOCK, BOB)), by=made), "trust.key", "signature.threshold"
    )
    assert failed["signature.threshold"].message == "1 of 2 approvals are there; missing: bob"
    assert failed["signature.threshold"].observed == "alice"
    assert failed["trust.key"].source == "mlenv.lock.second.sigstore.json"
    assert "the key 'bob' was revoked" in failed["trust.key"].message


def test_a_builder_is_no_approver() -> None:
    failed = refused(
        judge(signed_lock(LOCK, BOB), by=policy("alice", builders=["bob"])), "trust.key", "signature.threshold"
    )
    assert (
        failed["trust.key"].message
        == "it is signed by 'bob', who is a builder and not an approver of the environments '*'"
    )


def test_the_key_of_another_environments_rule() -> None:
    text = policy_text(["alice"], environment="small") + key_table("bob", BOB.public_key)
    text += '[[environments]]\nname = "*"\napprovers = ["bob"]\n'
    failed = refused(
        judge(signed_lock(LOCK, BOB), by=TrustPolicy.parse(text.encode())), "trust.key", "signature.threshold"
    )
    assert failed["trust.key"].message == "it is signed by 'bob', who is not an approver of the environments 'small'"


def test_an_environment_without_a_rule() -> None:
    made = policy("alice", environment="fraud-*")
    failed = refused(judge(signed_lock(LOCK, ALICE), by=made), "trust.environment")["trust.environment"]
    assert failed.message == "the policy has no rule for the environment 'small'"
    assert failed.expected == "'fraud-*'"


# Bundles that do not count beside others that do


def resigned(bundle: NamedBundle, change: Callable[[Any], None]) -> NamedBundle:
    value = json.loads(bundle.data)
    change(value)
    return replace(bundle, data=json.dumps(value).encode())


def flip_signature(value: Any) -> None:
    parsed = Bundle.parse(json.dumps(value).encode())
    wrong = MALLORY.sign(b"")
    assert wrong != parsed.envelope.signature
    value["dsseEnvelope"]["signatures"][0]["sig"] = b64encode(wrong).decode()


def change_payload(value: Any) -> None:
    value["dsseEnvelope"]["payload"] = b64encode(statement(LOCK, serial=9).to_bytes()).decode()


def claim_alice(value: Any) -> None:
    value["verificationMaterial"]["publicKey"]["hint"] = ALICE.public_key.hint


@pytest.mark.parametrize(
    ("key", "change"),
    [(ALICE, flip_signature), (ALICE, change_payload), (MALLORY, claim_alice)],
    ids=["signature", "payload", "hint"],
)
def test_a_wrong_signature_fails_even_beside_enough_right_ones(key: Any, change: Callable[[Any], None]) -> None:
    wrong = second(resigned(signed_lock(LOCK, key), change))
    failed = refused(judge(wrong), "signature.bundle", "signature.threshold")["signature.bundle"]
    assert failed.message == "the signature is not one of 'alice', whose key it names: something was changed or forged"
    found = judge(signed_lock(LOCK, ALICE), signed_lock(LOCK, BOB), wrong, by=policy("alice", "bob"))
    assert failing(found, "signature.bundle").source == wrong.name
    assert found.approval is None


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"mediaType": "text/plain"}', b"{" * (5 << 20)]
)
def test_a_file_that_is_no_bundle_fails_even_beside_enough_right_ones(data: bytes) -> None:
    wrong = NamedBundle("mlenv.lock.x.sigstore.json", data)
    failed = refused(judge(wrong), "signature.bundle", "signature.threshold")["signature.bundle"]
    assert failed.message.startswith("it cannot be read: ")
    assert judge(signed_lock(LOCK, ALICE), wrong).approval is None


def other_statement(kind: str, **changes: Any) -> bytes:
    value = json.loads(statement(LOCK).to_bytes())
    return canonical_json(value | {"predicateType": kind} | changes)


KINDS = {
    "sbom": other_statement("https://cyclonedx.org/bom", predicate={"bomFormat": "CycloneDX"}),
    "spdx": other_statement("https://spdx.dev/Document", predicate={}),
    "provenance": other_statement("https://slsa.dev/provenance/v1"),
    "vsa": other_statement("https://slsa.dev/verification_summary/v1"),
    "later version": other_statement("https://mlenv.dev/lock/v2"),
    "earlier statement": other_statement(LOCK_PREDICATE, _type="https://in-toto.io/Statement/v0.1"),
    "other subject": other_statement(LOCK_PREDICATE, subject=[{"name": "mlenv.toml", "digest": {"sha256": "0" * 64}}]),
    "two locks": other_statement(
        LOCK_PREDICATE, subject=[{"name": "mlenv.lock", "digest": {"sha256": Digest.of(DATA).hex}}] * 2
    ),
    "no subject": other_statement(LOCK_PREDICATE, subject=[]),
    "no json": b"mlenv.lock",
    "two meanings": b'{"_type": "%b", "_type": "x"}' % STATEMENT_TYPE.encode(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_true_signature_of_another_kind(kind: str) -> None:
    offered = second(signed(KINDS[kind], ALICE))
    failed = refused(judge(offered), "signature.statement", "signature.threshold")
    assert failed["signature.statement"].message.startswith("'alice' signed something that approves no lock: ")
    assert judge(signed_lock(LOCK, ALICE), offered).approval is not None


def test_a_lock_statement_under_another_payload_type() -> None:
    envelope = Envelope.sign("application/vnd.cyclonedx+json", statement(LOCK).to_bytes(), ALICE)
    offered = NamedBundle("mlenv.lock.sigstore.json", Bundle(ALICE.public_key.hint, envelope).to_bytes())
    failed = refused(judge(offered), "signature.bundle", "signature.threshold")
    assert "application/vnd.cyclonedx+json" in failed["signature.bundle"].message


def test_a_lock_statement_whose_payload_type_was_exchanged() -> None:
    """The payload type is signed too: what was signed as one kind is not accepted as another."""
    envelope = Envelope.sign("application/json", statement(LOCK).to_bytes(), ALICE)
    bundle = Bundle(ALICE.public_key.hint, replace(envelope, payload_type="application/vnd.in-toto+json"))
    refused(judge(NamedBundle("x", bundle.to_bytes())), "signature.bundle", "signature.threshold")


UNCOUNTED = {
    "unknown key": (signed_lock(LOCK, MALLORY), "trust.key"),
    "earlier lock": (signed_lock(OTHER, BOB), "signature.subjects"),
    "builder": (signed_lock(LOCK, CAROL), "trust.key"),
    "same key again": (signed_lock(LOCK, ALICE), "signature.bundle"),
    "earlier statement": (signed_lock(LOCK, ALICE, serial=1, issued_at=NOW - 9 * DAY), "signature.statement"),
    "other kind": (signed(KINDS["provenance"], CAROL), "signature.statement"),
    "revoked key": (signed_lock(LOCK, signer("dave")), "trust.key"),
}


@pytest.mark.parametrize("what", UNCOUNTED)
def test_what_does_not_count_is_a_note_where_others_are_enough(what: str) -> None:
    made = policy("alice", "bob", "dave", builders=["carol"], keys={"dave": [REVOKED]})
    bundle, check = UNCOUNTED[what]
    found = judge(second(bundle), signed_lock(LOCK, ALICE), by=made)
    if what == "same key again":  # whichever comes first is counted
        found = judge(signed_lock(LOCK, ALICE), second(bundle), by=made)
    assert found.approval is not None
    (note,) = [one for one in found.findings if one.status is Status.SKIPPED]
    assert (note.check, note.severity, note.source) == (check, Severity.NOTE, "mlenv.lock.second.sigstore.json")
    assert Report("lock", {}, found.findings).ok


def test_of_several_statements_the_last_is_judged() -> None:
    old = signed_lock(LOCK, ALICE, serial=3)
    new = second(signed_lock(LOCK, ALICE, serial=4))
    found = judge(old, new).approval
    assert found is not None
    assert found.statement.serial == 4
    found = judge(old, new, at_serial=3).approval
    assert found is not None
    assert found.statement.serial == 3
    later = second(signed_lock(LOCK, ALICE, serial=3, issued_at=NOW), "later.json")
    found = judge(later, old).approval
    assert found is not None
    assert found.statement.issued_at == NOW


def test_the_last_statement_that_is_expired_is_not_replaced_by_an_earlier_one() -> None:
    bundles = [signed_lock(LOCK, ALICE, serial=3), second(signed_lock(LOCK, ALICE, serial=4, expires=NOW))]
    refused(judge(*bundles), "signature.expiry")


def test_a_later_statement_that_too_few_signed_does_not_hide_an_approved_one() -> None:
    bundles = [signed_lock(LOCK, ALICE), second(signed_lock(LOCK, BOB)), signed_lock(LOCK, BOB, serial=2)]
    found = judge(*bundles, by=policy("alice", "bob", threshold=2)).approval
    assert found is not None
    assert found.statement.serial == 1


def test_more_bundles_than_anybody_needs() -> None:
    bundle = signed_lock(LOCK, ALICE)
    assert judge(bundle, *[second(bundle)] * 63).approval is not None
    found = judge(bundle, *[second(bundle)] * 64)
    failed = refused(found, "signature.present")["signature.present"]
    assert failed.message == "65 bundles lie beside the lock, and mlenv looks at 64 at most"


# A signed lock that is none


def no_lock(data: bytes) -> Judgement:
    made = replace(statement(LOCK), subjects=(Subject("mlenv.lock", Digest.of(data)),))
    return judge_lock(data, [signed(made.to_bytes(), ALICE)], policy("alice"), NOW)


TRUE = DATA.replace(b"version = 1\n", b"version = true\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"version = 2",
        b"a" + b".a" * 400_000 + b" = 1",
        b"version = 1",
        b"[" * 100_000,
        b"a=" + b"1" * 5000,
        DATA + b"[more]\n",
        TRUE,
    ],
)
def test_a_signed_file_that_is_no_lock(data: bytes) -> None:
    found = no_lock(data)
    assert found.approval is None
    assert {one.check for one in found.findings if one.status is Status.FAIL} == {"lock.format"}
    for one in found.findings:
        assert "\n" not in one.message + one.hint


def test_a_lock_of_another_name_is_called_by_it() -> None:
    found = judge_lock(DATA.replace(b"\n", b"\r\n"), [], policy("alice"), NOW, filename="envs/gpu.lock")
    assert "`gpu.lock -text`" in by_check(found, "lock.line-endings").hint
    assert by_check(found, "signature.present").source == "envs/gpu.lock"


def test_a_lock_is_the_one_that_was_judged() -> None:
    found = judge(signed_lock(LOCK, ALICE)).approval
    assert found is not None
    assert found.lock == Lock.parse(DATA.decode())
