"""Lock -> image, in an OCI layout: layers, config and manifest, each of exactly the locked digest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlenv.build.layers import UNLIKE_LOCK, BaseCopy, LayerWork, make_layers
from mlenv.errors import DigestMismatchError, UsageError
from mlenv.layers.image import INDEX_TYPE, MANIFEST_TYPE, image_bytes, index_bytes
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock, LockedPlatform
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.platform import Platform
from mlenv.model.tags import PythonTarget
from mlenv.oci.descriptor import Descriptor, ImagePlatform
from mlenv.oci.layout_writer import LayoutWriter
from mlenv.sources.contents import Contents
from mlenv.sources.debian.request import DebianRequest
from mlenv.sources.locked import fetch_locked_debs, fetch_locked_wheels
from mlenv.sources.packages.uv_project import PackageRequest
from mlenv.sources.requested import debian_request, package_request
from mlenv.sources.surroundings import Surroundings

if TYPE_CHECKING:
    from mlenv.sources.bases.images import BaseImage


@dataclass(frozen=True, slots=True)
class Places:
    """Where locked things may be looked for: what the manifest says of it, or this machine's configuration."""

    manifest: EnvironmentManifest | None
    around: Surroundings

    def packages(self) -> PackageRequest:
        """The indexes and folders for wheels."""
        return package_request(self.manifest, self.around) if self.manifest else PackageRequest()

    def debian(self, platform: LockedPlatform) -> DebianRequest:
        """The archives for Debian packages."""
        if self.manifest:
            return debian_request(self.manifest, platform.platform, self.around)
        base = platform.base
        return DebianRequest(base.suite or "", (), platform.platform, snapshot=base.snapshot)


def chosen(lock: Lock, platforms: Sequence[Platform]) -> tuple[LockedPlatform, ...]:
    """The locked platforms to build: those named, all where none is."""
    for platform in platforms:
        if lock.of(platform) is None:
            raise UsageError(
                f"the lock has no {platform}",
                where="mlenv.lock",
                hint="it has " + ", ".join(one.platform for one in lock.platforms),
            )
    return tuple(one for one in lock.platforms if not platforms or one.platform in platforms)


def write_image(
    lock: Lock, platforms: Sequence[LockedPlatform], out: LayoutWriter, places: Places, *, name: str, tag: str = ""
) -> Descriptor:
    """Put the image of the platforms into a layout: an image, or an index where there are several.

    Raises DigestMismatchError where anything comes out other than locked, before the layout names it.
    """
    around = places.around
    bases = {one.platform: _base(one, around) for one in platforms}
    _write_layers(platforms, bases, out, places)
    written = [_write_manifest(lock, one, bases[one.platform], out) for one in platforms]
    if len(written) == 1:
        return out.finish(written[0], name, tag=tag)
    index = index_bytes([(one.platform, d.digest, d.size) for one, d in zip(platforms, written, strict=True)])
    if len(platforms) == len(lock.platforms) and Digest.of(index) != lock.index:
        raise _mismatch("image index", Digest.of(index), lock.index)
    out.add_blob(index)
    return out.finish(Descriptor.of(index, INDEX_TYPE), name, tag=tag)


def _base(platform: LockedPlatform, around: Surroundings) -> "BaseImage | None":
    locked = platform.base
    if locked.kind == "debian":
        return None
    from mlenv.sources.bases.images import open_base  # noqa: PLC0415 -- a Debian base needs no registry

    base = open_base(
        locked.reference or "",
        platform.platform,
        around.cache,
        project=around.project,
        progress=around.progress,
        offline=around.offline,
    )
    if base.manifest_digest != locked.manifest:
        raise _mismatch(f"base manifest for {platform.platform}", base.manifest_digest, locked.manifest)
    return base


def _write_layers(
    platforms: Sequence[LockedPlatform],
    bases: "Mapping[Platform, BaseImage | None]",
    out: LayoutWriter,
    places: Places,
) -> None:
    """Write the layers that the layout does not have; only for these is anything fetched."""
    around = places.around
    work: dict[Digest, LayerWork | BaseCopy] = {
        layer.digest: BaseCopy(base, layer) for base in filter(None, bases.values()) for layer in base.layers
    }
    for platform in reversed(platforms):  # of several that have the same layer, the first one makes it
        work |= {layer.digest: LayerWork(layer, platform) for layer in platform.layers}
    # All are looked for at once: where nothing changed, the time goes into hashing them, which every core can do.
    present = out.present({digest: one.layer.size for digest, one in work.items()}, jobs=around.jobs)
    missing = [one for digest, one in work.items() if digest not in present]
    for platform in platforms:
        layers = [one.layer for one in missing if isinstance(one, LayerWork) and one.platform is platform]
        wheels = [platform.wheel(name) for layer in layers if layer.kind == "wheels" for name in layer.contents]
        target = PythonTarget.of(platform.platform, platform.base.facts)
        fetch_locked_wheels(wheels, places.packages(), target, around)
        if any(layer.kind == "debian" for layer in layers):
            fetch_locked_debs(platform.debs, places.debian(platform), around)
    task = around.progress.task("Writing layers", sum(one.layer.size for one in missing))
    try:
        make_layers(missing, Contents(around.cache, around.project, around.jobs), out, task, around.jobs)
    finally:
        task.finish()


def _write_manifest(lock: Lock, platform: LockedPlatform, base: "BaseImage | None", out: LayoutWriter) -> Descriptor:
    config: Mapping[str, Any] | None = base.config.to_value() if base else None
    image = image_bytes(lock.environment, lock.container, platform, config)
    if image.config_digest != platform.image.config:
        raise _mismatch(f"image config for {platform.platform}", image.config_digest, platform.image.config)
    if image.manifest_digest != platform.image.manifest:
        raise _mismatch(f"image manifest for {platform.platform}", image.manifest_digest, platform.image.manifest)
    out.add_blob(image.config)
    out.add_blob(image.manifest)
    described = ImagePlatform.of(platform.platform)
    return Descriptor.of(image.manifest, MANIFEST_TYPE, platform=described)


def _mismatch(what: str, found: Digest, locked: Digest | None) -> DigestMismatchError:
    return DigestMismatchError(
        f"the {what} is {found}; locked is {locked}",
        where="mlenv.lock",
        hint=UNLIKE_LOCK,
    )


def image_name(lock: Lock) -> str:
    """What the image is called where the output says nothing: name:version of the environment."""
    return f"{lock.environment.name}:{lock.environment.version}"
