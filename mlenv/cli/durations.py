"""The lengths of time that options take."""

from datetime import timedelta
from typing import Final

from mlenv.errors import UsageError

LONGEST: Final = timedelta(days=3660)


def parse_expires(text: str) -> timedelta:
    """What --expires says: hours, days or weeks, up to about ten years. UsageError."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 -- keeps `mlenv --help` quick

    from mlenv.trust.policy_file import Age  # noqa: PLC0415 -- as above

    try:
        found: timedelta = TypeAdapter(Age).validate_python(text)
    except ValidationError:
        hint = "write hours, days or weeks: 24h, 90d, 52w"
        raise UsageError(f"--expires {text[:40]!r} is no length of time", hint=hint) from None
    if found > LONGEST:
        raise UsageError(f"--expires {text} is longer than {LONGEST.days} days", hint="sign again before it ends")
    return found
