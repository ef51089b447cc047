"""`mlenv trust add` and `mlenv trust revoke`: edits of the user's trust policy."""

import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError

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


class Reason(StrEnum):
    """Why a key is revoked."""

    KEY_COMPROMISE = "key-compromise"
    SUPERSEDED = "superseded"


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
            terminal.say(f"{name} is {public.fingerprint}: compare that with what the holder of the key says")
        wider = edited.before.rule(environment) if edited.before else None
        if wider and wider.name != environment:
            terminal.say(f"what matches {environment} is no longer approved by the rule {wider.name}")
        terminal.result({"policy": edited.shown, "changed": edited.changed, "rule": rule_json(rule)}, rule_text(rule))


def revoke(
    name: NameArgument,
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", help="Since when, in UTC, such as 2026-06-01 or 2026-06-01T12:00:00Z."),
    ] = "now",
    reason: Annotated[
        Reason, typer.Option("--reason", metavar="REASON", help="superseded: what it signed before still counts.")
    ] = Reason.KEY_COMPROMISE,
    trust: PolicyOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Revoke a key: it stays in the policy, and what it signed no longer counts."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.trust_summary import key_json  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.policy_writer import edit_policy  # noqa: PLC0415 -- as above
        from mlenv.trust.policy import RevocationReason  # noqa: PLC0415 -- as above
        from mlenv.trust.policy_check import rule_problems  # noqa: PLC0415 -- as above
        from mlenv.trust.policy_edit import revoke_key  # noqa: PLC0415 -- as above

        now = datetime.now(UTC)
        since, why = _moment(at, now), RevocationReason(reason.value)
        edited = edit_policy(
            os.environ, trust, lambda text, filename: revoke_key(text, name, at=since, reason=why, filename=filename)
        )
        key = edited.after.named(name)
        terminal.say(f"wrote {edited.shown}" if edited.changed else f"{name} was revoked already")
        rules = (rule for rule in edited.after.environments if name in rule.approvers)
        problems = [problem for rule in rules for problem in rule_problems(edited.after, rule, now)]
        for problem in problems:
            terminal.say(f"warning: {problem.message}")
            terminal.say(f"  hint: {problem.hint}")
        data = {
            "policy": edited.shown,
            "changed": edited.changed,
            "key": key_json(key),
            "problems": [one.message for one in problems],
        }
        terminal.result(data, f"{name}: revoked since {key.revoked:%Y-%m-%dT%H:%M:%SZ}, {key.revocation_reason}")


def _moment(text: str, now: datetime) -> datetime:
    """A time as people write it; UTC where it does not say otherwise."""
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = datetime.min.replace(tzinfo=UTC)
    if not 1970 <= moment.year <= 9998:
        raise UsageError(f"--at {text[:80]!a} is no time", hint="write it as in 2026-06-01 or 2026-06-01T12:00:00Z")
    return moment
