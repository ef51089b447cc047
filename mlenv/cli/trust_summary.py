"""What stands in a trust policy, for people and as JSON."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlenv.model.moments import rfc3339

if TYPE_CHECKING:
    from mlenv.trust.judge import Mark
    from mlenv.trust.policy import EnvironmentRule, TrustedKey, TrustPolicy


def policy_text(policy: "TrustPolicy", marks: "Mapping[str, Mark]") -> str:
    """The keys, the rules, and the serials seen so far, each as a table."""
    keys = [
        (one.name, str(one.public_key.type), one.public_key.fingerprint.short, _validity(one)) for one in policy.keys
    ]
    rules = [(one.name, _who(one), ", ".join(one.builders), ", ".join(rule_limits(one))) for one in policy.environments]
    seen = [(name, str(mark.serial), mark.lock.short, rfc3339(mark.seen)) for name, mark in sorted(marks.items())]
    tables = [_table(("KEY", "TYPE", "ID", "VALID"), keys)]
    tables.append(_table(("ENVIRONMENTS", "APPROVED BY", "BUILT BY", "LIMITS"), rules))
    if seen:
        tables.append(_table(("ENVIRONMENT", "SERIAL", "LOCK", "LAST SEEN"), seen))
    return "\n\n".join(tables)


def policy_json(policy: "TrustPolicy", marks: "Mapping[str, Mark]") -> dict[str, Any]:
    """The same as JSON; times as in RFC 3339, ages in seconds, null where nothing is said."""
    return {
        "digest": str(policy.digest),
        "keys": [key_json(one) for one in policy.keys],
        "environments": [rule_json(one) for one in policy.environments],
        "serials": {
            name: {"serial": mark.serial, "lock": str(mark.lock), "seen": rfc3339(mark.seen)}
            for name, mark in sorted(marks.items())
        },
    }


def key_json(key: "TrustedKey") -> dict[str, Any]:
    """A key; `id` is the sha256 of its SubjectPublicKeyInfo."""
    return {
        "name": key.name,
        "type": str(key.public_key.type),
        "id": str(key.public_key.fingerprint),
        "valid_from": rfc3339(key.valid_from) if key.valid_from else None,
        "valid_until": rfc3339(key.valid_until) if key.valid_until else None,
        "revoked": rfc3339(key.revoked) if key.revoked else None,
        "revocation_reason": str(key.revocation_reason) if key.revoked else None,
    }


def rule_json(rule: "EnvironmentRule") -> dict[str, Any]:
    """A rule."""
    return {
        "name": rule.name,
        "approvers": list(rule.approvers),
        "builders": list(rule.builders),
        "threshold": rule.threshold,
        "minimum_serial": rule.minimum_serial,
        "maximum_age": int(rule.maximum_age.total_seconds()) if rule.maximum_age else None,
    }


def rule_text(rule: "EnvironmentRule") -> str:
    """A rule in one line."""
    builders = f"; built by {', '.join(rule.builders)}" if rule.builders else ""
    return f"{rule.name}: approved by {_who(rule)}{builders}"


def _who(rule: "EnvironmentRule") -> str:
    names = ", ".join(rule.approvers)
    return names if len(rule.approvers) == 1 else f"{rule.threshold} of {names}"


def rule_limits(rule: "EnvironmentRule") -> list[str]:
    """What a rule asks for beyond signatures: the serial and the age of an approval."""
    serial = [f"serial {rule.minimum_serial} or later"] if rule.minimum_serial > 1 else []
    age = [f"for {rule.maximum_age.total_seconds() / 86400:g} days"] if rule.maximum_age else []
    return serial + age


def _validity(key: "TrustedKey") -> str:
    if key.revoked:
        return f"revoked {rfc3339(key.revoked)}: {key.revocation_reason}"
    since = [f"from {rfc3339(key.valid_from)}"] if key.valid_from else []
    until = [f"until {rfc3339(key.valid_until)}"] if key.valid_until else []
    return " ".join(since + until) or "always"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; the ones that are empty are left out."""
    columns = [column for column in zip(heads, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
