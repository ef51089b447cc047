"""`mlenv trust root new` and `sign`: what the owners of a root of trust do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli.durations import parse_expires
from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.root_summary import root_json, root_lines
from mlenv.cli.signer import KeyOption, SignerOption, open_signer
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError

PreviousOption = Annotated[
    Path | None, typer.Option("--previous", metavar="ROOT.json", help="The root that this one follows.")
]


def new(
    policy: Annotated[Path, typer.Argument(metavar="TRUST.toml", help="The trust policy that the root is to hold.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="ROOT.json", help="Where the draft goes.")],
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="PUB", help="The public key of a signer; repeatable. By default as before."),
    ] = None,
    threshold: Annotated[
        int | None,
        typer.Option("--threshold", metavar="N", min=1, help="How many of the keys must sign. By default as before."),
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="DURATION", help="How long it holds.")] = "365d",
    previous: PreviousOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Draft a root that nobody has signed yet: version 1, or with --previous the version that follows."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.signing.root import draft_root  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.sources.trust.policies import read_public_key  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.roots import read_root  # noqa: PLC0415 -- as above
        from mlenv.sources.whole_file import write_whole  # noqa: PLC0415 -- as above
        from mlenv.trust.policy import TrustPolicy  # noqa: PLC0415 -- as above
        from mlenv.trust.root import parse_root  # noqa: PLC0415 -- as above

        if output.exists():
            raise UsageError("there is a file already, perhaps with signatures", where=str(output), hint="remove it")
        text = read_root(policy).data
        TrustPolicy.parse(text, filename=str(policy))
        data = draft_root(
            text,
            expires=datetime.now(UTC) + parse_expires(expires),
            keys=[read_public_key(path) for path in key or ()],
            threshold=threshold,
            previous=read_root(previous) if previous else None,
        )
        root = parse_root(data, where=str(output))
        write_whole(output, [data])
        terminal.say(f"{output}: to be signed with `mlenv trust root sign`")
        terminal.result({"root": str(output), **root_json(root)}, "\n".join(root_lines(root)))


def sign(
    file: Annotated[Path, typer.Argument(metavar="ROOT.json", help="The root; the signature is added to it.")],
    key: KeyOption = None,
    signer_command: SignerOption = None,
    previous: PreviousOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show what a root says, and sign it with one of its keys, or with one of those of the root before."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.signing.root import sign_root  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.roots import read_root  # noqa: PLC0415 -- as above
        from mlenv.sources.whole_file import write_whole  # noqa: PLC0415 -- as above
        from mlenv.trust.root import parse_root  # noqa: PLC0415 -- as above

        draft, before = read_root(file), read_root(previous) if previous else None
        terminal.say("you are about to sign:")
        for line in root_lines(parse_root(draft.data, where=draft.name)):
            terminal.say(f"  {line}")
        signer = open_signer(terminal, key, signer_command)
        data = sign_root(draft, signer, before)
        write_whole(file, [data])
        root = parse_root(data, where=draft.name)
        terminal.say(f"signed with {signer.public_key.fingerprint}: {len(root.signers)} of {root.threshold}")
        terminal.result({"root": str(file), **root_json(root)})
