"""What a signature says: an in-toto Statement v1 that binds a lock, its images and models, and until when.

The normative text is schema/signature.md. The version is closed: what this module does not know, it refuses.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.moments import rfc3339
from mlenv.model.strict_json import shown
from mlenv.trust.fields import document, integer, members, moment, sha256, text

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
LOCK_PREDICATE: Final = "https://mlenv.dev/lock/v1"
LOCK_SUBJECT: Final = "mlenv.lock"
SUBJECTS: Final = 4096
"""The most subjects that a statement may have."""
SERIALS: Final = (1 << 53) - 1
"""The highest serial: readers that keep numbers as doubles see every one up to it (RFC 7493 section 2.2)."""

_LENGTH: Final = 1024  # characters of a name
_NAME: Final = re.compile(r"[\x21-\x7e]+")
_ENVIRONMENT: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # as `name` of the environment in mlenv.toml


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """A thing that a statement is about (in-toto ResourceDescriptor): its name there, and its digest.

    A name has 1 to 1,024 visible ASCII characters, so that it shows as what it is wherever it is printed.
    """

    name: str
    digest: Digest

    def __post_init__(self) -> None:
        if len(self.name) > _LENGTH or _NAME.fullmatch(self.name) is None:
            raise ValueError(f"a subject's name is not 1 to {_LENGTH} visible ASCII characters: '{shown(self.name)}'")


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
    the digest of the trust policy that the signer had, if any. A value that `parse` would refuse cannot be made:
    ValueError.
    """

    subjects: tuple[Subject, ...]
    environment: str
    serial: int
    issued_at: datetime
    expires: datetime
    policy: Digest | None = None

    def __post_init__(self) -> None:
        _check_subjects(self.subjects)
        if len(self.environment) > _LENGTH or _ENVIRONMENT.fullmatch(self.environment) is None:
            raise ValueError(f"not the name of an environment: '{shown(self.environment)}'")
        if not 1 <= self.serial <= SERIALS:
            raise ValueError(f"the serial is not in the range from 1 to 2**53 - 1: {self.serial}")
        for what, value in (("issuedAt", self.issued_at), ("expires", self.expires)):
            if value.utcoffset() != timedelta() or value.microsecond:
                raise ValueError(f"{what} is not a time in UTC with whole seconds: {value.isoformat()}")
        if self.expires <= self.issued_at:
            raise ValueError(f"expires ({rfc3339(self.expires)}) is not after issuedAt")

    def to_bytes(self) -> bytes:
        """The payload to sign: canonical JSON."""
        predicate: dict[str, Any] = {
            "environment": self.environment,
            "serial": self.serial,
            "issuedAt": rfc3339(self.issued_at),
            "expires": rfc3339(self.expires),
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
        statement = _lock_statement(document(payload))
        subjects = statement["subject"]
        if not isinstance(subjects, list):
            raise ValueError("subject is not a list")  # noqa: TRY004 -- ValueError is what parsers raise here
        predicate = members(
            statement["predicate"], "the predicate", ["environment", "serial", "issuedAt", "expires"], ["policy"]
        )
        policy = None
        if "policy" in predicate:
            policy = sha256(members(predicate["policy"], "policy", ["digest"])["digest"], "policy")
        return cls(
            tuple(_subject(one) for one in subjects[: SUBJECTS + 1]),
            text(predicate["environment"], "environment"),
            integer(predicate["serial"], "serial"),
            moment(predicate["issuedAt"], "issuedAt"),
            moment(predicate["expires"], "expires"),
            policy,
        )


def _lock_statement(value: Any) -> Any:
    """The members of a statement about a lock. Its kind is asked first: an SBOM's fields are not worth a word."""
    kind = value.get("_type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise ValueError("not an in-toto statement")  # noqa: TRY004 -- as above
    if kind != STATEMENT_TYPE:
        raise ValueError(f"not an in-toto Statement v1, but of type '{shown(kind)}'")
    predicate = text(value.get("predicateType"), "predicateType")
    if predicate != LOCK_PREDICATE:
        raise ValueError(f"a statement of another kind: '{shown(predicate)}'")
    return members(value, "the statement", ["_type", "subject", "predicateType", "predicate"])


def _subject(value: Any) -> Subject:
    found = members(value, "a subject", ["name", "digest"])
    name = text(found["name"], "the name of a subject")
    return Subject(name, sha256(found["digest"], f"the subject '{shown(name)}'"))


def _check_subjects(subjects: tuple[Subject, ...]) -> None:
    if len(subjects) > SUBJECTS:
        raise ValueError(f"the statement has more than {SUBJECTS} subjects")
    names: set[str] = set()
    for one in subjects:
        if one.name in names:
            raise ValueError(f"two subjects of one name: '{one.name}'")
        names.add(one.name)
    if LOCK_SUBJECT not in names:
        raise ValueError(f"no subject is named {LOCK_SUBJECT}")
