"""`mlenv trust revoke`: a key that no longer counts."""

import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.cli.trust_add import NameArgument, PolicyOption
from mlenv.errors import UsageError


class Reason(StrEnum):
    """Why a key is revoked."""

    KEY_COMPROMISE = "key-compromise"
    SUPERSEDED = "superseded"


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
        terminal.result(data, f"{name}: revoked since {key_json(key)['revoked']}, {key.revocation_reason}")


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
