"""Where the compared thing was read, so that each finding can say so in the same words."""

from dataclasses import dataclass, replace
from typing import Self

from mlenv.errors import Problem
from mlenv.model.digest import Digest
from mlenv.model.report import Finding, Severity, Status, Trusted


@dataclass(frozen=True, slots=True)
class Place:
    """A place and whom one believes in reading there. `label` stands before each message (`linux/arm64: `)."""

    name: str
    trusted: Trusted
    label: str = ""

    def labelled(self, label: str) -> Self:
        """The same place, of which one part is now looked at."""
        return replace(self, label=label)

    def passed(self, check: str, message: str, at: Digest | None = None, value: object = "") -> Finding:
        """Something is as expected."""
        return self._finding(check, Status.PASS, message, at, value, value, "")

    def failed(
        self,
        check: str,
        message: str,
        at: Digest | None = None,
        *,
        expected: object = "",
        observed: object = "",
        hint: str = "",
    ) -> Finding:
        """Something is other than expected."""
        return self._finding(check, Status.FAIL, message, at, expected, observed, hint)

    def unread(
        self, check: str, message: str, at: Digest | None = None, *, expected: object = "", hint: str = ""
    ) -> Finding:
        """There is no evidence either way."""
        return self._finding(check, Status.UNVERIFIABLE, message, at, expected, "", hint)

    def noted(self, check: str, message: str, at: Digest | None = None) -> Finding:
        """What a reader should know, and what is no mistake."""
        return replace(self._finding(check, Status.SKIPPED, message, at, "", "", ""), severity=Severity.NOTE)

    def wrong(self, check: str, problem: Problem) -> Finding:
        """What is wrong with the thing itself; the problem's place ends with the part that it is about."""
        source = f"{self.name} {problem.where.rpartition(': ')[2]}" if problem.where else self.name
        return Finding(check, Status.FAIL, self.label + problem.message, source=source, trusted=self.trusted)

    def _finding(
        self, check: str, status: Status, message: str, at: Digest | None, expected: object, observed: object, hint: str
    ) -> Finding:
        source = f"{self.name} {at}" if at else self.name
        return Finding(
            check,
            status,
            self.label + message,
            "" if expected is None else str(expected),
            "" if observed is None else str(observed),
            source,
            self.trusted,
            hint=hint,
        )
