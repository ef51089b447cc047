"""The options that every command has, declared once."""

from pathlib import Path
from typing import Annotated

import typer

ManifestOption = Annotated[
    Path, typer.Option("--manifest", metavar="FILE", help="The environment manifest.", show_default=True)
]
LockOption = Annotated[
    Path | None,
    typer.Option("--lock", metavar="FILE", help="The lockfile; by default mlenv.lock beside the manifest."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
VerboseOption = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, help="Say more; twice adds tracebacks.", show_default=False),
]

MANIFEST = Path("mlenv.toml")


def lock_path(manifest: Path, lock: Path | None) -> Path:
    """Where the lock lies: where the user says, else beside the manifest."""
    return lock if lock is not None else manifest.with_name("mlenv.lock")
