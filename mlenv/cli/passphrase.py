"""Passphrases, asked for on a terminal that does not show them."""

import os
import sys
from collections.abc import Callable

import typer

from mlenv.errors import UsageError


def asker() -> Callable[[str], str] | None:
    """What asks for the passphrase of a key; None where nobody sits at a terminal to answer."""
    return _ask if sys.stdin.isatty() else None


def new_passphrase() -> str:
    """That of MLENV_KEY_PASSWORD, else one that is asked for until it was typed twice the same. UsageError."""
    given = os.environ.get("MLENV_KEY_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        hint = "set MLENV_KEY_PASSWORD, or run this in a terminal and be asked"
        raise UsageError("there is no passphrase to encrypt the new key with", hint=hint)
    return _ask("Passphrase of the new key", again="The same once more")


def _ask(question: str, again: str | bool = False) -> str:
    try:
        return str(typer.prompt(question, hide_input=True, confirmation_prompt=again, err=True))
    except typer.Abort:  # Ctrl-C or Ctrl-D
        raise KeyboardInterrupt from None
