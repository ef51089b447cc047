"""Whether a lock is approved: its bytes, the bundles beside it, a policy and the time in; findings out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from mlenv.errors import LockFormatError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.report import Finding, Status, any_failed
from mlenv.trust.bundle import Bundle
from mlenv.trust.envelope import IN_TOTO
from mlenv.trust.policy import TrustedKey, TrustPolicy
from mlenv.trust.statement import LockStatement, lock_subjects


@dataclass(frozen=True, slots=True)
class NamedBundle:
    """The bytes of a bundle, and what messages call it: the name of its file."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """What was accepted last for an environment: serial, digest of the lock, and the time that it then was."""

    serial: int
    lock: Digest
    seen: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """A lock that a policy accepts: what was signed, whose signatures counted, and the lock."""

    statement: LockStatement
    signers: tuple[TrustedKey, ...]
    lock: Lock


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that was checked; `approval` is there only where nothing failed."""

    findings: tuple[Finding, ...]
    approval: Approval | None


NO_MARKS: Mapping[str, Mark] = MappingProxyType({})


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
    """Judge a lock by a policy."""
    findings: list[Finding] = []
    approvals: dict[bytes, tuple[LockStatement, list[TrustedKey]]] = {}
    if not bundles:
        findings.append(Finding("signature.present", Status.FAIL, "the lock is not signed", source=filename))
    for bundle in bundles:
        try:
            parsed = Bundle.parse(bundle.data)
            key = policy.key(parsed.hint)
            if (
                parsed.envelope.payload_type != IN_TOTO
                or key is None
                or not parsed.envelope.is_signed_by(key.public_key)
            ):
                raise ValueError("not signed by a key of the policy")
            statement = LockStatement.parse(parsed.envelope.payload)
            made = Lock.parse(lock.decode(), filename=filename)
            if statement.subjects != lock_subjects(made, lock) or statement.environment != made.environment.name:
                raise ValueError("it signs another lock")
            approvals.setdefault(parsed.envelope.payload, (statement, []))[1].append(key)
            findings.append(Finding("signature.bundle", Status.PASS, f"signed by {key.name}", source=bundle.name))
        except (ValueError, LockFormatError) as error:
            findings.append(Finding("signature.bundle", Status.FAIL, str(error), source=bundle.name))
    approval = None
    for statement, signers in approvals.values():
        rule = policy.rule(statement.environment)
        counted = {one.public_key: one for one in signers if rule and one.name in rule.approvers}
        if rule and len(counted) >= rule.threshold and statement.issued_at <= now < statement.expires:
            approval = Approval(statement, tuple(counted.values()), Lock.parse(lock.decode()))
    if approval is None:
        findings.append(Finding("signature.threshold", Status.FAIL, "the lock is not approved", source=filename))
    _ = marks, at_serial
    return Judgement(tuple(findings), None if any_failed(findings) else approval)
