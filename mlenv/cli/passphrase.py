"""Passphrases, asked for on a terminal that does not show them."""

import sys
from collections.abc import Callable

import typer


def asker() -> Callable[[str], str] | None:
    """What asks for a passphrase, once; None where nobody sits at a terminal."""
    return _ask if sys.stdin.isatty() else None


def ask_twice(question: str) -> str:
    """A new passphrase; asks again until both answers are the same."""
    return _ask(question, twice=True)


def _ask(question: str, *, twice: bool = False) -> str:
    try:
        answer = typer.prompt(
            question, hide_input=True, confirmation_prompt="The same once more" if twice else False, err=True
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    return str(answer)
