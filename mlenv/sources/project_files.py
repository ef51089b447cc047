"""The files of the project that ask for packages, as digests: what a lock must notice when it changes."""

from pathlib import Path

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest


def requirements_digests(manifest: EnvironmentManifest, project: Path) -> tuple[tuple[str, Digest], ...]:
    """(path in the project, digest) of every requirements file and of those that it includes, sorted by path."""
    found: dict[str, Digest] = {}
    for path in manifest.python.requirements:
        _read(project, Path(path), found, named_in="mlenv.toml python.requirements")
    return tuple(sorted(found.items()))


def _read(project: Path, path: Path, found: dict[str, Digest], *, named_in: str) -> None:
    from mlenv.sources.packages.requirements_files import included_files, is_lock_file  # noqa: PLC0415 -- few have any

    if path.as_posix() in found:
        return
    try:
        data = (project / path).read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read: {error.strerror}",
            where=named_in,
            hint="paths are relative to the file that names them",
        ) from None
    found[path.as_posix()] = Digest.of(data)
    if not is_lock_file(path):
        for included in included_files(data.decode("utf-8-sig", "replace")):
            _read(project, path.parent / included, found, named_in=path.as_posix())
