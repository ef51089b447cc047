"""Standard output and standard error as the caller gives them: closed, full, unread, or a terminal that obeys."""

import os
import sys
from contextlib import suppress
from typing import Final

import typer

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def prepare_streams() -> None:
    """Put the null device where the caller closed a stream, and let no character be one that a stream cannot take.

    Otherwise the next file that is opened would get the stream's number, and what a child process complains of would be
    written into it.
    """
    for name, mode in _STREAMS:
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """Text for a terminal: whatever is no visible character or a line's end is escaped.

    Names and messages come from files that others wrote. Escape sequences in them would move the cursor, and marks of
    direction would show one thing for another.
    """
    return text if text.isprintable() else "\n".join(map(_one_line, text.split("\n")))


def tell(line: str) -> None:
    """One line on standard error. Where it cannot be written nobody reads it, and nothing else changes."""
    try:
        typer.echo(_one_line(line), err=True)
    except OSError:
        abandon("stderr")


def abandon(name: str) -> None:
    """Let what could not be written go nowhere. Python tries again at its end, and would replace the exit status."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(descriptor, getattr(sys, name).fileno())
        finally:
            os.close(descriptor)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
