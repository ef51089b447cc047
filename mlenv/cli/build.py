"""`mlenv build`: mlenv.lock -> the image."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mlenv.cli.authority import AtSerialOption, TrustOption, require_approval
from mlenv.cli.options import (
    MANIFEST,
    JsonOption,
    LockOption,
    ManifestOption,
    QuietOption,
    VerboseOption,
    lock_path,
)
from mlenv.cli.signer import KeyOption, SignerOption, open_signer
from mlenv.cli.terminal import Terminal
from mlenv.errors import UsageError
from mlenv.model.platform import Platform


def build(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUTPUT",
            help="oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker-daemon:NAME:TAG.",
        ),
    ] = "oci:image",
    manifest: ManifestOption = MANIFEST,
    lock_file: LockOption = None,
    platform: Annotated[
        list[Platform] | None,
        typer.Option(
            "--platform",
            metavar="PLATFORM",
            help="Build this one of the locked platforms, linux/amd64 say; repeatable.",
        ),
    ] = None,
    trust: TrustOption = None,
    at_serial: AtSerialOption = None,
    provenance: Annotated[
        Path | None,
        typer.Option("--provenance", metavar="FILE", help="Write signed SLSA provenance of the image there."),
    ] = None,
    key: KeyOption = None,
    signer_command: SignerOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache only.")] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Build exactly the image that mlenv.lock names, without Docker and without running anything."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from importlib.metadata import version  # noqa: PLC0415 -- keeps `mlenv --help` quick

        from mlenv.build.build import build_image  # noqa: PLC0415 -- as above
        from mlenv.oci.reference import Output  # noqa: PLC0415 -- as above
        from mlenv.resolve.freshness import require_fresh  # noqa: PLC0415 -- as above
        from mlenv.signing.provenance import Build, check_place, write_provenance  # noqa: PLC0415 -- as above
        from mlenv.sources.lock_file import parse_lock, read_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import load_manifest  # noqa: PLC0415 -- as above
        from mlenv.sources.surroundings import Surroundings  # noqa: PLC0415 -- as above

        if provenance is None and (key or signer_command):
            raise UsageError("an image is not signed, its provenance is", hint="name its file: --provenance FILE")
        target = Output.parse(output)
        path = lock_path(manifest, lock_file)
        if provenance is not None:
            check_place(provenance, path)
        environment = load_manifest(manifest)
        data = read_lock(path)
        locked = parse_lock(data, path)
        require_approval(terminal, path, data, locked, trust=trust, at_serial=at_serial)
        require_fresh(locked, environment, manifest.parent)
        around = Surroundings.of_this_process(manifest.parent, progress=terminal.progress, offline=offline)
        # The key is opened first: who has to be asked for its passphrase is not asked after the build.
        signer = open_signer(terminal, key, signer_command) if provenance else None
        started = datetime.now(UTC)
        image = build_image(locked, target, around, manifest=environment, platforms=platform or ())
        terminal.say(f"built {image.name} for {', '.join(image.platforms)} to {image.output}")
        if provenance is not None and signer is not None:
            made = Build(image.digest, image.platforms, started, datetime.now(UTC), version("mlenv"))
            write_provenance(provenance, locked, data, made, signer)
            terminal.say(f"its provenance is in {provenance}")
        terminal.result(
            {
                "image": str(image.digest),
                "name": image.name,
                "platforms": list(image.platforms),
                "output": image.output,
                **({"provenance": str(provenance)} if provenance else {}),
            },
            str(image.digest),
        )
