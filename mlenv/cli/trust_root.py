"""`mlenv trust root`: a trust policy that is signed as a TUF root. Here is what those do who follow one."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli import root_owner
from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.root_summary import root_json, root_lines
from mlenv.cli.terminal import Terminal
from mlenv.errors import TrustPolicyError

app = typer.Typer(help="Make, sign, follow or show a root of trust: a signed trust policy.", no_args_is_help=True)
app.command("new", short_help="Draft a root from a trust.toml.")(root_owner.new)
app.command("sign", short_help="Sign a root.")(root_owner.sign)


@app.command(short_help="Follow the owner's next root.")
def update(
    files: Annotated[list[Path], typer.Argument(metavar="ROOT.json", help="Every later root, oldest first.")],
    initial: Annotated[
        bool, typer.Option("--initial", help="Believe the first of them: there is no root of trust here yet.")
    ] = False,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Replace your root of trust by one that it vouches for, step by step; versions never go back."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.sources.trust.roots import install_root, installed_root, read_root, update_root  # noqa: PLC0415

        path, chain, now = installed_root(os.environ), [read_root(file) for file in files], datetime.now(UTC)
        root = install_root(path, chain, now) if initial else update_root(path, chain, now)
        if initial:
            terminal.say("nobody vouches for a first root: compare these keys with what its owner told you, and")
            terminal.say(f"delete {path} if one differs")
        terminal.say(f"installed {path}")
        terminal.result({"root": str(path), **root_json(root)}, "\n".join(root_lines(root)))


@app.command(short_help="Show a root.")
def show(
    file: Annotated[
        Path | None, typer.Argument(metavar="[ROOT.json]", help="The root; your own where none is named.")
    ] = None,
    previous: root_owner.PreviousOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show a root's keys and policy, who signed it, and whether enough did; with --previous, whether it follows."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.sources.trust.roots import installed_root, read_installed, read_root  # noqa: PLC0415 -- as above
        from mlenv.trust.root import last_root, parse_root  # noqa: PLC0415 -- as above

        found = read_root(file) if file else read_installed(installed_root(os.environ))
        root, problem = parse_root(found.data, where=found.name), ""
        try:
            last_root(read_root(previous) if previous else None, [found], datetime.now(UTC))
        except TrustPolicyError as error:
            problem = error.problems[0].message
        good = (
            f"it follows {previous}, and has not expired" if previous else "its own keys signed it; it has not expired"
        )
        lines = [*root_lines(root), f"not to be trusted: {problem}" if problem else good]
        terminal.result({"root": found.name, **root_json(root), "problem": problem}, "\n".join(lines))
