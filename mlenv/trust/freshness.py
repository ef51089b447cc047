"""Whether an approval holds now: clock, expiry, age, serial. schema/trust.md, "Time" and "Serials"."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.report import Finding, Status, Trusted
from mlenv.trust.judgement import Mark
from mlenv.trust.policy import EnvironmentRule
from mlenv.trust.statement import LockStatement

TOLERANCE: Final = timedelta(minutes=5)
"""How far two machines' clocks may lie apart."""


def time_findings(
    statement: LockStatement, rule: EnvironmentRule, mark: Mark | None, now: datetime, source: str
) -> Iterator[Finding]:
    """What the clock says about an approval that `source` holds."""
    yield _clock(statement, mark, now)
    yield _expiry(statement, now, source)
    if rule.maximum_age is not None:
        yield _age(statement, rule.maximum_age, now, source)


def _clock(statement: LockStatement, mark: Mark | None, now: datetime) -> Finding:
    check, issued = "signature.clock", statement.issued_at
    expected, observed = f"not before {rfc3339(issued)}", rfc3339(now)
    if issued > now + TOLERANCE:
        message = f"the approval was issued in the future, on {rfc3339(issued)}: it is {rfc3339(now)} here"
        hint = "set this machine's clock; if it is right, the signer's was wrong: have the lock signed again"
        return Finding(check, Status.FAIL, message, expected, observed, "this machine's clock", Trusted.HOST, hint=hint)
    if mark and now < mark.seen - TOLERANCE:
        seen = rfc3339(mark.seen)
        message = f"the clock was set back: it is {rfc3339(now)} here, and it was {seen} when a lock was last accepted"
        hint = "set this machine's clock; if it was ahead then, remove the record of accepted serials"
        return Finding(
            check, Status.FAIL, message, f"not before {seen}", observed, "this machine's clock", Trusted.HOST, hint=hint
        )
    message = "the clock is not behind what was signed and seen"
    return Finding(check, Status.PASS, message, expected, observed, "this machine's clock", Trusted.HOST)


def _expiry(statement: LockStatement, now: datetime, source: str) -> Finding:
    check, end = "signature.expiry", rfc3339(statement.expires)
    expected, observed = f"before {end}", rfc3339(now)
    if now >= statement.expires:
        message = f"the approval expired on {end}"
        hint = "have the lock signed again with `mlenv sign`"
        return Finding(check, Status.FAIL, message, expected, observed, source, Trusted.HOST, hint=hint)
    return Finding(check, Status.PASS, f"the approval holds until {end}", expected, observed, source, Trusted.HOST)


def _age(statement: LockStatement, limit: timedelta, now: datetime, source: str) -> Finding:
    age = max(now - statement.issued_at, timedelta())
    check, expected, observed = "signature.age", f"at most {_length(limit)}", _length(age)
    if age > limit:
        message = f"the approval is {observed} old; the policy allows {_length(limit)}"
        hint = "have the lock approved anew; while this approval holds, `mlenv sign --expires 365d` begins another"
        return Finding(check, Status.FAIL, message, expected, observed, source, Trusted.HOST, hint=hint)
    return Finding(check, Status.PASS, f"the approval is {observed} old", expected, observed, source, Trusted.HOST)


def _length(time: timedelta) -> str:
    days, rest = divmod(time, timedelta(days=1))
    parts = [f"{days} day{'s' * (days != 1)}"] if days else []
    hours, rest = divmod(rest, timedelta(hours=1))
    parts += [f"{hours} h"] if hours else []
    return " ".join(parts) or f"{rest // timedelta(minutes=1)} min"


def serial_finding(
    statement: LockStatement,
    rule: EnvironmentRule,
    mark: Mark | None,
    lock: Digest,
    at_serial: int | None,
    source: str,
) -> Finding:
    """Whether the serial is one that may be accepted now; with `at_serial` exactly that one, old as it may be."""
    serial = statement.serial
    least = rule.minimum_serial
    if at_serial is not None and serial != at_serial:
        wanted = str(at_serial)
        message = f"the lock has serial {serial}, and --at-serial says {at_serial}"
        hint = f"say --at-serial {serial}, or verify the lock that has serial {at_serial}"
    elif serial < least:
        wanted = f"at least {least}"
        message = f"serial {serial} is too old: the policy's minimum is {least}"
        hint = "get the lock of a later approval"
    elif mark and serial < mark.serial and at_serial is None:
        wanted = f"at least {mark.serial}"
        message = f"serial {serial} is too old: serial {mark.serial} was accepted on {rfc3339(mark.seen)}"
        hint = f"get the current lock; to audit an old one, say --at-serial {serial}"
    elif mark and serial == mark.serial and lock != mark.lock:
        wanted = str(mark.lock)
        message = f"serial {serial} was accepted before for another lock, {mark.lock}"
        hint = f"have the lock that you want signed again with `mlenv sign --serial {serial + 1}`"
    else:
        message = f"serial {serial} is the one that was asked for" if at_serial else f"serial {serial} is not outdated"
        wanted = str(at_serial) if at_serial else f"at least {max(least, mark.serial if mark else 1)}"
        trusted = Trusted.HOST if mark else Trusted.KEY
        return Finding("signature.serial", Status.PASS, message, wanted, str(serial), source, trusted)
    return Finding("signature.serial", Status.FAIL, message, wanted, str(serial), source, Trusted.KEY, hint=hint)
