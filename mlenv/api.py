"""The stages as functions with this process's surroundings: what `import mlenv` offers.

Each imports its stage when it is called, so that `import mlenv` and `mlenv --help` stay quick.
"""
# ruff: noqa: PLC0415 -- as the docstring says

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlenv.model.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlenv.build.build import Image
    from mlenv.model.lock import Lock
    from mlenv.model.manifest import EnvironmentManifest
    from mlenv.model.platform import Platform


def load(path: str | Path = "mlenv.toml") -> EnvironmentManifest:
    """Read an environment manifest. Raises ManifestError with everything that is wrong with it."""
    from mlenv.sources.manifest_file import load_manifest

    return load_manifest(Path(path))


def load_lock(path: str | Path = "mlenv.lock") -> Lock:
    """Read a lock. Raises StaleLockError where there is none, LockFormatError where it cannot be read."""
    from mlenv.sources.lock_file import load_lock as read

    return read(Path(path))


def lock(
    manifest: EnvironmentManifest,
    *,
    project: str | Path = ".",
    previous: Lock | None = None,
    upgrade: bool | Collection[str] = False,
    offline: bool = False,
    progress: Progress = SILENT,
) -> Lock:
    """Resolve a manifest to a lock that names the finished image's digest.

    `project` is the folder that relative paths in the manifest start from. The pins and the layer plan of `previous`
    are kept, all but those of the packages in `upgrade`, or none where it is true. `lock.to_toml()` is the text of
    mlenv.lock. Raises ResolutionError, UnavailableError, RefusedError, SignatureError.
    """
    from mlenv.resolve.lock import resolve_lock
    from mlenv.sources.surroundings import Surroundings

    around = Surroundings.of_this_process(Path(project), progress=progress, offline=offline)
    return resolve_lock(manifest, around, previous, upgrade=upgrade)


def build(
    lock: Lock,
    *,
    output: str,
    manifest: EnvironmentManifest | None = None,
    project: str | Path = ".",
    platforms: Sequence[Platform] = (),
    offline: bool = False,
    progress: Progress = SILENT,
) -> Image:
    """Build the locked image to `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE` or `docker-daemon:NAME:TAG`.

    A lock names no place to download from: `manifest` says which indexes and archives to ask besides this machine's
    own. `project` is where the locked file trees lie. Raises DigestMismatchError where anything comes out other than
    locked, StaleLockError where a file tree has changed, UnavailableError, UsageError.
    """
    from mlenv.build.build import build_image
    from mlenv.oci.reference import Output
    from mlenv.sources.surroundings import Surroundings

    around = Surroundings.of_this_process(Path(project), progress=progress, offline=offline)
    return build_image(lock, Output.parse(output), around, manifest=manifest, platforms=platforms)
