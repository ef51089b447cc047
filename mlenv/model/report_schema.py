"""The JSON Schema of a report, for programs that read what `mlenv verify --json` prints."""

from collections.abc import Iterable
from typing import Any

from mlenv.model.report import EXIT_STATUSES, FACTS, REPORT_VERSION, Severity, Status, Trusted

SCHEMA_ID = "https://mlenv.dev/schema/mlenv.report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema as a JSON value. It also says what must agree: `ok`, `exit_status` and the findings."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        "title": "mlenv report",
        "description": "What a verification found.",
        **_object(
            {
                "version": {"const": REPORT_VERSION, "description": "The version of this form."},
                "target": {
                    "type": "string",
                    "minLength": 1,
                    "description": "What was looked at; lock for the lock alone.",
                },
                "ok": {"type": "boolean", "description": "Whether every check that was made passed, and one was made."},
                "exit_status": {"enum": list(EXIT_STATUSES), "description": "The exit status of the command."},
                "facts": _facts(),
                "findings": {"type": "array", "items": _finding(), "description": "One for each check."},
            }
        ),
        "allOf": [_agree(status) for status in EXIT_STATUSES],
    }


def _facts() -> dict[str, Any]:
    """All optional: a lock that cannot be read has none of its own."""
    facts = {name: {"type": "string", "minLength": 1, "description": text} for name, text in FACTS.items()}
    return {
        "type": "object",
        "properties": facts,
        "additionalProperties": False,
        "description": "What a reader wants to know first.",
    }


def _finding() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        **_object(
            {
                "check": {
                    "type": "string",
                    "pattern": r"^[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)*$",
                    "description": "The check's stable name.",
                },
                "status": _choice(Status, "What came of it."),
                "severity": _choice(Severity, "How much a failure matters, in the levels of SARIF 2.1.0."),
                "message": {"type": "string", "minLength": 1, "description": "What holds, or what does not: one line."},
                "expected": text | {"description": "What had to be there; empty where nothing is compared."},
                "observed": text | {"description": "What was there; empty where nothing is compared."},
                "source": text | {"description": "Where the observed value was read."},
                "trusted": _choice(Trusted, "Whom one has to believe to believe the observed value."),
                "hint": text | {"description": "What to do about it, or empty."},
            }
        ),
        "description": "One check and what came of it.",
    }


def _agree(status: int) -> dict[str, Any]:
    """What else is so where the exit status is this one."""
    failed, lacking, passed = ({"contains": _with(one)} for one in (Status.FAIL, Status.UNVERIFIABLE, Status.PASS))
    findings: dict[int, list[dict[str, Any]]] = {
        0: [passed, {"not": failed}, {"not": lacking}],
        1: [failed],
        3: [failed],
        4: [{"not": failed}, {"anyOf": [lacking, {"not": passed}]}],
    }
    said = {"ok": {"const": status == 0}, "findings": {"allOf": findings[status]}}
    return {"if": {"properties": {"exit_status": {"const": status}}}, "then": {"properties": said}}


def _with(status: Status) -> dict[str, Any]:
    return {"properties": {"status": {"const": status.value}}}


def _choice(values: Iterable[str], description: str) -> dict[str, Any]:
    return {"enum": [str(one) for one in values], "description": description}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    """An object of exactly these properties."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }
