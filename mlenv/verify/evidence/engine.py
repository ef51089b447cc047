"""Evidence from a Docker engine: what it hands out of an image, all of it, hashed here.

The engine is believed in this much: that it would run what it hands out. A classic store puts a layer together again
from the files that it unpacked, and gives up where one of them was changed, but does not look at files that were
added beside them. A containerd store hands out the compressed layers as they came, and not what it unpacked of them.
Changes in the engine's own folders are found by looking at a container.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from mlenv.errors import Problem, RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.model.progress import SILENT, Progress
from mlenv.model.report import Trusted
from mlenv.model.strict_json import parse_json, shown
from mlenv.oci.archive_layout import ArchiveLayout
from mlenv.oci.disk import is_full
from mlenv.oci.docker_archive import observe_docker_archive
from mlenv.oci.observed import Observation
from mlenv.oci.reference import Target
from mlenv.sources.engine import connected
from mlenv.verify.evidence.image import ImageEvidence, measuring, observe_all

if TYPE_CHECKING:
    from docker import DockerClient

_CHUNK = 1 << 20
_LAST = 8 << 10  # bytes at the end of what an engine sent
_DAMAGED = "the engine's storage may be damaged or changed: remove the image there, and load it again"
_ON_DISK = "/var/tmp"  # noqa: S108 -- /tmp is often in memory, where an image of some gigabytes has no place


def look_at_engine(target: Target, progress: Progress = SILENT) -> ImageEvidence:
    """What the engine of DOCKER_HOST, else of the local socket, has under `docker-daemon:NAME:TAG`.

    Raises UnavailableError where it can't be reached or has no such image, or the disk is full.
    """
    place = str(target)
    with connected() as client, _spool(place) as file:
        identity = _identity(client, target)
        unread = _save(client, identity, file, progress, place)
        if unread is None:
            try:
                observation = _observe(ArchiveLayout(Path(place), file), identity, progress)
                return ImageEvidence(place, observation, Trusted.ENGINE)
            except (RefusedError, UsageError) as error:  # no archive, or no layout in it
                unread = Problem(f"what the engine handed out: {error.problems[0].message}", place, _DAMAGED)
    return ImageEvidence(place, Observation(), Trusted.ENGINE, unread=unread)


def _identity(client: "DockerClient", target: Target) -> Digest:
    """The engine's id of the image, by which it is then asked for: the name may meanwhile be given to another one."""
    import docker  # noqa: PLC0415 -- slow to import

    name = target.reference.familiar if target.reference else ""
    try:
        return Digest.parse(str(client.images.get(name).id))
    except docker.errors.ImageNotFound:
        raise UnavailableError(
            f"the engine has no image {name}", where=str(target), hint="see `docker images`; mlenv build -o loads one"
        ) from None
    except ValueError as error:
        raise UnavailableError(f"the engine's id of the image: {error}", where=str(target)) from None


def _save(client: "DockerClient", identity: Digest, file: IO[bytes], progress: Progress, place: str) -> Problem | None:
    """Write the tar of the image into a file; a Problem where the engine can't put it together."""
    import docker  # noqa: PLC0415 -- slow to import
    import requests  # noqa: PLC0415 -- as above

    task = progress.task(f"Reading {place}")
    try:
        api: Any = client.api  # its stubs leave this method without types
        for chunk in api.get_image(str(identity), chunk_size=_CHUNK):
            file.write(chunk)
            task.advance(len(chunk))
        file.flush()
        failure = _failure_at_end(file)
    except docker.errors.APIError as error:
        failure = str(error.explanation or error)
    except requests.exceptions.ChunkedEncodingError:
        failure = "it ended in the middle"
    finally:
        task.finish()
    return _not_handed_out(failure, place) if failure else None


def _failure_at_end(file: IO[bytes]) -> str:
    """What an engine that had begun to send a tar says at its end, as a line of JSON, when it can't go on."""
    file.seek(max(file.seek(0, os.SEEK_END) - _LAST, 0))
    _, found, line = file.read().rpartition(b'{"errorDetail"')
    if not found:
        return ""
    try:
        return str(parse_json(found + line.strip())["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def _not_handed_out(reason: str, place: str) -> Problem:
    return Problem(f"the engine did not hand the image out: {shown(' '.join(reason.split()), 300)}", place, _DAMAGED)


def _observe(archive: ArchiveLayout, identity: Digest, progress: Progress) -> Observation:
    """The image of that id: in a containerd store that of a manifest or an index, in a classic one of the config."""
    entries = archive.index().manifests if archive.has_file("index.json") else ()
    entry = next((one for one in entries if one.digest == identity), None)
    if entry is None:
        observation = observe_docker_archive(archive, measuring(progress))
        return _checked_identity(observation, identity, archive.path)
    observation = observe_all(archive, entry, progress)
    # Of an index with several platforms an engine has the one that it runs; the index names the others all the same.
    there = tuple(one for one in observation.images if one.manifest is None or one.manifest.digest is not None)
    return replace(observation, images=there or observation.images)


def _checked_identity(observation: Observation, identity: Digest, place: Path) -> Observation:
    config = observation.images[0].config
    if config is None or config.digest == identity:
        return observation
    said = Problem(f"the engine calls the image {identity}, and its config has the digest {config.digest}", str(place))
    return replace(observation, problems=(said,))


@contextmanager
def _spool(place: str) -> Iterator[BinaryIO]:
    """A temporary file without a name; UnavailableError where the disk has no room for what is written to it."""
    folder = os.environ.get("TMPDIR") or (_ON_DISK if os.access(_ON_DISK, os.W_OK) else None)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            yield cast("BinaryIO", file)
    except OSError as error:
        if not is_full(error):
            raise
        raise UnavailableError(
            f"no room for a copy of the image: {error.strerror}",
            where=place,
            hint="make room, or point TMPDIR at a folder on a larger disk",
        ) from None
