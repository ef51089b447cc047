"""uv.lock, read by uv itself: the format is uv's own, so `uv export` turns it into a pylock.toml."""

from collections.abc import Mapping
from pathlib import Path

from mlenv.errors import ManifestError
from mlenv.sources.packages.uv import run_uv
from mlenv.sources.packages.uv_messages import condensed


def export(path: Path, environ: Mapping[str, str], *, offline: bool = False) -> str:
    """The text of the pylock.toml. Needs the pyproject.toml beside it; changes neither, asks no index.

    Development groups and the project itself stay out: an image holds what the project needs to run, and its own code
    comes by [[files]] or as a wheel.
    """
    outcome = run_uv(
        [
            *("export", "--quiet", "--frozen", "--no-header", "--format", "pylock.toml"),
            *("--no-emit-workspace", "--no-default-groups", "--no-python-downloads", *(["--offline"] * offline)),
        ],
        folder=path.parent,
        environ=environ,
    )
    if not outcome.ok:
        raise ManifestError(
            f"uv cannot read it: {condensed(outcome.messages)[0]}",
            where=str(path),
            hint="keep pyproject.toml beside uv.lock, and run `uv lock` there",
        )
    return outcome.output
