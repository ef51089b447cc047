"""What judging a lock takes and gives: bundles and marks in, findings and perhaps an approval out."""

from dataclasses import dataclass
from datetime import datetime

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.report import Finding
from mlenv.trust.policy import TrustedKey
from mlenv.trust.statement import LockStatement


@dataclass(frozen=True, slots=True)
class NamedBundle:
    """The bytes of a bundle, and what messages call it: the name of its file."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """What was accepted last for an environment: serial, digest of the lock's bytes, and the time that it then was."""

    serial: int
    lock: Digest
    seen: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """A lock that a policy accepts: what was signed, the keys that counted (one or more), and the lock."""

    statement: LockStatement
    signers: tuple[TrustedKey, ...]
    lock: Lock


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that was checked. `approval` is there only where nothing failed."""

    findings: tuple[Finding, ...]
    approval: Approval | None
