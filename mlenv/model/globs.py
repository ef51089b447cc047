"""Patterns of files, a subset of gitignore's (gitignore(5), "PATTERN FORMAT").

A pattern without a slash means a name at any depth: `*.log`. One with a slash before its end begins at the top:
`/build`, `data/raw`. A slash at the end means folders only. `*` and `?` stand for characters of one name, `[a-z]` and
`[!a-z]` for one character, `**` between slashes for any number of folders. What lies in a folder that matches is
matched with it. There is no `!` and no escape.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache

Matcher = Callable[[str, bool], bool]
"""Of a relative path and whether it is a folder: whether a pattern matches this very path, not a folder around it."""


def matcher(patterns: Iterable[str]) -> Matcher:
    """Whether any of the patterns matches."""
    compiled = [_compile(pattern) for pattern in patterns]

    def matches(path: str, folder: bool) -> bool:
        return any(regex.fullmatch(path) and (folder or not folders_only) for regex, folders_only in compiled)

    return matches


@cache
def _compile(pattern: str) -> tuple[re.Pattern[str], bool]:
    folders_only = pattern.endswith("/")
    body = pattern.rstrip("/") if folders_only else pattern
    anchored = "/" in body
    parts = body.removeprefix("/").split("/")
    expression = "" if anchored else "(?:.*/)?"
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".+" if last else "(?:.*/)?"
        else:
            expression += _name(part) + ("" if last else "/")
    return re.compile(expression, re.DOTALL), folders_only


def _name(part: str) -> str:
    """A regular expression for one component of a path."""
    out = ""
    at = 0
    while at < len(part):
        character = part[at]
        end = part.find("]", at + (3 if part[at + 1 : at + 2] in {"!", "^"} else 2)) if character == "[" else -1
        if character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[":
            if end < 0:
                return "(?!)"  # a set that is not closed matches nothing, as in git
            out += _set(part[at + 1 : end])
            at = end
        else:
            out += re.escape(character)
        at += 1
    return out


def _set(inside: str) -> str:
    """A set of characters; a range that runs backwards holds nothing."""
    negated = inside[0] in "!^"
    members = inside[1:] if negated else inside
    choices: list[str] = []
    at = 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            low, high = members[at], members[at + 2]
            if low <= high:
                choices.append(f"{re.escape(low)}-{re.escape(high)}")
            at += 3
        else:
            choices.append(re.escape(members[at]))
            at += 1
    if not choices:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(choices)}]"
