"""`mlenv keys`: making a key that signs, and showing what a key is called."""

import os
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError

if TYPE_CHECKING:
    from mlenv.trust.keys import PublicKey

app = typer.Typer(help="Make or show the keys that sign.", no_args_is_help=True)


@app.command(short_help="Make a new key.")
def generate(
    *,
    kind: Annotated[str, typer.Option("--type", metavar="ecdsa-p256|ed25519", help="The kind of key.")] = "ecdsa-p256",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The private key; the public one is FILE.pub.")
    ] = Path("mlenv.key"),
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Make a new key, encrypted with the passphrase of MLENV_KEY_PASSWORD, else with one that is asked for."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.passphrase import new_passphrase  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.sources.trust import new_keys  # noqa: PLC0415 -- as above
        from mlenv.trust.keys import KeyType  # noqa: PLC0415 -- as above

        if kind not in list(KeyType):
            raise UsageError(f"no such type of key: {kind}", hint=f"--type is {' or '.join(KeyType)}")
        new_keys.require_new(output)
        private, public = new_keys.generate_key(KeyType(kind), new_passphrase())
        new_keys.write_key_pair(output, private, public)
        public_file = new_keys.public_path(output)
        terminal.say(f"wrote {output}: whoever has it and its passphrase signs in your name")
        terminal.say(f"wrote {public_file}: give it to those who check your signatures")
        data = {"private_key": str(output), "public_key": str(public_file)}
        terminal.result(data | _names(public), str(public.fingerprint))


@app.command(short_help="Show the public half of a key, and its names.")
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The file of a public or private key, or env://NAME.")],
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show the public half of a key, its id, the hint by which Sigstore bundles name it, and OpenSSH's fingerprint."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.passphrase import asker  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.private_keys import load_public_key  # noqa: PLC0415 -- as above

        public, warnings = load_public_key(key, os.environ, asker())
        for warning in warnings:
            terminal.say(f"warning: {warning}")
        names = _names(public)
        lines = [f"{name:<8} {value}" for name, value in names.items()]
        terminal.result(names | {"pem": public.pem}, "\n".join([*lines, public.pem.rstrip()]))


def _names(key: "PublicKey") -> dict[str, str]:
    return {
        "type": str(key.type),
        "id": str(key.fingerprint),
        "hint": key.hint,
        "openssh": _openssh_fingerprint(key),
    }


def _openssh_fingerprint(key: "PublicKey") -> str:
    """What `ssh-keygen -l` shows: the sha256 of the key's form on the wire (RFC 4253 section 6.6)."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 -- slow to import
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    line = load_pem_public_key(key.pem.encode()).public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return f"SHA256:{b64encode(sha256(b64decode(line.split()[1])).digest()).decode().rstrip('=')}"
