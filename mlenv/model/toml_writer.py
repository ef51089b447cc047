"""TOML with one spelling per value, so that the same lock is the same bytes (TOML 1.0).

A table's plain values come first, then its tables. An array of flat tables becomes one row a line, which keeps a
lock of hundreds of packages readable and its diffs small. Keys stand in the order of the mapping.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlenv.model.digest import Digest

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def write_toml(document: Mapping[str, Any]) -> str:
    """The document as TOML.

    Values: str, bool, int, float, Digest, datetime with an offset (written in UTC), lists and mappings. None and an
    empty mapping are left out.
    """
    lines: list[str] = []
    _table(document, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    nested: list[tuple[str, Any]] = []
    for key, value in table.items():
        if value is None or value == {}:
            continue
        if isinstance(value, Mapping) or _is_array_of_tables(value):
            nested.append((key, value))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            rows = "".join(f"  {_inline(row)},\n" for row in value)
            lines.append(f"{_key(key)} = [\n{rows}]")
        else:
            lines.append(f"{_key(key)} = {_scalar(value)}")
    for key, value in nested:
        here = (*path, key)
        header = ".".join(map(_key, here))
        for one in [value] if isinstance(value, Mapping) else value:
            lines.extend(("", f"[{header}]" if isinstance(value, Mapping) else f"[[{header}]]"))
            _table(one, here, lines)


def _is_array_of_tables(value: Any) -> bool:
    """Whether the rows are too deep to stand on a line each."""
    if not isinstance(value, list | tuple):
        return False
    return any(
        isinstance(cell, Mapping) or (isinstance(cell, list | tuple) and any(isinstance(one, Mapping) for one in cell))
        for row in value
        if isinstance(row, Mapping)
        for cell in row.values()
    )


def _inline(row: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{_key(k)} = {_scalar(v)}" for k, v in row.items() if v is not None) + " }"


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Digest):
        return _string(str(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    msg = f"no TOML for {type(value).__name__}"
    raise TypeError(msg)


def _string(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c) or (c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in text) + '"'


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE else _string(key)
