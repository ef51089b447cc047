"""What a signed JSON document may hold: objects with known members only, texts, digests, moments. ValueError else."""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mlenv.model.digest import Digest
from mlenv.model.moments import rfc3339
from mlenv.model.strict_json import LIMIT, parse_json, shown

_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def document(data: bytes, limit: int = LIMIT) -> Any:
    """A JSON document as `parse_json` reads it, with a word for those who do not know that it should be one."""
    try:
        return parse_json(data, limit)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def members(value: Any, what: str, needed: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """The members of a JSON object that has all of `needed`, perhaps some of `optional`, and no others."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")  # noqa: TRY004 -- ValueError is what parsers raise here
    for name in needed:
        if name not in value:
            raise ValueError(f"{what} has no {name}")
    for name in value:
        if name not in needed and name not in optional:
            raise ValueError(f"{what} has a field that mlenv does not know: '{shown(str(name))}'")
    return value


def text(value: Any, what: str) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a string")  # noqa: TRY004 -- as above
    return value


def integer(value: Any, what: str) -> int:
    """A JSON integer; true and 1.0 are none."""
    if type(value) is not int:
        raise ValueError(f"{what} is not an integer")
    return value


def sha256(value: Any, what: str) -> Digest:
    """An in-toto DigestSet (spec/v1/digest_set.md) of a sha256 and nothing else: every digest here is recomputed."""
    digests = members(value, f"the digest of {what}", ["sha256"])
    return Digest(text(digests["sha256"], f"the sha256 of {what}"))


def moment(value: Any, what: str) -> datetime:
    """A time in UTC with whole seconds and a Z at its end (a subset of RFC 3339 section 5.6)."""
    written = text(value, what)
    if _MOMENT.fullmatch(written) is None:
        raise ValueError(f"{what} is not a time like 2026-01-31T12:00:00Z: '{shown(written)}'")
    try:
        found = datetime.fromisoformat(written[:-1]).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or rfc3339(found) != written:  # newer Pythons read 24:00:00 as the day after
        raise ValueError(f"{what} is a time that does not exist: {written}")
    return found
