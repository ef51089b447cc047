"""Mutations that keep the form of what they change, so that fuzzing gets past the first line of a reader."""

import base64
import json
import random
from typing import Any

import atheris

_VALUES: tuple[Any, ...] = (None, True, 0, -1, 2**53, 1.5, "", "a", "\n", "sha256:" + "0" * 64, [], {}, [[]], {"a": {}})


def mutate_json(data: bytes, most: int, seed: int) -> bytes:
    """Change, remove, repeat or nest one value of a JSON document, or of one in base64 inside it; else any bytes."""
    chance = random.Random(seed)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if document is None or chance.random() < 0.3:
        return _any(data, most)
    changed = json.dumps(_changed(document, chance), separators=(",", ":")).encode()
    if chance.random() < 0.1:  # a key that stands there twice
        changed = changed.replace(b",", b"," + changed[1 : changed.find(b",") + 1], 1)
    return changed if len(changed) <= most else _any(data, most)


def mutate_lines(data: bytes, most: int, seed: int) -> bytes:
    """Remove, repeat or move a line, or take a value from another one; else any bytes."""
    chance = random.Random(seed)
    lines = data.split(b"\n")
    if len(lines) < 3 or chance.random() < 0.4:
        return _any(data, most)
    one, other = (chance.randrange(len(lines)) for _ in range(2))
    match chance.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case _:
            key = lines[one].partition(b"=")[0]
            lines[one] = key + b"=" + lines[other].partition(b"=")[2]
    changed = b"\n".join(lines)
    return changed if len(changed) <= most else _any(data, most)


def _any(data: bytes, most: int) -> bytes:
    changed: bytes = atheris.Mutate(data, most)
    return changed


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with one thing in it changed, at any depth."""
    if not value or chance.random() < 0.15:
        return chance.choice(_VALUES)
    match value:
        case dict():
            return _changed_object(value, chance)
        case list():
            return _changed_array(value, chance)
        case str():
            return _changed_text(value, chance)
    return chance.choice(_VALUES)


def _changed_object(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    key = chance.choice(sorted(value))
    match chance.randrange(8):
        case 0:
            return {name: one for name, one in value.items() if name != key}
        case 1:
            return value | {chance.choice(["a", "", key + "x"]): value[key]}
    return value | {key: _changed(value[key], chance)}


def _changed_array(value: list[Any], chance: random.Random) -> list[Any]:
    place = chance.randrange(len(value))
    match chance.randrange(6):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return [*value, value[place]]
    return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]


def _changed_text(text: str, chance: random.Random) -> str:
    try:
        inside = json.loads(base64.b64decode(text, validate=True))
        return base64.b64encode(json.dumps(_changed(inside, chance), separators=(",", ":")).encode()).decode()
    except (ValueError, RecursionError):
        place = chance.randrange(len(text))
        return text[:place] + chance.choice(["", "0", "é", "\0", text[place] * 2]) + text[place + 1 :]
