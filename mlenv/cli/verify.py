"""`mlenv verify`: who approved a lock, and whether a thing is what it says."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.authority import AtSerialOption, TrustOption, find_authority
from mlenv.cli.options import MANIFEST, JsonOption, LockOption, ManifestOption, QuietOption, VerboseOption, lock_path
from mlenv.cli.terminal import Terminal
from mlenv.errors import TrustPolicyError, UsageError

if TYPE_CHECKING:
    from mlenv.verify.verify import Authority


def verify(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="lock: the signatures alone. oci:DIR[:TAG], oci-archive:FILE, docker-daemon:NAME:TAG: that image too.",
        ),
    ] = "lock",
    manifest: ManifestOption = MANIFEST,
    lock_file: LockOption = None,
    trust: TrustOption = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Trust this public key, and no policy; repeatable."),
    ] = None,
    threshold: Annotated[
        int | None, typer.Option("--threshold", metavar="N", help="How many of the --key have to have signed.")
    ] = None,
    at_serial: AtSerialOption = None,
    provenance: Annotated[
        Path | None,
        typer.Option("--provenance", metavar="FILE", help="The image's provenance, by a builder of the policy."),
    ] = None,
    no_signature: Annotated[
        bool, typer.Option("--no-signature", help="Compare with the lock without asking who approved it.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Say, with evidence, whether a lock is approved, and whether an image is exactly what it names.

    Exits with 0 when every check passed, 1 where something differs, 3 where the lock is not approved by whom you
    trust, 4 where something could not be verified.
    """
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.report.json import render_json  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.report.text import render_text  # noqa: PLC0415 -- as above
        from mlenv.sources.lock_file import read_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.bundles import read_bundle  # noqa: PLC0415 -- as above
        from mlenv.verify.provenance import with_provenance  # noqa: PLC0415 -- as above
        from mlenv.verify.target import looking_at  # noqa: PLC0415 -- as above
        from mlenv.verify.verify import judge_lock_file, report_on  # noqa: PLC0415 -- as above

        path = lock_path(manifest, lock_file)
        look = None if target == "lock" else looking_at(target, terminal.progress)
        if provenance and (look is None or no_signature):
            raise UsageError(
                "--provenance is about an image, and its signature is judged by a policy",
                hint="name an image to verify, and leave out --no-signature",
            )
        data = read_lock(path)
        authority = None
        if not no_signature:
            authority = _required(
                path, find_authority(path, trust=trust, keys=key or (), threshold=threshold, at_serial=at_serial)
            )
            if provenance and look:
                look = with_provenance(look, read_bundle(provenance), data, authority.trust.policy, authority.now)
        elif key or trust or threshold is not None or at_serial is not None:
            raise UsageError("--no-signature asks nobody", hint="leave out --trust, --key, --threshold and --at-serial")
        judgement = judge_lock_file(path, data, authority) if authority else None
        policy = authority.trust.shown if authority else ""
        report = report_on(data, judgement, name=str(path), target=target, policy=policy, look=look)
        if terminal.json:
            terminal.write(render_json(report), status=report.exit_status)
        elif not (quiet and report.ok):
            width = shutil.get_terminal_size((100, 24)).columns
            terminal.write(render_text(report, width=width, color=terminal.color), status=report.exit_status)
        raise typer.Exit(report.exit_status)


def _required(lock: Path, authority: "Authority | None") -> "Authority":
    if authority is None:
        raise TrustPolicyError(
            "there is no trust policy: nobody has said whose signature counts",
            where=str(lock),
            hint="name keys with --key release.pub, or write a policy with `mlenv trust add NAME --key FILE`",
        )
    return authority
