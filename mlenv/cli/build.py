"""`mlenv build`: mlenv.lock -> the image."""

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
from mlenv.cli.terminal import Terminal
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
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache only.")] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Build exactly the image that mlenv.lock names, without Docker and without running anything."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.build.build import build_image  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.oci.reference import Output  # noqa: PLC0415 -- as above
        from mlenv.resolve.freshness import require_fresh  # noqa: PLC0415 -- as above
        from mlenv.sources.lock_file import parse_lock, read_lock  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import load_manifest  # noqa: PLC0415 -- as above
        from mlenv.sources.surroundings import Surroundings  # noqa: PLC0415 -- as above

        target = Output.parse(output)
        environment = load_manifest(manifest)
        path = lock_path(manifest, lock_file)
        data = read_lock(path)
        locked = parse_lock(data, path)
        require_approval(terminal, path, data, locked, trust=trust, at_serial=at_serial)
        require_fresh(locked, environment, manifest.parent)
        around = Surroundings.of_this_process(manifest.parent, progress=terminal.progress, offline=offline)
        image = build_image(locked, target, around, manifest=environment, platforms=platform or ())
        terminal.say(f"built {image.name} for {', '.join(image.platforms)} to {image.output}")
        terminal.result(
            {
                "image": str(image.digest),
                "name": image.name,
                "platforms": list(image.platforms),
                "output": image.output,
            },
            str(image.digest),
        )
