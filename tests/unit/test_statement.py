"""What a statement may say, and what each refusal tells."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from support import locks
from support.locks import digest

from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.trust.statement import SERIALS, SUBJECTS, LockStatement, Subject, lock_subjects

ISSUED = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
SUBJECT = Subject("mlenv.lock", digest("lock"))


def statement(**changes: Any) -> LockStatement:
    fields: dict[str, Any] = {
        "subjects": (SUBJECT, Subject("image/linux/amd64", digest("image"))),
        "environment": "fraud-model",
        "serial": 7,
        "issued_at": ISSUED,
        "expires": ISSUED + timedelta(days=365),
        "policy": digest("policy"),
    }
    return LockStatement(**(fields | changes))


def payload(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(statement().to_bytes())
    change(value)
    return json.dumps(value).encode()


def test_the_payload_has_exactly_this_form() -> None:
    written = statement(subjects=(SUBJECT,)).to_bytes()

    assert written == (
        b'{"_type":"https://in-toto.io/Statement/v1",'
        b'"predicate":{"environment":"fraud-model","expires":"2027-01-31T12:00:00Z","issuedAt":"2026-01-31T12:00:00Z",'
        b'"policy":{"digest":{"sha256":"%b"}},"serial":7},'
        b'"predicateType":"https://mlenv.dev/lock/v1",'
        b'"subject":[{"digest":{"sha256":"%b"},"name":"mlenv.lock"}]}'
    ) % (digest("policy").hex.encode(), digest("lock").hex.encode())
    assert b"policy" not in statement(policy=None).to_bytes()


def test_a_statement_is_read_back_in_any_spelling_of_its_json() -> None:
    assert LockStatement.parse(statement().to_bytes()) == statement()
    assert LockStatement.parse(statement(policy=None).to_bytes()) == statement(policy=None)
    assert LockStatement.parse(payload(lambda value: value) + b"\n") == statement()


def test_the_subjects_of_a_lock_are_its_bytes_and_its_images() -> None:
    one = locks.lock()
    both = [locks.contents(platform) for platform in (Platform.LINUX_AMD64, Platform.LINUX_ARM64)]
    two = locks.lock(*both)

    assert lock_subjects(one, b"bytes") == (
        Subject("mlenv.lock", Digest.of(b"bytes")),
        Subject("image/linux/amd64", one.platforms[0].image.manifest),
    )
    assert two.index is not None
    assert lock_subjects(two, b"bytes")[1:] == (
        Subject("image", two.index),
        Subject("image/linux/amd64", two.platforms[0].image.manifest),
        Subject("image/linux/arm64", two.platforms[1].image.manifest),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"environment": "Fraud"}, "not the name of an environment: 'Fraud'"),
        ({"environment": ""}, "not the name of an environment"),
        ({"environment": "a\n"}, "not the name of an environment"),
        ({"environment": "a" * 1025}, "not the name of an environment"),
        ({"serial": 0}, "the serial is not in the range from 1"),
        ({"serial": -1}, "the serial is not in the range from 1"),
        ({"serial": SERIALS + 1}, "the serial is not in the range from 1"),
        ({"issued_at": ISSUED.replace(tzinfo=None)}, "issuedAt is not a time in UTC with whole seconds"),
        ({"issued_at": ISSUED.replace(microsecond=1)}, "issuedAt is not a time in UTC with whole seconds"),
        ({"expires": ISSUED.replace(year=2027, tzinfo=timezone(timedelta(hours=1)))}, "expires is not a time in UTC"),
        ({"expires": ISSUED}, "is not after issuedAt"),
        ({"expires": ISSUED - timedelta(seconds=1)}, "is not after issuedAt"),
        ({"subjects": ()}, "no subject is named mlenv.lock"),
        ({"subjects": (Subject("image", digest("x")),)}, "no subject is named mlenv.lock"),
        ({"subjects": (SUBJECT, Subject("mlenv.lock", digest("other")))}, "two subjects of one name: 'mlenv.lock'"),
        (
            {"subjects": (SUBJECT, *(Subject(f"model/{n}", digest("m")) for n in range(SUBJECTS)))},
            "more than 4096 subjects",
        ),
    ],
)
def test_a_statement_that_would_be_refused_cannot_be_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        statement(**change)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", " ", "mlenv.lock ", "a\nb", "a\x00", "mlenv.l\u043eck", "\u202emlenv.lock", "a" * 1025]
)
def test_a_subject_has_a_name_that_shows_as_what_it_is(name: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        Subject(name, digest("x"))


def test_the_limits_themselves_are_allowed() -> None:
    subjects = (SUBJECT, *(Subject(f"model/{n}", digest("m")) for n in range(SUBJECTS - 1)))
    largest = statement(
        subjects=subjects,
        environment="a" * 1024,
        serial=SERIALS,
        issued_at=datetime(1, 1, 1, tzinfo=UTC),
        expires=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    )

    assert b'"issuedAt":"0001-01-01T00:00:00Z"' in largest.to_bytes()
    assert LockStatement.parse(largest.to_bytes()) == largest
    assert LockStatement.parse(statement(serial=1).to_bytes()).serial == 1


KINDS: list[tuple[bytes, str]] = [
    (b"", "not JSON: Expecting value"),
    (b"\xff", "not UTF-8"),
    (b"[]", "not an in-toto statement"),
    (b"{}", "not an in-toto statement"),
    (b'{"_type": 1}', "not an in-toto statement"),
    (b'{"spdxVersion": "SPDX-2.3"}', "not an in-toto statement"),
    (b'{"_type": "https://in-toto.io/Statement/v0.1"}', "of type 'https://in-toto.io/Statement/v0.1'"),
    (b'{"_type": "https://in-toto.io/Statement/v1"}', "predicateType is not a string"),
    (
        b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://spdx.dev/Document", "predicate": {}}',
        "a statement of another kind: 'https://spdx.dev/Document'",
    ),
    (
        b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://mlenv.dev/lock/v2"}',
        "a statement of another kind: 'https://mlenv.dev/lock/v2'",
    ),
    (b'{"_type": "https://in-toto.io/Statement/v1", "predicateType": "\\n\\u202e"}', "'\\n\\u202e'"),
]


@pytest.mark.parametrize(("data", "message"), KINDS)
def test_a_statement_of_another_kind_is_called_what_it_is(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        LockStatement.parse(data)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def without(name: str) -> Callable[[dict[str, Any]], object]:
    def change(value: dict[str, Any]) -> None:
        value.pop(name, None)
        value["predicate"].pop(name, None)

    return change


def within(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: value["predicate"].update(fields)


def subject(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: value["subject"][0].update(fields)


HEX = "0" * 64
REFUSED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (without("subject"), "the statement has no subject"),
    (lambda value: value.update(predicate=None), "the predicate is not an object"),
    (lambda value: value.update(extra=1), "the statement has a field that mlenv does not know: 'extra'"),
    (lambda value: value.update(subject={}), "subject is not a list"),
    (lambda value: value.update(subject=[]), "no subject is named mlenv.lock"),
    (lambda value: value.update(subject=["mlenv.lock"]), "a subject is not an object"),
    (lambda value: value["subject"].append(value["subject"][0]), "two subjects of one name: 'mlenv.lock'"),
    (lambda value: value.update(subject=value["subject"] * SUBJECTS), "more than 4096 subjects"),
    (subject(name=1), "the name of a subject is not a string"),
    (subject(name="other"), "no subject is named mlenv.lock"),
    (subject(uri="file:mlenv.lock"), "a subject has a field that mlenv does not know: 'uri'"),
    (subject(digest={}), "the digest of the subject 'mlenv.lock' has no sha256"),
    (subject(digest=HEX), "the digest of the subject 'mlenv.lock' is not an object"),
    (subject(digest={"sha256": HEX, "sha1": "0" * 40}), "a field that mlenv does not know: 'sha1'"),
    (subject(digest={"sha512": "0" * 128}), "has no sha256"),
    (subject(digest={"sha256": HEX[:-1]}), "not the hexadecimal form of a sha256"),
    (subject(digest={"sha256": "A" * 64}), "not the hexadecimal form of a sha256"),
    (subject(digest={"sha256": f"sha256:{HEX}"}), "not the hexadecimal form of a sha256"),
    (subject(digest={"sha256": 0}), "the sha256 of the subject 'mlenv.lock' is not a string"),
    (without("environment"), "the predicate has no environment"),
    (without("serial"), "the predicate has no serial"),
    (without("issuedAt"), "the predicate has no issuedAt"),
    (without("expires"), "the predicate has no expires"),
    (within(threshold=1), "the predicate has a field that mlenv does not know: 'threshold'"),
    (within(environment=["a"]), "environment is not a string"),
    (within(environment="*"), "not the name of an environment: '*'"),
    (within(serial=True), "serial is not an integer"),
    (within(serial=1.0), "serial is not an integer"),
    (within(serial="7"), "serial is not an integer"),
    (within(serial=0), "the serial is not in the range"),
    (within(serial=2**53), "out of range"),
    (within(expires=0), "expires is not a string"),
    (within(expires="2027-01-31"), "expires is not a time like 2026-01-31T12:00:00Z: '2027-01-31'"),
    (within(expires="2027-01-31T12:00:00+00:00"), "expires is not a time like"),
    (within(expires="2027-01-31T12:00:00.5Z"), "expires is not a time like"),
    (within(expires="2027-01-31t12:00:00z"), "expires is not a time like"),
    (within(expires="2027-01-31T12:00:00Z\n"), "expires is not a time like"),
    (within(expires="2027-1-31T12:00:00Z"), "expires is not a time like"),
    (within(expires="\uff12\uff1027-01-31T12:00:00Z"), "expires is not a time like"),
    (within(expires="2027-02-30T12:00:00Z"), "expires is a time that does not exist"),
    (within(expires="2026-12-31T23:59:60Z"), "expires is a time that does not exist"),
    (within(expires="0000-12-31T23:59:59Z"), "expires is a time that does not exist"),
    (within(expires="2026-01-31T24:00:00Z"), "expires is a time that does not exist"),
    (within(expires="2026-01-31T12:00:00Z"), "is not after issuedAt"),
    (within(policy=None), "policy is not an object"),
    (within(policy={}), "policy has no digest"),
    (within(policy={"digest": {"sha256": HEX}, "uri": "x"}), "policy has a field that mlenv does not know: 'uri'"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_a_statement_that_is_not_exactly_of_this_form_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ValueError) as refused:
        LockStatement.parse(payload(change))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_field_that_stands_there_twice_is_refused() -> None:
    twice = statement().to_bytes().replace(b'"serial":7', b'"serial":1,"serial":7')

    with pytest.raises(ValueError, match="'serial' appears twice"):
        LockStatement.parse(twice)
