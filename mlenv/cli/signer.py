"""What signs: the options that say so, declared once."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.terminal import Terminal

if TYPE_CHECKING:
    from mlenv.trust.keys import Signer

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="FILE|env://NAME",
        help="The private key; MLENV_KEY where left out. With --signer-command, the public key.",
        show_default=False,
    ),
]
SignerOption = Annotated[
    str | None,
    typer.Option(
        "--signer-command",
        metavar="COMMAND",
        help="A program that signs: it gets the bytes on standard input and writes the signature to standard output.",
    ),
]


def open_signer(terminal: Terminal, key: str | None, command: str | None) -> "Signer":
    """What --key and --signer-command name, its passphrase asked for where a person could answer."""
    from mlenv.cli.passphrase import asker  # noqa: PLC0415 -- as above
    from mlenv.sources.trust.private_keys import signer  # noqa: PLC0415 -- as above

    found = signer(os.environ, key=key, command=command, ask=asker())
    for warning in getattr(found, "warnings", ()):
        terminal.say(f"warning: {warning}")
    return found
