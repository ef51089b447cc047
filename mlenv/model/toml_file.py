"""A TOML file that people write -> a table that pydantic describes, or everything that is wrong with it at once.

Messages are in TOML's words, never in Python's, and each has the line and the path of what it is about.
"""

import difflib
import math
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlenv.errors import Problem
from mlenv.model.manifest_fields import InvalidValueError
from mlenv.model.toml_places import Path, dotted, line_of, places

_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_DEEPEST = 32
# Strings, ended or not, and comments: whatever stands in them is no key. Each character is looked at once.
# The looks ahead are for Python before 3.11.5 (gh-100061): after a `(?!...)` that fails it goes on at the wrong place.
_NO_KEY = re.compile(
    r'''
    """(?:\\.|\\\Z|(?=[^"]|"[^"]|""[^"]|"\Z|""\Z)[^\\])*+(?:"{3,5}|\Z)
    |\'{3}(?:(?=[^\']|\'[^\']|\'\'[^\']|\'\Z|\'\'\Z).)*+(?:\'{3,5}|\Z)
    |"(?:[^"\\\n]|\\[^\n])*+"?
    |\'[^\'\n]*+\'?
    |\#[^\n]*+
    ''',
    re.VERBOSE | re.DOTALL,
)
_DEEP_KEY = re.compile(r"""(?<![A-Za-z0-9_-])(?:(?:[A-Za-z0-9_-]++|"")[ \t]*+\.[ \t]*+){32}""")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Something wrong at `path`, in one line each."""

    path: Path
    message: str
    hint: str = ""


def has_deep_key(text: str) -> bool:
    """Whether a key has more than 32 parts (`a.b.c`): tomllib needs memory with the square of their number.

    Takes time with the text's length alone.
    """
    return _DEEP_KEY.search(_NO_KEY.sub('""', text)) is not None


class NotTomlError(ValueError):
    """A text that is not TOML; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_toml(text: str, filename: str) -> dict[str, Any]:
    """The document; NotTomlError."""
    try:
        text.encode()
        if not has_deep_key(text):
            return tomllib.loads(text)
        problem = Problem("a key of more than 32 parts", f"{filename}:1", "no value needs that")
    except UnicodeEncodeError:
        problem = Problem("not text: it holds half a character", f"{filename}:1", "save the file as UTF-8")
    except RecursionError:
        problem = Problem("values are nested too deep", f"{filename}:1", "no value needs that")
    except ValueError as error:
        problem = _syntax_problem(error, text, filename)
    raise NotTomlError(problem)


def _syntax_problem(error: ValueError, text: str, filename: str) -> Problem:
    match = _PLACE.fullmatch(str(error))
    if match is None:  # an integer that Python refuses to read
        return Problem(f"not TOML: {error}".splitlines()[0], f"{filename}:1", "see https://toml.io/en/v1.0.0")
    where = f"{filename}:{match[2]}:{match[3]}" if match[2] else f"{filename}:{text.count(chr(10)) + 1}"
    hint = "save the file without a byte order mark" if text.startswith("\ufeff") else "see https://toml.io/en/v1.0.0"
    return Problem(f"not TOML: {match[1]}".replace("\n", " "), where, hint)


def impossible_numbers(value: Any, path: Path = ()) -> Iterator[Contradiction]:
    """Numbers that no reader agrees on, and nesting that only an attacker needs; nothing else is looked at then."""
    if len(path) > _DEEPEST:
        yield Contradiction(path[:4], "values are nested too deep", "no value needs that")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Contradiction(path, f"not a number: {value}", "write a finite number")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield Contradiction(path, "an integer beyond 64 bits", "write a smaller one")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from impossible_numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from impossible_numbers(item, (*path, index))


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


def described(error: ValidationError, table: type[BaseModel]) -> Iterator[Contradiction]:
    """What pydantic found wrong in a `table`, in the words of TOML, without what only follows from something else.

    An array or a table is too short where something in it is wrong.
    """
    errors = error.errors(include_url=False)
    inside = {one["loc"][:end] for one in errors for end in range(len(one["loc"]))}
    return (_described(one, table) for one in errors if one["type"] != "too_short" or one["loc"] not in inside)


def _described(details: ErrorDetails, table: type[BaseModel]) -> Contradiction:
    path = tuple(part for part in details["loc"] if part != "[key]")  # pydantic's mark for the key of a mapping
    kind = details["type"]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, InvalidValueError):
        return Contradiction(path, _one_line(str(cause)), cause.hint)
    if kind == "extra_forbidden":
        return Contradiction(path, f"unknown key {path[-1]!r}", _closest(str(path[-1]), _known_keys(table, path[:-1])))
    if kind == "missing":
        return Contradiction(path[:-1], f"the key {path[-1]!r} is missing", f"add {dotted(path)}")
    if kind in _KINDS:
        expected, hint = _KINDS[kind]
        found = _TOML_NAMES.get(type(details["input"]), "a date or time")
        return Contradiction(path, f"expected {expected}, found {found}", hint)
    return Contradiction(path, *_counted(details))


def _counted(details: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a length, or whatever else pydantic says."""
    if details["type"] == "too_short":
        return "expected at least one value", "add one, or remove the key"
    if details["type"] == "too_long":
        return f"more than {details['ctx']['max_length']} values", "remove some of them"
    return _one_line(details["msg"].removeprefix("Input ")), "write another value"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _known_keys(table: type[BaseModel], path: Path) -> list[str]:
    """The keys of the table at a path."""
    for part in path:
        held = {field.alias or name: field.annotation for name, field in table.model_fields.items()}
        if part not in held:
            continue  # a position in an array, or a name in a mapping: `table` is what each item is
        inner = _table_in(held[str(part)])
        if inner is None:
            return []
        table = inner
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


def located(found: Iterable[Contradiction], text: str, filename: str) -> list[Problem]:
    """Problems with their lines, in the order of the file."""
    lines = places(text)
    placed = sorted((line_of(lines, item.path), dotted(item.path), item.message, item.hint) for item in found)
    return [
        Problem(message, f"{filename}:{line} {path}".rstrip(), hint)
        for line, path, message, hint in dict.fromkeys(placed)
    ]
