"""The text of mlenv.toml -> EnvironmentManifest, or everything that is wrong with it at once."""

import difflib
import math
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mlenv.errors import ManifestError, Problem
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_fields import InvalidValueError
from mlenv.model.manifest_rules import Contradiction, Sections, contradictions, unpinned
from mlenv.model.toml_places import Path, dotted, line_of, places

_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_DEEPEST = 32
_ARRAYS = ("models", "files")


def parse_manifest(
    text: str,
    *,
    filename: str = "mlenv.toml",
    allow_unpinned: bool = False,
    digests: Mapping[str, Digest] | None = None,
) -> EnvironmentManifest:
    """The manifest, or a ManifestError with every problem: `mlenv.toml:12 python.packages[0]`, what, and a hint.

    An image without a digest is a problem unless `allow_unpinned`. Where somebody has looked up what such images
    are now (see `unpinned_images`), `digests` puts that into the message.
    """
    document = _read_toml(text, filename)
    found = [*_impossible_numbers(document, ())] or [*_problems(document)]
    if not found:
        manifest = EnvironmentManifest.model_validate(document)
        found = [] if allow_unpinned else [*unpinned(Sections.of(manifest), digests or {})]
        if not found:
            return manifest
    raise ManifestError(problems=_located(found, text, filename))


def unpinned_images(text: str) -> tuple[str, ...]:
    """The image references in a manifest that have no digest; none where they cannot be read."""
    try:
        document = _read_toml(text, "mlenv.toml")
    except ManifestError:
        return ()
    base = _sections(document).base
    return (base.image,) if base and base.image and base.image_digest is None else ()


def _read_toml(text: str, filename: str) -> dict[str, Any]:
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError:
        problem = Problem("not text: it holds half a character", f"{filename}:1", "save the file as UTF-8")
    except RecursionError:
        problem = Problem("values are nested too deep", f"{filename}:1", "no value of mlenv.toml needs that")
    except ValueError as error:
        problem = _syntax_problem(error, text, filename)
    raise ManifestError(problems=[problem])


def _syntax_problem(error: ValueError, text: str, filename: str) -> Problem:
    match = _PLACE.fullmatch(str(error))
    if match is None:  # an integer that Python refuses to read
        return Problem(f"not TOML: {error}".splitlines()[0], f"{filename}:1", "see https://toml.io/en/v1.0.0")
    where = f"{filename}:{match[2]}:{match[3]}" if match[2] else f"{filename}:{text.count(chr(10)) + 1}"
    hint = "save the file without a byte order mark" if text.startswith("\ufeff") else "see https://toml.io/en/v1.0.0"
    return Problem(f"not TOML: {match[1]}".replace("\n", " "), where, hint)


def _impossible_numbers(value: Any, path: Path) -> Iterator[Contradiction]:
    """Numbers that no reader agrees on, and nesting that only an attacker needs; nothing else is looked at then."""
    if len(path) > _DEEPEST:
        yield Contradiction(path[:4], "values are nested too deep", "no value of mlenv.toml needs that")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Contradiction(path, f"not a number: {value}", "write a finite number")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield Contradiction(path, "an integer beyond 64 bits", "write a smaller one")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _impossible_numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _impossible_numbers(item, (*path, index))


def _problems(document: dict[str, Any]) -> Iterator[Contradiction]:
    try:
        manifest = EnvironmentManifest.model_validate(document)
    except ValidationError as error:
        yield from map(_described, _telling(error.errors(include_url=False)))
        sections = _sections(document)
        yield from unpinned(sections, {})
    else:
        sections = Sections.of(manifest)
    yield from contradictions(sections)


@cache
def _reader(section: str) -> TypeAdapter[Any]:
    annotation = typing.get_type_hints(EnvironmentManifest)[section]
    return TypeAdapter(typing.get_args(annotation)[0] if section in _ARRAYS else annotation)


def _read(section: str, value: Any) -> Any:
    """One section, without the keys that are wrong in it where it can be read without them, or None."""
    try:
        return _reader(section).validate_python(value)
    except ValidationError as error:
        if not isinstance(value, dict):
            return None
        wrong = [item["loc"][: -1 if item["type"] == "missing" else None] for item in error.errors(include_url=False)]
        if () in wrong:
            return None
        try:
            return _reader(section).validate_python(_without(value, wrong))
        except ValidationError:
            return None


def _without(value: Any, wrong: list[tuple[str | int, ...]]) -> Any:
    """A table without the keys at those locations; an array that holds one is left out whole."""
    if not isinstance(value, dict):
        return value
    drop = {path[0] for path in wrong if len(path) == 1 or not isinstance(value.get(str(path[0])), dict)}
    return {
        key: _without(item, [path[1:] for path in wrong if path[0] == key])
        for key, item in value.items()
        if key not in drop
    }


def _sections(document: dict[str, Any]) -> Sections:
    """Each section by itself, as far as it can be read."""
    values: dict[str, Any] = {}
    for section in EnvironmentManifest.model_fields:
        value = document.get(section)
        if section in _ARRAYS:
            values[section] = tuple(_read(section, item) for item in value) if isinstance(value, list) else ()
        elif value is not None:
            values[section] = _read(section, value)
    return Sections(**values)


_KINDS = {
    "string_type": ("a string", "write it in quotes"),
    "int_type": ("an integer", "write it without quotes and without a point"),
    "float_type": ("a number", "write it without quotes"),
    "time_delta_type": ("a duration", 'write it as in "30s"'),
    "bool_type": ("true or false", "write it without quotes"),
    "tuple_type": ("an array", "put the values in [ ]"),
    "dict_type": ("a table", "write { key = value }, or a table of its own"),
    "model_type": ("a table", "write { key = value }, or a table of its own"),
}
_TOML_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array"}
_TOML_NAMES |= {dict: "a table"}


def _telling(errors: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """The errors without those that only follow from others: an array is too short where its items are wrong."""
    inside = {error["loc"][:-1] for error in errors}
    return (error for error in errors if error["type"] != "too_short" or error["loc"] not in inside)


def _described(details: ErrorDetails) -> Contradiction:
    """What pydantic found, in the words of mlenv.toml."""
    path = tuple(part for part in details["loc"] if part != "[key]")  # pydantic's mark for the key of a mapping
    kind = details["type"]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, InvalidValueError):
        return Contradiction(path, _one_line(str(cause)), cause.hint)
    if kind == "extra_forbidden":
        return Contradiction(path, f"unknown key {path[-1]!r}", _closest(str(path[-1]), _known_keys(path[:-1])))
    if kind == "missing":
        return Contradiction(path[:-1], f"the key {path[-1]!r} is missing", f"add {dotted(path)}")
    if kind in _KINDS:
        expected, hint = _KINDS[kind]
        found = _TOML_NAMES.get(type(details["input"]), "a date or time")
        return Contradiction(path, f"expected {expected}, found {found}", hint)
    if kind == "too_short":
        return Contradiction(path, "expected at least one value", "add one, or remove the key")
    return Contradiction(path, _one_line(details["msg"].removeprefix("Input ")), "write another value")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _known_keys(path: Path) -> list[str]:
    """The keys of the table at a path of the manifest."""
    table: Any = EnvironmentManifest
    for part in path:
        if isinstance(part, str):
            held = {field.alias or name: field.annotation for name, field in table.model_fields.items()}
            table = _table_in(held.get(part))
        if table is None:
            return []
    return [field.alias or name for name, field in table.model_fields.items()]


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a field holds, alone, optional or in an array."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, typing.get_args(annotation))), None)


def _closest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key.replace("_", "-"), known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known are {', '.join(sorted(known))}" if known else "remove it"


def _located(found: Iterable[Contradiction], text: str, filename: str) -> list[Problem]:
    """Problems with their lines, in the order of the file."""
    lines = places(text)
    placed = sorted((line_of(lines, item.path), dotted(item.path), item.message, item.hint) for item in found)
    return [
        Problem(message, f"{filename}:{line} {path}".rstrip(), hint)
        for line, path, message, hint in dict.fromkeys(placed)
    ]
