"""mlenv.toml, read from the disk."""

from collections.abc import Mapping
from pathlib import Path

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_toml import parse_manifest

LARGEST = 1 << 20


def read_manifest_text(path: Path) -> str:
    """The text of a manifest: at most 1 MiB of UTF-8, or a ManifestError."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        hint = "run `mlenv init` to write one, or name another with --manifest"
        raise ManifestError("there is no such file", where=str(path), hint=hint) from error
    except OSError as error:
        hint = "name a file that you can read with --manifest"
        raise ManifestError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    if len(data) > LARGEST:
        raise ManifestError("larger than 1 MiB", where=str(path), hint="is it an mlenv.toml at all?")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ManifestError("not UTF-8", where=f"{path}:{line}", hint="save the file as UTF-8") from error


def load_manifest(
    path: Path, *, allow_unpinned: bool = False, digests: Mapping[str, Digest] | None = None
) -> EnvironmentManifest:
    """The manifest in a file; the arguments are those of `parse_manifest`."""
    return parse_manifest(read_manifest_text(path), filename=str(path), allow_unpinned=allow_unpinned, digests=digests)
