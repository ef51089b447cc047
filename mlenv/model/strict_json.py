"""JSON from outside, read so that two readers can't see two different things in it."""

import json
import math
from collections import Counter
from typing import Any

LIMIT = 4 << 20  # bytes: the size of a manifest that registries must accept (distribution specification, "Push")
DEPTH = 64
_INTEGER = (1 << 53) - 1  # beyond it, readers that keep numbers as doubles see another value (RFC 7493)


def parse_json(data: bytes, limit: int = LIMIT) -> Any:
    """Parse one JSON document of at most `limit` bytes.

    Refused with a ValueError: duplicate keys, NaN and infinities, integers beyond 2**53 - 1, nesting deeper than 64,
    anything that isn't UTF-8 or that holds a lone surrogate.
    """
    if len(data) > limit:
        raise ValueError(f"the JSON document is {len(data)} bytes long; {limit} is the limit")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except RecursionError:
        raise ValueError("the JSON document is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the JSON document is not UTF-8 at byte {error.start}") from None
    _check(value)
    return value


def shown(text: str, limit: int = 100) -> str:
    """Text from outside for a message: on one line, without control characters, not without end."""
    short = text if len(text) <= limit else text[:limit] + "…"
    return short if short.isprintable() else ascii(short)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:80]!a} appears twice in one object")
    return found


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > _INTEGER:
        raise ValueError(f"the integer {text[:24]} is out of range")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:24]} is out of range")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _check(value: Any) -> None:
    """Walk the document without recursion: depth, and strings that have no UTF-8 form."""
    rest: list[tuple[Any, int]] = [(value, 1)]
    while rest:
        item, depth = rest.pop()
        if depth > DEPTH:
            raise ValueError("the JSON document is nested too deeply")
        if isinstance(item, str):
            item.encode("utf-8")
        elif isinstance(item, dict):
            rest += [(key, depth) for key in item]
            rest += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            rest += [(child, depth + 1) for child in item]
