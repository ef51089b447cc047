"""What stands in trust.toml: its tables, each value checked where it is read. The normative text is schema/trust.md."""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from mlenv.errors import SigningKeyError
from mlenv.model.manifest import Sequence, Table
from mlenv.model.manifest_fields import InvalidValueError, Text, quoted
from mlenv.model.manifest_quantities import LARGEST_INTEGER, Moment
from mlenv.trust.keys import PublicKey

POLICY_VERSION = 1
LARGEST_POLICY = 1 << 20
MOST_KEYS = 1000
MOST_RULES = 500


class RevocationReason(StrEnum):
    """Why a key is no longer used (RFC 5280 section 5.3.1)."""

    KEY_COMPROMISE = "key-compromise"
    SUPERSEDED = "superseded"


def _public_key(value: object) -> PublicKey:
    if not isinstance(value, str):
        raise InvalidValueError("not a public key as PEM text", 'write """, the lines of the .pub file, and """ again')
    try:
        return PublicKey.parse(value.encode())
    except SigningKeyError as error:
        (problem,) = error.problems
        raise InvalidValueError(problem.message, problem.hint) from None


_AGE = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _age(value: object) -> timedelta:
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        found = quoted(value if isinstance(value, str) else str(value))
        raise InvalidValueError(f"not an age: {found}", 'write hours, days or weeks: "24h", "90d", "12w"')
    return int(match[1]) * _UNITS[match[2]]


PemKey = Annotated[
    PublicKey,
    PlainValidator(_public_key),
    WithJsonSchema({"type": "string", "pattern": "-----BEGIN PUBLIC KEY-----"}),
]
Age = Annotated[
    timedelta,
    BeforeValidator(_age),
    WithJsonSchema({"type": "string", "pattern": f"^{_AGE.pattern}$", "examples": ["90d", "12w", "24h"]}),
]
"""A length of time in hours, days or weeks."""

KeyName = Annotated[
    str,
    Text(
        r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}",
        "a name of a key",
        "use up to 64 letters, digits and . _ @ + -, as in alice or ci-2026",
    ),
]
Pattern = Annotated[
    str,
    Text(
        r"[a-z0-9._*?-]{1,128}",
        "a pattern of environment names",
        'write a name, with * for any characters and ? for one, as in "fraud-*"',
    ),
]


class KeyTable(Table):
    """A key that somebody is trusted to hold."""

    public_key: PemKey
    """The public key as PEM text: ECDSA P-256 or Ed25519."""
    valid_from: Moment | None = None
    """From when on it counts."""
    valid_until: Moment | None = None
    """Until when it counts."""
    revoked: Moment | None = None
    """Since when it is revoked."""
    revocation_reason: Annotated[RevocationReason, Field(strict=False)] | None = None
    """Why it is revoked; key-compromise where nothing is said."""


class EnvironmentRule(Table):
    """Who approves locks of the environments whose names match a pattern."""

    name: Pattern
    """A pattern of environment names: * stands for any characters, ? for one. The first rule that matches decides."""
    approvers: Annotated[tuple[KeyName, ...], Sequence, Field(min_length=1, max_length=MOST_KEYS)]
    """Names of the keys whose signatures of a lock count."""
    builders: Annotated[tuple[KeyName, ...], Sequence, Field(max_length=MOST_KEYS)] = ()
    """Names of the keys that sign the provenance of builds. None of them approves."""
    threshold: Annotated[int, Field(ge=1, le=MOST_KEYS)] = 1
    """How many of the approvers must have signed, counted by key."""
    minimum_serial: Annotated[int, Field(ge=1, le=LARGEST_INTEGER)] = 1
    """Approvals with a lower serial do not count."""
    maximum_age: Age | None = None
    """How old an approval may be, since it was issued, such as 90d."""


class PolicyFile(Table):
    """A trust policy: whose approval of which environments counts."""

    version: Literal[1]
    """The version of the format: 1."""
    keys: Annotated[dict[KeyName, KeyTable], Field(min_length=1, max_length=MOST_KEYS)]
    """The keys by name."""
    environments: Annotated[tuple[EnvironmentRule, ...], Sequence, Field(min_length=1, max_length=MOST_RULES)]
    """The rules, in the order in which they are tried."""
