"""The files of the project that ask for packages, as digests: what a lock must notice when it changes."""

from pathlib import Path

from mlenv.errors import ManifestError
from mlenv.model.digest import Digest
from mlenv.model.manifest import EnvironmentManifest


def requirements_digests(manifest: EnvironmentManifest, project: Path) -> tuple[tuple[str, Digest], ...]:
    """(path in the project, digest) of every requirements file and of those that it includes, sorted by path."""
    found: dict[str, Digest] = {}
    seen: set[Path] = set()
    for path in manifest.python.requirements:
        _read(project, Path(path), found, seen, named_in="mlenv.toml python.requirements")
    return tuple(sorted(found.items()))


def _read(project: Path, path: Path, found: dict[str, Digest], seen: set[Path], *, named_in: str) -> None:
    from mlenv.sources.packages.requirements_files import included_files, is_lock_file  # noqa: PLC0415 -- few have any

    if (project / path).resolve() in seen:  # by whatever name: two files may include one another through `..`
        return
    seen.add((project / path).resolve())
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
            _read(project, path.parent / included, found, seen, named_in=path.as_posix())
