"""Canonical JSON (RFC 8785): the only form in which mlenv writes JSON that has a digest."""

from typing import Any

import rfc8785


def canonical_json(value: Any) -> bytes:
    """The one byte string that stands for a JSON value: keys sorted, no white space, UTF-8.

    Integers beyond 2**53 - 1, NaN and infinities are a ValueError.
    """
    return rfc8785.dumps(value)
