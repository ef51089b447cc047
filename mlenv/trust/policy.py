"""Whose approval counts: keys, and the rules by which they approve environments. schema/trust.md is normative."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from mlenv.errors import TrustPolicyError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.trust.keys import PublicKey
from mlenv.trust.policy_file import EnvironmentRule, RevocationReason
from mlenv.trust.policy_rules import covers
from mlenv.trust.policy_toml import read_policy

__all__ = ["EnvironmentRule", "RevocationReason", "TrustPolicy", "TrustedKey"]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key under the name that the policy gives it, and the time in which it counts. Times are in UTC."""

    name: str
    public_key: PublicKey
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    revoked: datetime | None = None
    revocation_reason: RevocationReason = RevocationReason.KEY_COMPROMISE

    def refusal(self, issued_at: datetime, now: datetime) -> str:
        """Why what it signed at that time does not count now, completing "the key <name>"; empty where it does."""
        if self.revoked:
            if self.revocation_reason is RevocationReason.KEY_COMPROMISE:
                return f"was revoked on {rfc3339(self.revoked)} ({self.revocation_reason}): nothing it signed counts"
            if issued_at >= self.revoked:
                since = f"was revoked on {rfc3339(self.revoked)} ({self.revocation_reason})"
                return f"{since}, and this was issued after it, on {rfc3339(issued_at)}"
        if self.valid_from and min(issued_at, now) < self.valid_from:
            return f"is not valid before {rfc3339(self.valid_from)}"
        if self.valid_until and max(issued_at, now) >= self.valid_until:
            return f"is no longer valid since {rfc3339(self.valid_until)}"
        return ""


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A whole policy. `digest` is that of its file's raw bytes."""

    digest: Digest
    keys: tuple[TrustedKey, ...]
    environments: tuple[EnvironmentRule, ...]

    @classmethod
    def parse(cls, data: bytes, *, filename: str = "trust.toml") -> Self:
        """Read trust.toml; TrustPolicyError says all that is wrong with it."""
        file = read_policy(data, filename)
        keys = (
            TrustedKey(
                name,
                key.public_key,
                key.valid_from,
                key.valid_until,
                key.revoked,
                key.revocation_reason or RevocationReason.KEY_COMPROMISE,
            )
            for name, key in file.keys.items()
        )
        return cls(Digest.of(data), tuple(keys), file.environments)

    @classmethod
    def of_keys(cls, keys: Sequence[PublicKey], threshold: int = 1) -> Self:
        """The policy of `--key … --threshold N`: for every environment, that many of these keys. TrustPolicyError.

        The keys have the first twelve digits of their fingerprints as names. A key that is named twice is one key.
        """
        trusted = tuple(TrustedKey(key.fingerprint.short, key) for key in dict.fromkeys(keys))
        if not 1 <= threshold <= len(trusted):
            raise TrustPolicyError(
                f"a threshold of {threshold} for {len(trusted)} different keys",
                where="--threshold",
                hint=f"give a threshold of 1 to {len(trusted)}, or more keys",
            )
        rule = EnvironmentRule.model_validate(
            {"name": "*", "approvers": [one.name for one in trusted], "threshold": threshold}
        )
        fingerprints = sorted(str(one.public_key.fingerprint) for one in trusted)
        text = canonical_json({"keys": fingerprints, "threshold": threshold})
        return cls(Digest.of(text), trusted, (rule,))

    def rule(self, environment: str) -> EnvironmentRule | None:
        """The first rule whose pattern matches the name of an environment."""
        return next((one for one in self.environments if covers(one.name, environment)), None)

    def key(self, hint: str) -> TrustedKey | None:
        """The key of a bundle's hint: standard base64 of the sha256 of its SubjectPublicKeyInfo."""
        return next((one for one in self.keys if one.public_key.hint == hint), None)

    def doubts(self, environment: str, key: PublicKey, now: datetime) -> str:
        """Why an approval of that environment by that key, made now, would not count; empty where it would."""
        rule, trusted = self.rule(environment), self.key(key.hint)
        if rule is None:
            return f"it has no rule for {environment}"
        if trusted is None or trusted.name not in rule.approvers:
            return f"this key is no approver of {environment}"
        refusal = trusted.refusal(now, now)
        return f"the key {trusted.name} {refusal}" if refusal else ""

    def named(self, name: str) -> TrustedKey:
        """The key of a name that a rule has."""
        return next(one for one in self.keys if one.name == name)
