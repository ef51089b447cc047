"""`mlenv init`: a first mlenv.toml."""

import json
from typing import Annotated

import typer

from mlenv.cli.options import MANIFEST, JsonOption, ManifestOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal


def init(
    *,
    manifest: ManifestOption = MANIFEST,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The environment's name; by default that of the folder.")
    ] = "",
    with_schema: Annotated[
        bool, typer.Option("--schema/--no-schema", help="Also write the JSON Schema, for editors.")
    ] = True,
    json_: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Write a small mlenv.toml with comments. A file that is there already stays as it is."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.model.manifest_schema import manifest_schema  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.model.manifest_starter import SCHEMA_FILE, starter_text  # noqa: PLC0415 -- as above
        from mlenv.sources.manifest_file import create_file  # noqa: PLC0415 -- as above

        beside = manifest.with_name(SCHEMA_FILE)
        create_file(manifest, starter_text(name or manifest.resolve().parent.name, schema=with_schema))
        written = [manifest]
        if with_schema and not beside.exists():
            create_file(beside, json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n")
            written.append(beside)
        for path in written:
            terminal.say(f"wrote {path}")
        terminal.say("next: name your packages in it, then run `mlenv lock` and `mlenv build`")
        terminal.result({"written": [str(path) for path in written]})
