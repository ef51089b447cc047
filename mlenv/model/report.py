"""What a verification found: one finding a check, each with its evidence, and never a pass without any.

A report is a value; `mlenv.report` renders it. Its JSON form is schema/mlenv.report.schema.json.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mlenv.errors import DriftError, Problem, SignatureError, UnverifiableError

REPORT_VERSION: Final = 1
LOCK_ALONE: Final = "lock"  # the target that is no image
EXIT_STATUSES: Final = (0, DriftError.exit_status, SignatureError.exit_status, UnverifiableError.exit_status)
FACTS: Final = {
    "target": "What was looked at.",
    "environment": "The environment's name, or name:version.",
    "version": "The environment's version.",
    "lock": "The digest of the lock's raw bytes.",
    "image": "The digest of the image that the lock names: of the index, where there are several platforms.",
    "serial": "The approval's serial.",
    "issued": "When the lock was approved, as the signers say: UTC, whole seconds.",
    "expires": "Until when the approval holds: UTC, whole seconds.",
    "signers": "Whose signatures counted: `alice (sha256:…), bob (sha256:…)`.",
    "policy": "The trust policy by which the lock was judged, or the keys that were named.",
}
"""What a report may say of its subject before the findings, in this order, and what each of them is."""


class Status(StrEnum):
    """What came of a check. `SKIPPED` is what nobody wanted or what does not apply; `UNVERIFIABLE` lacks evidence."""

    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"
    UNVERIFIABLE = "unverifiable"
    SKIPPED = "skipped"


class Severity(StrEnum):
    """How much a failed check matters, in the levels of SARIF 2.1.0 (section 3.27.10)."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Trusted(StrEnum):
    """Whom one has to believe to believe the evidence."""

    MATHEMATICS = "mathematics"  # bytes that were hashed, or a signature that was checked, here and now
    KEY = "key"  # what the holder of a trusted key signed
    ENGINE = "engine"  # what the container engine says
    HOST = "host"  # what the host's kernel or its root says, this machine's clock and files included
    NOBODY = "nobody"  # what the thing that is being checked says of itself


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what came of it.

    `check` is a stable id of dotted words: its first word is `signature`, `trust` or `provenance` where authority is
    judged, `lock` or `image` where things are compared. `expected` and `observed` are text for people and machines
    alike: digests, times, names; empty where there is nothing to compare. `source` says where the observed value was
    read (`mlenv.lock.sigstore.json`, `oci:out layer 3`), `trusted` whom one believes in taking it from there.
    `message` is one line and says what holds or what does not; `hint` what to do about it, or is empty.
    """

    check: str
    status: Status
    message: str
    expected: str = ""
    observed: str = ""
    source: str = ""
    trusted: Trusted = Trusted.MATHEMATICS
    severity: Severity = Severity.ERROR
    hint: str = ""

    @property
    def judges_authority(self) -> bool:
        """Whether it is about who approved the lock or built the image, rather than about what the image is."""
        return self.check.partition(".")[0] in {"signature", "trust", "provenance"}

    @property
    def problem(self) -> Problem:
        """The finding as an error tells it."""
        return Problem(self.message, self.source, self.hint)

    def to_json(self) -> dict[str, str]:
        """Every field as text."""
        return {
            "check": self.check,
            "status": self.status.value,
            "severity": self.severity.value,
            "message": self.message,
            "expected": self.expected,
            "observed": self.observed,
            "source": self.source,
            "trusted": self.trusted.value,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A verification of one target against one lock.

    `target` is what was looked at, as the user wrote it, or `lock`; `facts` are what a reader wants to know first,
    under the names of `FACTS`.
    """

    target: str
    facts: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every check that was made passed, and at least one was made."""
        made = [one for one in self.findings if one.status is not Status.SKIPPED]
        return bool(made) and all(one.status is Status.PASS for one in made)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings of failed checks."""
        return tuple(one for one in self.findings if one.status is Status.FAIL)

    @property
    def signature_is_checked(self) -> bool:
        """Whether anybody looked at who approved the lock, whatever came of it."""
        looked = [one for one in self.findings if one.check.partition(".")[0] in {"signature", "trust"}]
        return any(one.status is not Status.SKIPPED for one in looked)

    @property
    def is_of_the_lock_alone(self) -> bool:
        """Whether no image was looked at: `mlenv verify lock`."""
        return self.target == LOCK_ALONE

    @property
    def exit_status(self) -> int:
        """0, or that of the gravest finding: authority (3), a mismatch (1), evidence that is missing (4)."""
        if any(one.judges_authority for one in self.failed):
            return SignatureError.exit_status
        if self.failed:
            return DriftError.exit_status
        return 0 if self.ok else UnverifiableError.exit_status

    def raise_for_drift(self) -> None:
        """Raise SignatureError, DriftError or UnverifiableError, with every finding concerned, unless it is `ok`."""
        if self.ok:
            return
        kinds: dict[int, type[SignatureError | DriftError | UnverifiableError]] = {
            kind.exit_status: kind for kind in (SignatureError, DriftError, UnverifiableError)
        }
        kind = kinds[self.exit_status]
        concerned = self.failed or [one for one in self.findings if one.status is Status.UNVERIFIABLE]
        raise kind("nothing was verified", problems=[one.problem for one in concerned])

    def to_json(self) -> dict[str, Any]:
        """The document of schema/mlenv.report.schema.json."""
        return {
            "version": REPORT_VERSION,
            "target": self.target,
            "ok": self.ok,
            "exit_status": self.exit_status,
            "facts": dict(self.facts),
            "findings": [one.to_json() for one in self.findings],
        }


def any_failed(findings: Iterable[Finding]) -> bool:
    """Whether one of them failed or could not be made."""
    return any(one.status in (Status.FAIL, Status.UNVERIFIABLE) for one in findings)
