"""Whether a lock is approved: its bytes, the bundles beside it, a policy and the time go in; findings come out.

Nothing here reads a file, a clock or a network, so that every attack is a unit test. Nothing is parsed before what
speaks for it was checked: a bundle is read; a key of the policy signed the statement in it; the statement names the
digest of the lock's bytes; then the lock is read. The normative text is schema/trust.md.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from mlenv.errors import LockFormatError, Problem
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.report import Finding, Status, any_failed
from mlenv.trust import judge_findings as found
from mlenv.trust.freshness import serial_finding, time_findings
from mlenv.trust.judgement import Approval, Judgement, Mark, NamedBundle
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.statement import lock_subjects
from mlenv.trust.tally import Tally, tally
from mlenv.trust.votes import NoVote, Vote, vote

__all__ = ["NO_MARKS", "Approval", "Judgement", "Mark", "NamedBundle", "judge_lock"]

NO_MARKS: Final[Mapping[str, Mark]] = MappingProxyType({})


def judge_lock(
    lock: bytes,
    bundles: Sequence[NamedBundle],
    policy: TrustPolicy,
    now: datetime,
    *,
    marks: Mapping[str, Mark] = NO_MARKS,
    at_serial: int | None = None,
    filename: str = "mlenv.lock",
) -> Judgement:
    """Judge a lock by a policy. `lock` are the file's raw bytes, `filename` is what messages call it.

    `marks` has what was accepted last, by environment. `at_serial` asks for exactly that serial, and then one below
    the mark is no failure: an old lock is being audited.
    """
    looked = [vote(bundle, policy, lock, now) for bundle in bundles[: found.MOST_BUNDLES]]
    votes = [one for one in looked if isinstance(one, Vote)]
    refused = [one for one in looked if isinstance(one, NoVote)]
    findings = [*found.line_endings(lock, filename), *found.number(bundles, filename)]
    if not votes:
        findings += [*found.of_bundles([], refused, reached=False), *found.nobody(refused, filename)]
        return Judgement(tuple(findings), None)
    parsed, wrong = _parsed(lock, filename)
    if parsed is None:
        return Judgement((*findings, *wrong, *found.of_bundles(votes, refused, reached=True)), None)
    environment = parsed.environment.name
    rule = policy.rule(environment)
    if rule is None:
        findings += [found.no_rule(environment, policy, filename), *found.of_bundles(votes, refused, reached=True)]
        return Judgement(tuple(findings), None)
    counted = tally(votes, rule, at_serial)
    refused += counted.others
    findings += found.of_bundles(counted.counted, refused, reached=counted.reached)
    findings += [found.of_rule(environment, rule, filename), *found.environments(counted, environment)]
    findings += found.subjects(counted, lock_subjects(parsed, lock))
    findings.append(found.threshold(counted, filename))
    findings += _of_now(counted, marks.get(environment), now, Digest.of(lock), at_serial)
    if any_failed(findings) or counted.statement is None:
        return Judgement(tuple(findings), None)
    return Judgement(tuple(findings), Approval(counted.statement, counted.signers, parsed))


def _parsed(lock: bytes, filename: str) -> tuple[Lock | None, list[Finding]]:
    """The lock. Only here is it read: a key of the policy has signed its bytes."""
    try:
        return Lock.parse(lock.decode(), filename=filename), []
    except UnicodeDecodeError as error:
        problems: tuple[Problem, ...] = (Problem(f"not UTF-8 at byte {error.start}", filename, "run `mlenv lock`"),)
    except LockFormatError as error:
        problems = error.problems
    return None, [Finding("lock.format", Status.FAIL, one.message, source=one.where, hint=one.hint) for one in problems]


def _of_now(counted: Tally, mark: Mark | None, now: datetime, lock: Digest, at_serial: int | None) -> list[Finding]:
    """What only a clock and a memory can tell of the statement that is judged."""
    if counted.statement is None:
        return []
    source = counted.counted[0].bundle
    times = time_findings(counted.statement, counted.rule, mark, now, source)
    return [*times, serial_finding(counted.statement, counted.rule, mark, lock, at_serial, source)]
