"""Whom the command line trusts: the options that say so, declared once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.terminal import Terminal
from mlenv.errors import Problem, SignatureError
from mlenv.model.report import Status

if TYPE_CHECKING:
    from mlenv.model.lock import Lock
    from mlenv.verify.verify import Authority

TrustOption = Annotated[
    Path | None,
    typer.Option("--trust", metavar="FILE", help="The trust policy; by default your own (`mlenv trust list`)."),
]
AtSerialOption = Annotated[
    int | None,
    typer.Option("--at-serial", metavar="N", min=1, help="Accept this old serial: you look at an old lock on purpose."),
]


def find_authority(
    lock: Path,
    *,
    trust: Path | None,
    keys: Sequence[Path] = (),
    threshold: int | None = None,
    at_serial: int | None = None,
) -> "Authority | None":
    """By what to judge the lock; None where there is no policy. TrustPolicyError, SigningKeyError, UsageError."""
    import os  # noqa: PLC0415 -- as the others, so that `mlenv --help` stays quick
    from datetime import UTC, datetime  # noqa: PLC0415 -- as above

    from mlenv.sources.trust.policies import find_trust  # noqa: PLC0415 -- as above
    from mlenv.sources.trust.serials import Serials  # noqa: PLC0415 -- as above
    from mlenv.verify.verify import Authority  # noqa: PLC0415 -- as above

    now = datetime.now(UTC)
    found = find_trust(os.environ, lock, now=now, trust=trust, keys=keys, threshold=threshold)
    return Authority(found, Serials.of(os.environ), now, at_serial) if found else None


def require_approval(
    terminal: Terminal, path: Path, data: bytes, lock: "Lock", *, trust: Path | None, at_serial: int | None
) -> None:
    """Refuse a lock that a policy covers and does not approve; SignatureError. Say so where no policy covers it."""
    from mlenv.sources.trust.bundles import read_bundles  # noqa: PLC0415 -- as above
    from mlenv.verify.verify import judge_lock_file  # noqa: PLC0415 -- as above

    authority = find_authority(path, trust=trust, at_serial=at_serial)
    covered = authority is not None and authority.trust.policy.rule(lock.environment.name) is not None
    if authority is None or not (covered or trust):  # whoever names a policy wants to be refused what it does not know
        reason = "no trust policy covers it" if authority is None else f"{authority.trust.shown} does not cover it"
        if read_bundles(path):
            terminal.say(f"warning: the signatures of {path} were not checked: {reason}")
        else:
            terminal.say(f"warning: {path} is not signed, and {reason}: anybody may have written it")
        return
    judgement = judge_lock_file(path, data, authority)
    for finding in judgement.findings:
        if finding.check == "trust.mark":
            where = f"{finding.source}: " if finding.source else ""
            terminal.say(f"warning: {where}{finding.message}")
            terminal.say(f"  hint: {finding.hint}")
    if judgement.approval is None:
        hint = f"the policy is {authority.trust.shown}; `mlenv verify lock` shows every check"
        raise SignatureError(
            problems=[
                Problem(one.message, one.source, one.hint or hint)
                for one in judgement.findings
                if one.status is Status.FAIL
            ]
        )
    terminal.say(f"{path} is approved by {', '.join(key.name for key in judgement.approval.signers)}")
