"""The quantities that mlenv.toml is made of: sizes, durations, times. See `manifest_fields` for its words."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from mlenv.model.manifest_fields import InvalidValueError, quoted
from mlenv.model.moments import rfc3339

LARGEST_INTEGER = 2**53 - 1
"""The largest integer that canonical JSON can hold (RFC 8785 section 3.2.2.3, I-JSON)."""

_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "kB": 10**3, "MB": 10**6}
_UNITS |= {"GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(TiB|GiB|MiB|KiB|TB|GB|MB|kB|B)")


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise InvalidValueError(f"not a size: {quoted(value)}", 'write a number and a unit: "16GiB", "512MiB"')
    whole, _, fraction = match[1].partition(".")
    size, rest = divmod(int(whole + fraction) * _UNITS[match[2]], 10 ** len(fraction))
    if rest:
        raise InvalidValueError(f"not a whole number of bytes: {quoted(value)}", "use a smaller unit")
    return size


Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0, le=LARGEST_INTEGER),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_SIZE.pattern}$"},
                {"type": "integer", "minimum": 1, "maximum": LARGEST_INTEGER},
            ],
            "examples": ["16GiB"],
        }
    ),
]
"""Bytes. Written as a number and a unit ("16GiB"), or as bytes."""

_DURATION = re.compile(r"(?:([0-9]{1,8})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,8})s)?(?:([0-9]{1,8})ms)?")


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None or not value:
        raise InvalidValueError(f"not a duration: {quoted(value)}", 'write "30s", "1m30s" or "500ms"')
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    duration = timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
    if not timedelta(0) < duration <= timedelta(days=1):
        raise InvalidValueError(f"not a duration between 1 ms and a day: {quoted(value)}", 'write it as in "30s"')
    return duration


def _milliseconds(duration: timedelta) -> str:
    return f"{duration // timedelta(milliseconds=1)}ms"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_milliseconds, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s", "1m30s"]}),
]
"""A length of time with whole milliseconds."""


def _moment(value: object) -> object:
    if not isinstance(value, datetime):
        found = "a date" if hasattr(value, "year") else f"{value!r:.40}"
        raise InvalidValueError(f"not a moment in time: {found}", "write it without quotes: 2026-11-01T00:00:00Z")
    if value.tzinfo is None:
        raise InvalidValueError("a time without a time zone", f"write {value.isoformat()}Z for UTC")
    if value.microsecond:
        raise InvalidValueError("a time with a fraction of a second", "write whole seconds")
    return value


def _utc(value: datetime) -> datetime:
    if not 1970 < value.year < 9999:
        raise InvalidValueError(f"not a year between 1971 and 9998: {value.year}", "write another year")
    return value.astimezone(UTC)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    AfterValidator(_utc),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
"""A moment in UTC with whole seconds: an offset date-time of TOML."""
