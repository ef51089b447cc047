"""mlenv.toml on the disk."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlenv.errors import ManifestError, MlenvError, UsageError
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_toml import parse_manifest, unpinned_images
from mlenv.sources.whole_file import write_whole

LARGEST = 1 << 20


def load_manifest(
    path: Path, *, allow_unpinned: bool = False, look_up: Callable[[str], Digest] | None = None
) -> EnvironmentManifest:
    """The manifest in a file, or a ManifestError with all that is wrong with it.

    `look_up` tells the digest that an image reference has now. It is asked only where a reference has none, so that
    the error can name it; where it cannot tell, the error does without.
    """
    text = read_manifest_text(path)
    try:
        return parse_manifest(text, filename=str(path), allow_unpinned=allow_unpinned)
    except ManifestError:
        if look_up is None:
            raise
    digests = {}
    for reference in unpinned_images(text):
        with suppress(MlenvError):
            digests[reference] = look_up(reference)
    return parse_manifest(text, filename=str(path), allow_unpinned=allow_unpinned, digests=digests)


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


def create_file(path: Path, text: str) -> None:
    """Write a new file; one that is there already is a UsageError and stays as it is."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        hint = "edit it, or name another file with --manifest"
        raise UsageError("the file is there already", where=str(path), hint=hint) from error


def replace_manifest_text(path: Path, text: str) -> None:
    """Put another text in the place of a manifest's, whole or not at all; its permissions and a link to it stay."""
    target = path.resolve()
    write_whole(target, [text.encode()], mode=target.stat().st_mode & 0o777)
