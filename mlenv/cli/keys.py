"""`mlenv keys`: making a key that signs, and showing what a key is."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.errors import SigningKeyError
from mlenv.trust.keys import KeyType

app = typer.Typer(help="Make or show the keys that sign locks.", no_args_is_help=True)


@app.command(short_help="Make a new key.")
def generate(
    kind: Annotated[KeyType, typer.Option("--type", help="What kind of key.")] = KeyType.ECDSA_P256,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The private key; FILE.pub is the public one.")
    ] = Path("mlenv.key"),
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Make a new key, encrypted with a passphrase: that of MLENV_KEY_PASSWORD, else one that is asked for."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.sources.trust.new_keys import (  # noqa: PLC0415 -- keeps `mlenv --help` quick
            generate_key,
            public_path,
            require_new,
            write_key_pair,
        )

        require_new(output)
        private, public = generate_key(kind, _new_passphrase())
        write_key_pair(output, private, public)
        terminal.say(f"{output}: the private key, encrypted; who has it and its passphrase signs as you do")
        terminal.say(f"{public_path(output)}: the public key, which belongs into trust policies")
        data = {
            "private_key": str(output),
            "public_key": str(public_path(output)),
            "type": str(kind),
            "id": str(public.fingerprint),
        }
        terminal.result(data, str(public.fingerprint))


@app.command(short_help="Show a key's public half and its names.")
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A public or private key file, or env://NAME.")],
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show the public key and what it is called: the id of trust policies, and the hint of Sigstore bundles."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.passphrase import asker  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.private_keys import load_public_key  # noqa: PLC0415 -- as above

        public, warnings = load_public_key(key, dict(os.environ), asker())
        for warning in warnings:
            terminal.say(f"warning: {warning}")
        data = {"type": str(public.type), "id": str(public.fingerprint), "hint": public.hint, "pem": public.pem}
        terminal.result(
            data, f"type  {public.type}\nid    {public.fingerprint}\nhint  {public.hint}\n{public.pem}".rstrip()
        )


def _new_passphrase() -> str:
    from mlenv.cli.passphrase import ask_twice, asker  # noqa: PLC0415 -- as above

    given = os.environ.get("MLENV_KEY_PASSWORD")
    if given is not None:
        return given
    if asker() is None:
        raise SigningKeyError("a passphrase is needed, and there is no terminal", hint="set MLENV_KEY_PASSWORD")
    return ask_twice("Passphrase of the new key")
