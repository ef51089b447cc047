"""Moments as text."""

from datetime import UTC, datetime


def rfc3339(value: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC with whole seconds: `2026-11-01T00:00:00Z`."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"  # strftime has years like 12
