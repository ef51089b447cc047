"""`mlenv lock`: mlenv.toml -> mlenv.lock."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlenv.cli.options import (
    MANIFEST,
    JsonOption,
    LockOption,
    ManifestOption,
    QuietOption,
    VerboseOption,
    lock_path,
)
from mlenv.cli.sign import sign_file, signature_summary
from mlenv.cli.signer import KeyOption, SignerOption, open_signer
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError

if TYPE_CHECKING:
    from mlenv.model.digest import Digest
    from mlenv.model.lock import Lock


def lock(
    manifest: ManifestOption = MANIFEST,
    lock_file: LockOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where the lock is stale or missing.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", "-U", help="Let go of every pin and of the plan.")] = False,
    upgrade_package: Annotated[
        list[str] | None, typer.Option("--upgrade-package", "-P", metavar="NAME", help="Let go of one pin.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache only.")] = False,
    key: KeyOption = None,
    signer_command: SignerOption = None,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Resolve mlenv.toml to mlenv.lock, which names every digest, that of the finished image included."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.model.lock_changes import package_changes  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.resolve.freshness import require_fresh  # noqa: PLC0415 -- as above
        from mlenv.resolve.lock import resolve_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.lock_file import load_lock, write_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import load_manifest  # noqa: PLC0415 -- as above
        from mlenv.sources.surroundings import Surroundings  # noqa: PLC0415 -- as above
        from mlenv.sources.trust.bundles import read_bundles  # noqa: PLC0415 -- as above

        signing = key is not None or signer_command is not None
        if check and signing:
            raise UsageError("--check writes nothing, and so signs nothing", hint="leave out --check, or --key")
        path = lock_path(manifest, lock_file)
        unpinned = None if check or offline else partial(_latest_digest, project=manifest.parent)
        environment = load_manifest(manifest, look_up=unpinned)
        if check:
            found = load_lock(path)
            require_fresh(found, environment, manifest.parent)
            terminal.result(_summary(found), f"{path} is fresh: {found.image_digest}")
            return
        signer = open_signer(terminal, key, signer_command) if signing else None  # before the long work, not after it
        around = Surroundings.of_this_process(manifest.parent, progress=terminal.progress, offline=offline)
        previous = load_lock(path) if path.exists() else None
        made = resolve_lock(environment, around, previous, upgrade=upgrade or tuple(upgrade_package or ()))
        changed = write_lock(path, made)
        for platform in made.platforms:
            if previous is not None or terminal.verbose:
                for line in package_changes(previous.of(platform.platform) if previous else None, platform):
                    terminal.say(f"  {line}")
            terminal.say(
                f"{platform.platform}: {len(platform.wheels)} wheels, {len(platform.debs)} Debian packages, "
                f"{len(platform.base.layers) + len(platform.layers)} layers, {platform.image.size / 1e6:.1f} MB"
            )
        terminal.say(f"{'wrote' if changed else 'nothing changed in'} {path}")
        if changed and not signer and read_bundles(path):
            terminal.say("the signatures beside it are of the lock that was: have it signed again with `mlenv sign`")
        signed = sign_file(terminal, path, made.to_toml().encode(), made, signer) if signer else None
        terminal.result(
            _summary(made) | ({"signature": signature_summary(signed)} if signed else {}), str(made.image_digest)
        )


def _latest_digest(reference: str, *, project: Path) -> "Digest":
    from mlenv.sources.bases.images import latest_digest  # noqa: PLC0415 -- only where a reference has no digest

    return latest_digest(reference, project=project)


def _summary(lock: "Lock") -> dict[str, object]:
    return {
        "image": str(lock.image_digest),
        "platforms": {
            one.platform: {"manifest": str(one.image.manifest), "config": str(one.image.config), "size": one.image.size}
            for one in lock.platforms
        },
    }
