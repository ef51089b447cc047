"""`mlenv schema`: the JSON Schemas of mlenv.toml, mlenv.lock, trust.toml and of reports."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from mlenv.cli.options import JsonOption, QuietOption, VerboseOption
from mlenv.cli.terminal import Terminal


class SchemaOf(StrEnum):
    """The files that have a schema."""

    MANIFEST = "manifest"
    LOCK = "lock"
    REPORT = "report"
    TRUST = "trust"


def schema(
    *,
    file: Annotated[SchemaOf, typer.Argument(help="The file whose schema is wanted.")] = SchemaOf.MANIFEST,
    json_: JsonOption = True,
    quiet: QuietOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Print a JSON Schema, by which editors complete and check the file. A schema is JSON, with or without --json."""
    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        from mlenv.model.lock_schema import lock_schema  # noqa: PLC0415 -- keeps `mlenv --help` quick
        from mlenv.model.manifest_schema import manifest_schema  # noqa: PLC0415 -- as above
        from mlenv.model.report_schema import report_schema  # noqa: PLC0415 -- as above
        from mlenv.trust.policy_schema import trust_schema  # noqa: PLC0415 -- as above

        schemas = {
            SchemaOf.MANIFEST: manifest_schema,
            SchemaOf.LOCK: lock_schema,
            SchemaOf.REPORT: report_schema,
            SchemaOf.TRUST: trust_schema,
        }
        terminal.write(json.dumps(schemas[file](), indent=2, ensure_ascii=False))  # as init writes it
