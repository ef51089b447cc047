"""A built image -> its signed SLSA provenance, a Sigstore bundle in a file of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from mlenv.errors import UsageError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedBase, LockedPlatform
from mlenv.model.moments import rfc3339
from mlenv.model.platform import Platform
from mlenv.oci.reference import Reference
from mlenv.sources.trust.bundles import is_bundle_of
from mlenv.sources.whole_file import write_whole
from mlenv.trust.bundle import Bundle
from mlenv.trust.keys import Signer
from mlenv.trust.slsa import Dependency, Provenance
from mlenv.trust.statement import LOCK_SUBJECT, Subject

_IN_LAYOUT: Final = "oci:"


@dataclass(frozen=True, slots=True)
class Build:
    """A build that is over. `digest` is that of the image or of its index, `tool` the version of mlenv.

    `started` and `finished` are the clock's; fractions of a second are cut off.
    """

    digest: Digest
    platforms: tuple[Platform, ...]
    started: datetime
    finished: datetime
    tool: str


def provenance(lock: Lock, data: bytes, build: Build) -> Provenance:
    """What the build made of the lock, whose raw bytes are `data`.

    An index that holds some of the locked platforms only is not one that the lock names, but it is what was built.
    """
    built = [one for one in lock.platforms if one.platform in build.platforms]
    images = [Subject(f"image/{one.platform}", one.image.manifest) for one in built]
    index = [] if build.digest in {one.digest for one in images} else [Subject("image", build.digest)]
    return Provenance(
        subjects=(*index, *images),
        environment=lock.environment.name,
        version=lock.environment.version,
        platforms=tuple(str(one.platform) for one in built),
        recipe=lock.recipe,
        dependencies=(Dependency(LOCK_SUBJECT, Digest.of(data)), *_bases(built)),
        started=_whole_seconds(build.started),
        finished=_whole_seconds(build.finished),
        tool=build.tool,
    )


def check_place(path: Path, lock_path: Path) -> None:
    """Refuse, before a long build, a file that could not or must not be written after it. UsageError."""
    place = path.absolute()
    if place.is_dir() or not place.parent.is_dir():
        raise UsageError("no place for provenance", where=str(path), hint="name a file in a folder that exists")
    beside = place.parent.resolve() == lock_path.absolute().parent.resolve()
    if beside and (place.name == lock_path.name or is_bundle_of(lock_path.name, place.name)):
        raise UsageError(
            "the lock and its signatures have this name", where=str(path), hint="name another file: provenance.json"
        )


def write_provenance(path: Path, lock: Lock, data: bytes, build: Build, signer: Signer) -> None:
    """Sign the provenance of a build and write it, whole or not at all. SigningKeyError, UnavailableError."""
    write_whole(path, [Bundle.sign(provenance(lock, data, build).to_bytes(), signer).to_bytes()])


def _bases(platforms: Sequence[LockedPlatform]) -> Iterator[Dependency]:
    for one in platforms:
        yield from (_image_base if one.base.kind == "image" else _debian_base)(one)


def _image_base(platform: LockedPlatform) -> Iterator[Dependency]:
    """The manifest that was chosen for the platform, under a package URL if it came from a registry."""
    base = platform.base
    if base.manifest is not None:
        url = _package_url(base, platform.platform, base.manifest)
        yield Dependency(f"base/{platform.platform}", base.manifest, url)


def _debian_base(platform: LockedPlatform) -> Iterator[Dependency]:
    """The layer that the build itself made of Debian packages: the lock names each of them with its digest."""
    said = {"suite": platform.base.suite or ""}
    if platform.base.snapshot is not None:
        said["snapshot"] = rfc3339(platform.base.snapshot)
    for layer in platform.layers:
        if layer.kind == "debian":
            yield Dependency(f"base/{platform.platform}", layer.digest, annotations=said)


def _package_url(base: LockedBase, platform: Platform, manifest: Digest) -> str:
    """`pkg:oci/NAME@DIGEST?arch=…&repository_url=…&tag=…` (purl-spec, type `oci`); empty for a layout in a folder."""
    reference = base.reference or ""
    if reference.startswith(_IN_LAYOUT):
        return ""
    named = Reference.parse(reference)
    qualifiers = {"arch": str(platform).partition("/")[2], "repository_url": named.name}
    if named.tag:
        qualifiers["tag"] = named.tag
    name = named.repository.rpartition("/")[2]
    return f"pkg:oci/{name}@{manifest}?{urlencode(qualifiers, safe='/:', quote_via=quote)}"


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
