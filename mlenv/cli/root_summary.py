"""What stands in a root of trust, for people and as JSON."""

from typing import TYPE_CHECKING, Any

from mlenv.cli.trust_summary import key_json, rule_json, rule_limits, rule_text
from mlenv.model.moments import rfc3339

if TYPE_CHECKING:
    from mlenv.trust.policy import EnvironmentRule, TrustedKey
    from mlenv.trust.root import TrustRoot


def root_lines(root: "TrustRoot") -> list[str]:
    """Version, expiry, the keys and whether each has signed it, and the policy. Ids are whole: they are compared."""
    keys = [
        f"  {key.fingerprint}  {key.type:<10}  {'signed' if key in root.signers else 'not signed'}" for key in root.keys
    ]
    return [
        f"version {root.version}, until {rfc3339(root.expires)}",
        f"{root.threshold} of these keys sign{'s' * (root.threshold == 1)} it, and the next version:",
        *keys,
        "the keys of its policy:",
        *(f"  {_key(key)}" for key in root.policy.keys),
        "the rules of its policy, of which the first that matches an environment decides:",
        *(f"  {_rule(rule)}" for rule in root.policy.environments),
    ]


def root_json(root: "TrustRoot") -> dict[str, Any]:
    """The same as JSON; times as in RFC 3339."""
    return {
        "version": root.version,
        "expires": rfc3339(root.expires),
        "threshold": root.threshold,
        "keys": [
            {"id": str(key.fingerprint), "type": str(key.type), "signed": key in root.signers} for key in root.keys
        ],
        "policy": {
            "digest": str(root.policy.digest),
            "keys": [key_json(key) for key in root.policy.keys],
            "environments": [rule_json(rule) for rule in root.policy.environments],
        },
    }


def _key(key: "TrustedKey") -> str:
    times = {"valid from": key.valid_from, "valid until": key.valid_until, "revoked": key.revoked}
    parts = [f"{name} {rfc3339(moment)}" for name, moment in times.items() if moment]
    if key.revoked:
        parts.append(str(key.revocation_reason))
    return "  ".join([key.name, str(key.public_key.fingerprint), ", ".join(parts)]).rstrip()


def _rule(rule: "EnvironmentRule") -> str:
    return "; ".join([rule_text(rule), *rule_limits(rule)])
