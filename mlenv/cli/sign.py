"""`mlenv sign`: approve a lock."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.authority import TrustOption
from mlenv.cli.durations import parse_expires
from mlenv.cli.options import MANIFEST, JsonOption, LockOption, ManifestOption, QuietOption, VerboseOption, lock_path
from mlenv.cli.signer import KeyOption, SignerOption, open_signer
from mlenv.cli.terminal import Terminal
from mlenv.model.moments import rfc3339

if TYPE_CHECKING:
    from mlenv.model.lock import Lock
    from mlenv.signing.sign import Signed
    from mlenv.trust.keys import Signer
    from mlenv.trust.statement import LockStatement


def sign(
    key: KeyOption = None,
    signer_command: SignerOption = None,
    as_: Annotated[
        str,
        typer.Option("--as", metavar="NAME", help="Your name among several signers; part of the file's name."),
    ] = "",
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DURATION", help="How long the approval holds: 365d where left out."),
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option("--serial", metavar="N", min=1, help="The approval's number; the last one plus 1 where left out."),
    ] = None,
    trust: TrustOption = None,
    manifest: ManifestOption = MANIFEST,
    lock_file: LockOption = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Sign a fresh lock. Whoever signs it after you signs the same statement; --expires or --serial begins another."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.resolve.freshness import require_fresh  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.sources.lock_file import parse_lock, read_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import load_manifest  # noqa: PLC0415 -- as above

        path = lock_path(manifest, lock_file)
        data = read_lock(path)
        lock = parse_lock(data, path)
        require_fresh(lock, load_manifest(manifest), manifest.parent)
        signer = open_signer(terminal, key, signer_command)
        signed = sign_file(terminal, path, data, lock, signer, name=as_, expires=expires, serial=serial, trust=trust)
        terminal.result(signature_summary(signed), str(signed.path))


def sign_file(
    terminal: Terminal,
    path: Path,
    data: bytes,
    lock: "Lock",
    signer: "Signer",
    *,
    name: str = "",
    expires: str | None = None,
    serial: int | None = None,
    trust: Path | None = None,
) -> "Signed":
    """Sign a lock that is known to be fresh, and say what was signed."""
    from mlenv.signing.sign import Terms, sign_lock  # noqa: PLC0415 -- as above
    from mlenv.sources.trust.policies import find_trust  # noqa: PLC0415 -- as above
    from mlenv.sources.trust.serials import Serials  # noqa: PLC0415 -- as above

    now = datetime.now(UTC)
    found = find_trust(os.environ, path, now=now, trust=trust)
    mark = Serials.of(os.environ).marks(found.source).get(lock.environment.name) if found else None
    signed = sign_lock(
        path,
        data,
        lock,
        signer,
        now=now,
        name=name,
        terms=Terms(parse_expires(expires) if expires is not None else None, serial),
        policy=found.policy if found else None,
        seen=mark.serial if mark else 0,
        announce=lambda statement: _announce(terminal, statement),
    )
    _tell(terminal, signed)
    doubts = found.policy.doubts(lock.environment.name, signer.public_key, now) if found else ""
    if found and doubts:
        terminal.say(f"warning: by {found.shown} this signature does not count: {doubts}")
    return signed


def signature_summary(signed: "Signed") -> dict[str, object]:
    """A signature as JSON."""
    said = signed.statement
    return {
        "bundle": str(signed.path),
        "environment": said.environment,
        "serial": said.serial,
        "issued": rfc3339(said.issued_at),
        "expires": rfc3339(said.expires),
        "subjects": {one.name: str(one.digest) for one in said.subjects},
        "with": list(signed.joined),
        "outdated": list(signed.outdated),
    }


def _announce(terminal: Terminal, said: "LockStatement") -> None:
    """What is signed, before it is."""
    terminal.say(f"signing {said.environment}, serial {said.serial}, until {said.expires:%Y-%m-%d %H:%M} UTC")
    for one in said.subjects:
        terminal.say(f"  {one.name}  {one.digest}")


def _tell(terminal: Terminal, signed: "Signed") -> None:
    said = signed.statement
    if signed.changed:
        terminal.say(f"signed: {signed.path}")
    else:
        until = f"until {said.expires:%Y-%m-%d %H:%M} UTC"
        terminal.say(f"signed already: {said.environment}, serial {said.serial}, {until}")
    for name in signed.joined:
        terminal.say(f"the same statement as {name}")
    for name in signed.outdated:
        terminal.say(f"{name} says something else: who made it has to sign again")
