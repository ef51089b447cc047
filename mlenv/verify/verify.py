"""The whole of `mlenv verify`: first who approved the lock, then whether the thing is what the lock says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mlenv.errors import UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.moments import rfc3339
from mlenv.model.report import Finding, Report, Severity, Status, Trusted
from mlenv.sources.lock_file import parse_lock
from mlenv.sources.trust.bundles import read_bundles
from mlenv.sources.trust.policies import Trust
from mlenv.sources.trust.serials import Serials
from mlenv.trust.judge import judge_lock
from mlenv.trust.judgement import Approval, Judgement, Mark


@dataclass(frozen=True, slots=True)
class Authority:
    """By what a lock is judged: whom one trusts, the serials seen so far, and the time now (UTC).

    `at_serial` is that of an old lock which is being audited.
    """

    trust: Trust
    serials: Serials
    now: datetime
    at_serial: int | None = None


def judge_lock_file(path: Path, data: bytes, authority: Authority) -> Judgement:
    """Judge the lock whose raw bytes are `data` by the bundles beside it, and remember its serial if it is approved."""
    trust = authority.trust
    judgement = judge_lock(
        data,
        read_bundles(path),
        trust.policy,
        authority.now,
        marks=authority.serials.marks(trust.source),
        at_serial=authority.at_serial,
        filename=str(path),
    )
    if judgement.approval is None:
        return judgement
    unmarked = _remember(judgement.approval, Digest.of(data), authority)
    return replace(judgement, findings=(*judgement.findings, *unmarked))


def report_on(
    data: bytes,
    judgement: Judgement | None,
    *,
    name: str = "mlenv.lock",
    target: str = "lock",
    policy: str = "",
    look: Callable[[Lock], list[Finding]] | None = None,
) -> Report:
    """The report on a lock and, with `look`, on the target that it is about.

    Without a `judgement` nobody asked who approved the lock, and the report says so. The target is looked at only
    under a lock that is approved: a comparison with any other one would say nothing. `name` is what messages call
    the lock, `policy` the policy that it was judged by. Raises LockFormatError, and whatever `look` raises.
    """
    if judgement is None:
        lock = parse_lock(data, Path(name))
        findings: tuple[Finding, ...] = (_unasked(name), Finding("lock.format", Status.PASS, "a lock", source=name))
        facts = _lock_facts(lock, data)
    elif judgement.approval is None:
        unseen = Finding("image", Status.SKIPPED, f"{target} was not looked at: its lock is not approved")
        facts = {"lock": str(Digest.of(data)), "policy": policy}
        return Report(target, facts, (*judgement.findings, *([unseen] if look else [])))
    else:
        lock, findings = judgement.approval.lock, judgement.findings
        facts = _lock_facts(lock, data) | _approval_facts(judgement.approval) | {"policy": policy}
    return Report(target, facts, (*findings, *(look(lock) if look else ())))


def _unasked(name: str) -> Finding:
    return Finding(
        "signature.present",
        Status.SKIPPED,
        "signatures were not looked at, as you asked: anybody may have written this lock",
        source=name,
        trusted=Trusted.NOBODY,
    )


def _lock_facts(lock: Lock, data: bytes) -> dict[str, str]:
    """What a reader of a report wants to know of a lock."""
    return {
        "environment": f"{lock.environment.name}:{lock.environment.version}",
        "lock": str(Digest.of(data)),
        "image": str(lock.image_digest),
    }


def _approval_facts(approval: Approval) -> dict[str, str]:
    """What a reader of a report wants to know of an approval."""
    statement = approval.statement
    return {
        "serial": str(statement.serial),
        "issued": rfc3339(statement.issued_at),
        "expires": rfc3339(statement.expires),
        "signers": ", ".join(f"{key.name} ({key.public_key.fingerprint})" for key in approval.signers),
    }


def _remember(approval: Approval, lock: Digest, authority: Authority) -> list[Finding]:
    """Keep the serial. Where nothing can be kept this lock is as good as before; only a later replay goes unnoticed.

    SignatureError where another process has just accepted another lock under that serial.
    """
    statement = approval.statement
    try:
        authority.serials.raise_mark(
            authority.trust.source, statement.environment, Mark(statement.serial, lock, authority.now)
        )
    except UnavailableError as error:
        (problem,) = error.problems
        return [
            Finding(
                "trust.mark",
                Status.SKIPPED,
                f"{problem.message}, and an older lock would go unnoticed",
                source=problem.where,
                severity=Severity.WARNING,
                trusted=Trusted.HOST,
                hint=problem.hint,
            )
        ]
    return []
