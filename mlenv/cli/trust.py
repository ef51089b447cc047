"""`mlenv trust`: whose approval of a lock counts."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli import trust_add, trust_revoke, trust_root
from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal
from mlenv.cli.trust_add import PolicyOption
from mlenv.errors import TrustPolicyError

if TYPE_CHECKING:
    from mlenv.sources.trust.policies import Trust

app = typer.Typer(help="Say whose approval of a lock counts, and see what you said.", no_args_is_help=True)
app.command("add", short_help="Trust a key.")(trust_add.add)
app.command("revoke", short_help="No longer trust a key.")(trust_revoke.revoke)
app.add_typer(trust_root.app, name="root", short_help="Make, sign or follow a signed policy.")


@app.command("list", short_help="Show the keys and rules of the policy.")
def show(
    trust: PolicyOption = None, *, json: JsonOption = False, quiet: QuietOption = False, verbose: VerboseOption = 0
) -> None:
    """Show the keys, the rules in the order in which they are tried, and the highest serials accepted so far."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.trust_summary import policy_json, policy_text  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.serials import Serials  # noqa: PLC0415 -- as above

        found = _policy(trust)
        marks = Serials.of(os.environ).marks(found.source)
        data = {"path": str(found.path), "root": found.root, **policy_json(found.policy, marks)}
        signed = " (a signed root)" if found.root else ""
        terminal.result(data, f"{found.shown}{signed}\n\n{policy_text(found.policy, marks)}")


@app.command(short_help="Say whether the policy can be fulfilled.")
def check(
    environment: Annotated[
        str | None, typer.Argument(metavar="ENVIRONMENT", help="The name of one environment.")
    ] = None,
    trust: PolicyOption = None,
    *,
    json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Say whether every rule, or that of one environment, can be fulfilled by keys that are valid now."""
    with Terminal(json=json, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.cli.trust_summary import rule_json, rule_text  # noqa: PLC0415 -- as above
        from mlenv.trust.policy_check import policy_problems  # noqa: PLC0415 -- as above

        found = _policy(trust)
        problems = policy_problems(found.policy, datetime.now(UTC), environment, where=found.shown)
        if problems:
            raise TrustPolicyError(problems=problems)
        rule = found.policy.rule(environment) if environment is not None else None
        rules = [rule] if rule else found.policy.environments
        data = {"path": str(found.path), "environments": [rule_json(one) for one in rules]}
        terminal.result(data, "\n".join(map(rule_text, rules)))


def _policy(trust: Path | None) -> "Trust":
    """The policy that would judge the lock in this folder; where there is none, the user's own."""
    from mlenv.sources.trust.policies import find_trust, own_trust, read_trust  # noqa: PLC0415 -- as above
    from mlenv.sources.trust.policy_writer import no_policy  # noqa: PLC0415 -- as above

    if trust is not None:
        return read_trust(trust)
    lock = Path("mlenv.lock")
    found = find_trust(os.environ, lock) if lock.exists() else own_trust(os.environ)
    if found is None:
        raise no_policy()
    return found
