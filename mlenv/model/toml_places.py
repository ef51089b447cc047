"""Where in a TOML file a value stands: `tomllib` gives values without lines, and an error needs the line.

The scanner reads only the outline of TOML 1.0 (keys, brackets, ends of strings) and trusts `tomllib` to have accepted
the text before.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping

Path = tuple[str | int, ...]
"""Keys and positions in arrays, from the root: ("python", "packages", 0)."""

_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[^,\]}#\r\n]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # up to two quotes may stand before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(["\\bfnrte]))')
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "e": "\x1b"}


def places(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every value and every table of a TOML document that `tomllib` accepts.

    The line of a value is where it begins; of a key that holds more, or of a table, where it is first named.
    """
    return _Scanner(text).run()


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it that is there; 1 for the document itself."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 1)


def dotted(path: Path) -> str:
    """A path as people write it: `python.packages[0]`; keys that are not bare in quotes."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            key = part if _BARE_KEY.fullmatch(part) else repr(part)
            parts.append(f".{key}" if parts else key)
    return "".join(parts)


class _Scanner:
    """One pass over a text; `at` is the position."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self.table: Path = ()
        self.rows: dict[Path, int] = {}  # how many tables an array of tables has so far
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def run(self) -> dict[Path, int]:
        self._gap()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                self._header()
            else:
                self._assignment(self.table)
            self._gap()
        return self.found

    def _gap(self) -> None:
        self.at = self._end(_GAP)

    def _blank(self) -> None:
        self.at = self._end(_BLANK)

    def _end(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is None:
            msg = f"not TOML at character {self.at}"
            raise ValueError(msg)
        return match.end()

    def _mark(self, path: Path, at: int) -> None:
        self.found.setdefault(path, bisect_right(self.line_starts, at))

    def _header(self) -> None:
        start = self.at
        many = self.text.startswith("[[", start)
        self.at += 2 if many else 1
        keys = self._key()
        self.at += 2 if many else 1
        path: Path = ()
        for key in keys[:-1]:
            path = self._current((*path, key))
            self._mark(path, start)
        path = (*path, keys[-1])
        self._mark(path, start)
        if many:
            self.rows[path] = self.rows.get(path, -1) + 1
            path = self._current(path)
            self._mark(path, start)
        self.table = path

    def _current(self, path: Path) -> Path:
        """The last table of an array of tables, or the table itself."""
        return (*path, self.rows[path]) if path in self.rows else path

    def _key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._blank()
            start = self.at
            if self.text[start] in "\"'":
                self.at = self._end(_STRING)
                keys.append(_unquote(self.text[start : self.at]))
            else:
                self.at = self._end(_BARE_KEY)
                keys.append(self.text[start : self.at])
            self._blank()
            if not self.text.startswith(".", self.at):
                return keys
            self.at += 1

    def _assignment(self, path: Path) -> None:
        start = self.at
        for key in self._key():
            path = (*path, key)
            self._mark(path, start)
        self.at += 1  # the equals sign
        self._blank()
        self._value(path)

    def _value(self, path: Path) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self._sequence("]", lambda index: self._element((*path, index)))
        elif first == "{":
            self._sequence("}", lambda _: self._assignment(path))
        elif first and first in "\"'":
            self.at = self._end(_STRING)
        else:
            self.at = self._end(_PLAIN_VALUE)

    def _element(self, path: Path) -> None:
        self._mark(path, self.at)
        self._value(path)

    def _sequence(self, closing: str, item: Callable[[int], None]) -> None:
        self.at += 1
        index = 0
        self._gap()
        while self.text[self.at] != closing:
            item(index)
            index += 1
            self._gap()
            if self.text[self.at] == ",":
                self.at += 1
                self._gap()
        self.at += 1


def _unquote(key: str) -> str:
    """The text of a quoted key."""
    if key.startswith("'"):
        return key[1:-1]

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])

    return _ESCAPE.sub(character, key[1:-1])
