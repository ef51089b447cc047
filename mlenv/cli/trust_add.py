"""`mlenv trust add`: a key more in the user's trust policy."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal

PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="FILE", help="The policy; by default MLENV_TRUST, else that of your configuration."
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the policy calls the key, such as alice.")]


class Role(StrEnum):
    """What a key is trusted to sign."""

    APPROVER = "approver"
    BUILDER = "builder"


def add(
    name: NameArgument,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The public key.")],
    environment: Annotated[
        str, typer.Option("--environment", metavar="PATTERN", help="For which environments; * and ? are wildcards.")
    ] = "*",
    role: Annotated[
        Role, typer.Option("--role", metavar="ROLE", help="approver (of locks) or builder (of images).")
    ] = Role.APPROVER,
    threshold: Annotated[
        int | None, typer.Option("--threshold", metavar="N", help="How many approvers must sign from now on.")
    ] = None,
    trust: PolicyOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Trust a key to approve the environments whose names match a pattern; the policy is made where there is none."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.trust_summary import rule_json, rule_text  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.sources.trust.policies import read_public_key  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.policy_writer import edit_policy  # noqa: PLC0415 -- as above
        from mlenv.trust.policy_edit import FIRST_TEXT, add_key  # noqa: PLC0415 -- as above

        public = read_public_key(key)

        def edit(text: str, filename: str) -> str:
            return add_key(
                text,
                name,
                public,
                pattern=environment,
                role="builder" if role is Role.BUILDER else "approver",
                threshold=threshold,
                filename=filename,
            )

        edited = edit_policy(os.environ, trust, edit, first=FIRST_TEXT)
        rule = next(one for one in edited.after.environments if one.name == environment)
        terminal.say(f"{'wrote' if edited.changed else 'nothing to change in'} {edited.shown}")
        if edited.before is None or edited.before.key(public.hint) is None:
            terminal.say(f"{name} is {public.fingerprint}")
            terminal.say("compare that with what the holder of the key says")
        wider = edited.before.rule(environment) if edited.before else None
        if wider and wider.name != environment:
            terminal.say(f"what matches {environment} is no longer approved by the rule {wider.name}")
        terminal.result({"policy": edited.shown, "changed": edited.changed, "rule": rule_json(rule)}, rule_text(rule))
