"""What a verification found: what is a pass, which exit status, and the document that programs read."""

import json
import re
from typing import Any

import jsonschema
import pytest
from support.home import CHECKOUT
from support.reports import FAILED, PASSED, SKIPPED, UNSIGNED, UNVERIFIABLE, finding, report

from mlenv.errors import DriftError, MlenvError, SignatureError, UnverifiableError
from mlenv.model.report import EXIT_STATUSES, FACTS, Finding, Report, Status, any_failed
from mlenv.model.report_schema import report_schema
from mlenv.report.json import render_json

SCHEMA = CHECKOUT / "schema" / "mlenv.report.schema.json"
TEXT = CHECKOUT / "schema" / "report.md"
UNAUTHORISED = finding("signature.threshold", Status.FAIL)


def check(document: Any) -> None:
    jsonschema.Draft7Validator(report_schema()).validate(document)


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([PASSED], 0),
        ([PASSED, SKIPPED], 0),
        ([PASSED, FAILED], 1),
        ([PASSED, UNVERIFIABLE], 4),
        ([PASSED, UNVERIFIABLE, FAILED], 1),
        ([PASSED, UNAUTHORISED], 3),
        ([FAILED, UNAUTHORISED, UNVERIFIABLE], 3),
        ([finding("trust.environment", Status.FAIL)], 3),
        ([finding("provenance.builder", Status.FAIL)], 3),
        ([finding("signature.bundle", Status.UNVERIFIABLE)], 4),
        ([finding("lock.format", Status.FAIL)], 1),
        ([], 4),
        ([SKIPPED], 4),
    ],
)
def test_the_exit_status_is_that_of_the_gravest_finding(findings: list[Finding], status: int) -> None:
    made = report(*findings)
    assert made.exit_status == status
    assert made.ok == (status == 0)
    assert made.exit_status in EXIT_STATUSES
    check(made.to_json())


@pytest.mark.parametrize(
    ("findings", "kind", "messages"),
    [
        ([PASSED, FAILED], DriftError, [FAILED.message]),
        ([UNAUTHORISED, FAILED], SignatureError, [UNAUTHORISED.message, FAILED.message]),
        ([PASSED, UNVERIFIABLE], UnverifiableError, [UNVERIFIABLE.message]),
        ([], UnverifiableError, ["nothing was verified"]),
    ],
)
def test_a_report_that_is_not_ok_raises(findings: list[Finding], kind: type[MlenvError], messages: list[str]) -> None:
    with pytest.raises(kind) as caught:
        report(*findings).raise_for_drift()
    assert type(caught.value) is kind
    assert [one.message for one in caught.value.problems] == messages


def test_a_report_that_is_ok_raises_nothing() -> None:
    report(PASSED, SKIPPED).raise_for_drift()


def test_a_problem_says_where_and_what_to_do() -> None:
    assert str(FAILED.problem) == f"{FAILED.source}: {FAILED.message}"
    assert FAILED.problem.hint == FAILED.hint


def test_a_skipped_signature_is_not_checked() -> None:
    assert not report(UNSIGNED, PASSED).signature_is_checked
    assert not report(PASSED).signature_is_checked
    assert report(UNAUTHORISED).signature_is_checked
    assert report(finding("trust.key", Status.PASS)).signature_is_checked
    assert not report(finding("provenance.signature", Status.PASS)).signature_is_checked


def test_what_failed() -> None:
    assert report(PASSED, FAILED, UNVERIFIABLE).failed == (FAILED,)
    assert any_failed([PASSED, UNVERIFIABLE])
    assert any_failed([FAILED])
    assert not any_failed([PASSED, SKIPPED])


def test_json_is_the_document_of_the_schema() -> None:
    text = render_json(report(PASSED, FAILED))
    assert json.loads(text) == report(PASSED, FAILED).to_json()
    assert not text.endswith("\n")
    check(json.loads(text))


def test_json_has_no_control_characters() -> None:
    text = render_json(report(finding("image.config", Status.FAIL, observed="\x1b[2J\u202e\u0085")))
    assert all(character == "\n" or character.isprintable() for character in text)
    assert text.isascii()


def test_the_file_is_what_the_code_says() -> None:
    written = json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == written, "run `mlenv schema report > schema/mlenv.report.schema.json`"


def test_it_is_a_schema_of_draft_7_without_references() -> None:
    jsonschema.Draft7Validator.check_schema(report_schema())
    assert "$ref" not in json.dumps(report_schema())


@pytest.mark.parametrize(
    "path",
    [["version"], ["target"], ["ok"], ["exit_status"], ["facts"], ["findings"]]
    + [["findings", 0, name] for name in finding("a").to_json()],
)
def test_every_field_is_required(path: list[str | int]) -> None:
    document = report(PASSED, FAILED).to_json()
    *parents, name = path
    place: Any = document
    for step in parents:
        place = place[step]
    del place[name]
    with pytest.raises(jsonschema.ValidationError):
        check(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"target": ""},
        {"exit_status": 2},
        {"exit_status": 0},
        {"exit_status": 4},
        {"ok": True},
        {"ok": "no"},
        {"facts": {"host": "x"}},
        {"facts": {"serial": 7}},
        {"facts": {"serial": ""}},
        {"findings": []},
        {"findings": [PASSED.to_json()]},
        {"findings": [FAILED.to_json() | {"status": "failed"}]},
        {"findings": [FAILED.to_json() | {"severity": "fatal"}]},
        {"findings": [FAILED.to_json() | {"trusted": "vendor"}]},
        {"findings": [FAILED.to_json() | {"check": "Image Layer"}]},
        {"findings": [FAILED.to_json() | {"message": ""}]},
        {"findings": [FAILED.to_json() | {"more": ""}]},
        {"more": 1},
    ],
)
def test_wrong_documents_are_refused(changes: dict[str, Any]) -> None:
    document = report(PASSED, FAILED).to_json()
    check(document)
    with pytest.raises(jsonschema.ValidationError):
        check(document | changes)


def test_a_pass_with_a_failure_in_it_is_refused() -> None:
    document = report(PASSED).to_json()
    for one in (FAILED, UNVERIFIABLE):
        with pytest.raises(jsonschema.ValidationError):
            check(document | {"findings": [PASSED.to_json(), one.to_json()]})
    with pytest.raises(jsonschema.ValidationError):
        check(document | {"findings": [SKIPPED.to_json()]})


def test_every_fact_may_be_told() -> None:
    check(Report("lock", dict.fromkeys(FACTS, "x"), (PASSED,)).to_json())


def test_the_normative_text_names_every_check_and_no_other() -> None:
    ids = r"(?:signature|trust|provenance|lock|image)\.[a-z-]+"
    sources = [path for part in ("trust", "verify") for path in (CHECKOUT / "mlenv" / part).rglob("*.py")]
    made = {one for path in sources for one in re.findall(rf'"({ids})"', path.read_text(encoding="utf-8"))}
    told = set(re.findall(rf"^\| `({ids})` \|", TEXT.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == made - {"trust.toml"}


def test_the_normative_text_names_every_field_and_value() -> None:
    text = TEXT.read_text(encoding="utf-8")
    schema = report_schema()
    fields = schema["properties"]["findings"]["items"]["properties"]
    values = [value for name in ("status", "severity", "trusted") for value in fields[name]["enum"]]
    for name in [*schema["properties"], *fields, *values, *FACTS]:
        assert f"`{name}`" in text, name
