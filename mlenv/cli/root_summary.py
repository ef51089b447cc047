"""What stands in a root of trust, for people and as JSON."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlenv.trust.policy import EnvironmentRule
    from mlenv.trust.root import TrustRoot


def root_lines(root: "TrustRoot") -> list[str]:
    """Version, expiry, the keys and whether each has signed it, and the policy's rules."""
    keys = [
        f"  {key.fingerprint}  {key.type:<10}  {'signed' if key in root.signers else 'not signed'}" for key in root.keys
    ]
    names = [f"  {key.name}  {key.public_key.fingerprint}" for key in root.policy.keys]
    return [
        f"version {root.version}, until {_text(root.expires)}",
        f"{root.threshold} of these keys sign{'s' * (root.threshold == 1)} it, and the next version:",
        *keys,
        "keys of its policy:",
        *names,
        "rules of its policy, of which the first that matches an environment decides:",
        *(f"  {_rule(rule)}" for rule in root.policy.environments),
    ]


def root_json(root: "TrustRoot") -> dict[str, Any]:
    """The same as JSON; times as in the root itself."""
    return {
        "version": root.version,
        "expires": _text(root.expires),
        "threshold": root.threshold,
        "keys": [
            {"id": str(key.fingerprint), "type": str(key.type), "signed": key in root.signers} for key in root.keys
        ],
        "policy": str(root.policy.digest),
    }


def _rule(rule: "EnvironmentRule") -> str:
    parts = [f"{rule.name}: approved by {rule.threshold} of {', '.join(rule.approvers)}"]
    if rule.builders:
        parts.append(f"built by {', '.join(rule.builders)}")
    if rule.minimum_serial > 1:
        parts.append(f"serial {rule.minimum_serial} or later")
    if rule.maximum_age:
        parts.append(f"for {rule.maximum_age.total_seconds() / 86400:g} days")
    return "; ".join(parts)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
