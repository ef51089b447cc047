"""`mlenv pin`: the digests that images have now, written into mlenv.toml."""

from typing import Annotated

import typer

from mlenv.cli.options import MANIFEST, JsonOption, ManifestOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal


def pin(
    *,
    manifest: ManifestOption = MANIFEST,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", "-U", help="Look up images again that have a tag and a digest already.")
    ] = False,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Write the digest that each image has now behind its name; comments and the rest stay as they are."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.model.manifest_edit import image_references, is_pinned, pin_text  # noqa: PLC0415 -- quick --help
        from mlenv.sources.bases.images import latest_digest  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import read_manifest_text, replace_manifest_text  # noqa: PLC0415 -- as above

        text = read_manifest_text(manifest)
        wanted = [
            reference
            for reference in image_references(text, filename=str(manifest))
            if not is_pinned(reference, upgrade=upgrade)
        ]
        digests = {reference: latest_digest(reference, project=manifest.parent) for reference in wanted}
        pinned = pin_text(text, digests)
        if pinned != text:
            replace_manifest_text(manifest, pinned)
        for reference, digest in digests.items():
            terminal.say(f"{reference} is {digest}")
        terminal.say(f"{'wrote' if pinned != text else 'nothing to change in'} {manifest}")
        terminal.result({"pinned": {reference: str(digest) for reference, digest in digests.items()}})
