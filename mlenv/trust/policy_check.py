"""Whether a policy can still be fulfilled: a rule whose keys have lapsed refuses everything that is signed now."""

from datetime import datetime

from mlenv.errors import Problem
from mlenv.trust.policy import EnvironmentRule, TrustedKey, TrustPolicy


def policy_problems(
    policy: TrustPolicy, now: datetime, environment: str | None = None, *, where: str = ""
) -> list[Problem]:
    """Every reason why a rule cannot be fulfilled now: of all rules, or of the one that decides for an environment."""
    if environment is None:
        return [problem for rule in policy.environments for problem in rule_problems(policy, rule, now, where=where)]
    rule = policy.rule(environment)
    if rule is None:
        hint = f"add one: `mlenv trust add NAME --key FILE --environment '{environment}'`"
        return [Problem(f"no rule decides for the environment {environment!a}: no lock of it is accepted", where, hint)]
    return rule_problems(policy, rule, now, where=where)


def rule_problems(policy: TrustPolicy, rule: EnvironmentRule, now: datetime, *, where: str = "") -> list[Problem]:
    """Why the rule cannot be fulfilled by what is signed now; empty where it can."""
    refused = {name: _refusal(policy.named(name), now) for name in rule.approvers}
    left = [name for name, reason in refused.items() if not reason]
    if len(left) >= rule.threshold:
        return []
    reasons = "; ".join(f"{name} {reason}" for name, reason in refused.items() if reason)
    number = f"only {len(left)}" if left else "none"
    return [
        Problem(
            f"the rule {rule.name!r} needs {rule.threshold} of its approvers, and {number} can sign now: {reasons}",
            where,
            f"add a key in place: `mlenv trust add NAME --key FILE --environment '{rule.name}'`",
        )
    ]


def _refusal(key: TrustedKey, now: datetime) -> str:
    """Why what the key signs now does not count, without what its policy says of older signatures."""
    reason = key.refusal(now, now)
    return f"was revoked on {key.revoked:%Y-%m-%dT%H:%M:%SZ}" if reason and key.revoked else reason
