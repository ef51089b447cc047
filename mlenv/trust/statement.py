"""What a signature says: an in-toto Statement v1 that binds a lock, its images and models, and until when.

The normative text is schema/signature.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.strict_json import parse_json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
LOCK_PREDICATE: Final = "https://mlenv.dev/lock/v1"
LOCK_SUBJECT: Final = "mlenv.lock"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """A thing that a statement is about (in-toto ResourceDescriptor): its name there, and its digest."""

    name: str
    digest: Digest


def lock_subjects(lock: Lock, data: bytes) -> tuple[Subject, ...]:
    """Everything that the signature of a lock binds: `data`, the file's raw bytes, and what the lock says follows.

    `mlenv.lock`; `image` (the index) where there are several platforms; `image/<platform>` for each manifest.
    """
    images = [Subject(f"image/{one.platform}", one.image.manifest) for one in lock.platforms]
    index = [Subject("image", lock.index)] if lock.index else []
    return (Subject(LOCK_SUBJECT, Digest.of(data)), *index, *images)


@dataclass(frozen=True, slots=True)
class LockStatement:
    """The approval of one lock.

    `serial` grows with every approval of an environment, from 1. Times are in UTC, with whole seconds. `policy` is
    the digest of the trust policy that the signer had, if any.
    """

    subjects: tuple[Subject, ...]
    environment: str
    serial: int
    issued_at: datetime
    expires: datetime
    policy: Digest | None = None

    def to_bytes(self) -> bytes:
        """The payload to sign: canonical JSON."""
        predicate: dict[str, Any] = {
            "environment": self.environment,
            "serial": self.serial,
            "issuedAt": _text(self.issued_at),
            "expires": _text(self.expires),
        }
        if self.policy is not None:
            predicate["policy"] = {"digest": {"sha256": self.policy.hex}}
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": one.name, "digest": {"sha256": one.digest.hex}} for one in self.subjects],
                "predicateType": LOCK_PREDICATE,
                "predicate": predicate,
            }
        )

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read a payload whose signature was checked; ValueError where it is any other kind of statement."""
        value = parse_json(payload)
        if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE:
            raise ValueError("not an in-toto Statement v1")
        if value.get("predicateType") != LOCK_PREDICATE:
            raise ValueError(f"a statement of another kind: {str(value.get('predicateType'))[:100]!a}")
        predicate = value["predicate"]
        policy = predicate.get("policy")
        return cls(
            tuple(Subject(one["name"], Digest(one["digest"]["sha256"])) for one in value["subject"]),
            predicate["environment"],
            predicate["serial"],
            _moment(predicate["issuedAt"]),
            _moment(predicate["expires"]),
            Digest(policy["digest"]["sha256"]) if policy else None,
        )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
