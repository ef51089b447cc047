"""A report for the terminal of whoever has to rely on it: the verdict, the facts, then the findings, worst first.

Everything that may come from outside is escaped: no control character of it reaches the terminal.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import Final

from mlenv.model.report import Finding, Report, Status, Trusted
from mlenv.model.strict_json import shown

WIDTH: Final = 100  # columns
_LONGEST: Final = (
    600  # characters of one value: long enough for what is true, too short to push a verdict off the screen
)
_COMMAND: Final = re.compile(r"`[^`]{1,90}`")
_UNBROKEN: Final = "\0"  # stands for a blank while lines are broken; what is shown has no control characters
_FOLD: Final = 4  # so many passes of one check are told in one line
_COLORS: Final = {Status.PASS: "32", Status.FAIL: "1;31", Status.UNVERIFIABLE: "1;33", Status.SKIPPED: "33"}
_BELIEVED: Final = {
    Trusted.KEY: "what a trusted key signed",
    Trusted.ENGINE: "on the word of the container engine",
    Trusted.HOST: "on the word of this host",
    Trusted.NOBODY: "on the word of what is being checked",
}
_UNFINISHED: Final = {Status.FAIL: "failed", Status.UNVERIFIABLE: "could not be verified"}


def render_text(report: Report, *, width: int = WIDTH, color: bool = False) -> str:
    """The report as lines of text, without a newline at the end.

    The first line is the verdict and is never wrapped; the rest keeps to `width` columns where its words allow it.
    `color` adds ANSI escape sequences (ECMA-48, SGR) to the verdict and to the names of checks, and nothing else.
    """
    blocks = [[verdict(report, color=color)], list(_rows(_facts(report.facts), width))]
    for status, title in _UNFINISHED.items():
        found = [one for one in report.findings if one.status is status]
        blocks.append(_section(title, (line for one in found for line in _in_full(one, width, color=color))))
    blocks.append(_section("skipped", _rows(_skipped(report.findings), width)))
    blocks.append(_section("passed", _rows(_passed(report.findings), width)))
    return "\n\n".join("\n".join(block) for block in blocks if block)


def verdict(report: Report, *, color: bool = False) -> str:
    """What came of it, in one line. That no signature was checked is said before all else."""
    said, status = _outcome(report)
    said = _paint(said, status, color=color)
    if report.signature_is_checked:
        return said
    asked = any(one.check == "signature.present" and one.status is Status.SKIPPED for one in report.findings)
    warning = "SIGNATURE NOT CHECKED (--no-signature):" if asked else "SIGNATURE NOT CHECKED:"
    return f"{_paint(warning, Status.UNVERIFIABLE, color=color)} {said}"


def _outcome(report: Report) -> tuple[str, Status]:
    target = _safe(report.target)
    made = sum(one.status is not Status.SKIPPED for one in report.findings)
    if report.failed:
        said = f"FAILED: {_and(_broken(report, target))} ({len(report.failed)} of {made} checks failed)"
        return said, Status.FAIL
    if not made:
        return f"could not be verified: {target}: no check was made", Status.UNVERIFIABLE
    if not report.ok:
        lacking = sum(one.status is Status.UNVERIFIABLE for one in report.findings)
        said = f"could not be verified: {target} ({lacking} of {made} checks had no evidence)"
        return said, Status.UNVERIFIABLE
    return _passed_verdict(report, target), Status.PASS


def _passed_verdict(report: Report, target: str) -> str:
    """`verified` is said only where somebody's signature was."""
    same = "mlenv.lock can be read" if report.is_of_the_lock_alone else f"{target} is what mlenv.lock says"
    if not report.signature_is_checked:
        return same
    # Facts give signers as `alice (sha256:…), bob (sha256:…)`: the fingerprints stand in the facts.
    names = [name.partition(" (")[0] for name in report.facts.get("signers", "").split(", ") if name]
    approved = _safe("approved by " + " and ".join(names)) if names else "approved"
    return f"verified: mlenv.lock is {approved}" if report.is_of_the_lock_alone else f"verified: {same}, {approved}"


def _broken(report: Report, target: str) -> list[str]:
    """What the failures mean, in sentences: the authority first, because without it nothing else counts."""
    words = {one.check.partition(".")[0] for one in report.failed}
    parts = []
    if words & {"signature", "trust"}:
        parts.append("the approval of mlenv.lock does not hold")
    if "provenance" in words:
        parts.append("the provenance does not hold")
    if "lock" in words:
        parts.append("mlenv.lock is not what it should be")
    if words - {"signature", "trust", "provenance", "lock"}:
        parts.append(f"{target} is not what mlenv.lock says")
    return parts


def _facts(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A row each, and one for every signer."""
    for name, value in facts.items():
        first, *more = value.split(", ") if name == "signers" else [value]
        if first:
            yield name, first
        yield from (("", one) for one in more)


def _in_full(finding: Finding, width: int, *, color: bool) -> Iterator[str]:
    """A finding that somebody has to act on: what, expected, observed, where from, what to do."""
    head = _paint(_safe(finding.check), finding.status, color=color)
    plain = len(_safe(finding.check))
    lines = _wrapped(_safe(finding.message), width - 4 - plain)
    yield f"  {head}  {lines[0]}"
    yield from (" " * (plain + 4) + line for line in lines[1:])
    believed = _BELIEVED.get(finding.trusted, "")
    source = ", ".join(filter(None, [finding.source, believed]))
    pairs = {"expected": finding.expected, "observed": finding.observed, "source": source, "hint": finding.hint}
    yield from _pairs(pairs, "  ", width)


def _skipped(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """A row each: where, why, and what to do if it should not be so."""
    skipped = [one for one in findings if one.status is Status.SKIPPED]
    return [
        (one.check, (f"{one.source}: " if one.source else "") + one.message + (f"; {one.hint}" if one.hint else ""))
        for one in skipped
    ]


def _passed(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """One row a pass; many passes of one check, and of one trust, are one row where the first of them stood."""
    passes = [one for one in findings if one.status is Status.PASS]
    counts = Counter((one.check, one.trusted) for one in passes)
    for one in passes:
        kind = (one.check, one.trusted)
        count = counts[kind]
        said = one.message
        if count >= _FOLD:
            counts[kind] = 0
            said = f"{count} {one.check.rpartition('.')[2]}s agree"
        if count:
            believed = "" if one.trusted is Trusted.KEY else _BELIEVED.get(one.trusted, "")
            yield one.check, f"{said} ({believed})" if believed else said


def _section(title: str, lines: Iterable[str]) -> list[str]:
    """Lines under a title; nothing if there are none."""
    found = list(lines)
    return [title, *found] if found else []


def _rows(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Two columns, the second wrapped under itself."""
    safe = [(_safe(name), _safe(value)) for name, value in rows]
    first = max((len(name) for name, _ in safe), default=0)
    for name, value in safe:
        lines = _wrapped(value, width - first - 4)
        yield f"  {name:<{first}}  {lines[0]}".rstrip()
        yield from (" " * (first + 4) + line for line in lines[1:])


def _pairs(values: Mapping[str, str], indent: str, width: int) -> list[str]:
    """Names and values in two columns; what is empty is left out."""
    filled = [(name, value) for name, value in values.items() if value]
    return [indent + row for row in _rows(filled, width - len(indent))]


def _wrapped(text: str, width: int) -> list[str]:
    """At least one line. Digests, paths and `commands` are never broken: they are there to be copied."""
    kept = _COMMAND.sub(lambda match: match[0].replace(" ", _UNBROKEN), text)
    lines = wrap(kept, max(width, 24), break_long_words=False, break_on_hyphens=False) or [""]
    return [line.replace(_UNBROKEN, " ") for line in lines]


def _safe(text: str) -> str:
    return shown(text, _LONGEST)


def _paint(text: str, status: Status, *, color: bool) -> str:
    return f"\x1b[{_COLORS[status]}m{text}\x1b[0m" if color else text


def _and(parts: list[str]) -> str:
    return ", and ".join(parts)
