"""Whatever a report holds, its JSON is what the schema says, and its text acts on no terminal."""

import json

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from mlenv.model.report import FACTS, Finding, Report, Severity, Status, Trusted
from mlenv.model.report_schema import report_schema
from mlenv.report.json import render_json
from mlenv.report.text import render_text

SCHEMA = jsonschema.Draft7Validator(report_schema())
TEXT = st.text(max_size=40)
FINDINGS = st.builds(
    Finding,
    check=st.from_regex(r"[a-z]+(\.[a-z]+(-[a-z]+)?){0,2}", fullmatch=True) | st.just("signature.present"),
    status=st.sampled_from(Status),
    message=st.text(min_size=1, max_size=200),
    expected=TEXT,
    observed=TEXT,
    source=TEXT,
    trusted=st.sampled_from(Trusted),
    severity=st.sampled_from(Severity),
    hint=TEXT,
)
REPORTS = st.builds(
    Report,
    target=st.text(min_size=1, max_size=40) | st.just("lock"),
    facts=st.dictionaries(st.sampled_from(list(FACTS)), st.text(min_size=1, max_size=40)),
    findings=st.lists(FINDINGS, max_size=8).map(tuple),
)


@given(REPORTS)
def test_json_is_what_the_schema_says(made: Report) -> None:
    SCHEMA.validate(json.loads(render_json(made)))


@given(REPORTS, st.sampled_from(["ok", "exit_status"]), st.sampled_from([True, False, 0, 1, 3, 4]))
def test_another_verdict_over_the_same_findings_is_no_report(made: Report, field: str, value: object) -> None:
    document = made.to_json() | {field: value}
    if document == made.to_json() and type(value) is type(made.to_json()[field]):
        return
    if {made.exit_status, value} == {1, 3}:
        return  # which checks judge authority is the text's to say
    assert not SCHEMA.is_valid(document)


@given(REPORTS, st.integers(1, 300))
def test_text_is_one_verdict_and_printable_lines(made: Report, width: int) -> None:
    text = render_text(made, width=width)
    assert all(character == "\n" or character.isprintable() for character in text)
    assert text.startswith("SIGNATURE NOT CHECKED") == (not made.signature_is_checked)
    if made.signature_is_checked:
        assert text.startswith("verified: ") == made.ok
        assert text.startswith("FAILED: ") == bool(made.failed)
