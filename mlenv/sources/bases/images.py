"""Base images: by digest, out of an OCI layout or a registry, for one platform.

What is read is checked against what names it, down from the digest that the user wrote: index, manifest, config,
layers. Where the bytes come from is the business of `base_blobs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from mlenv.errors import DigestMismatchError, ManifestError, RefusedError, ResolutionError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.facts import BaseFacts
from mlenv.model.platform import Platform
from mlenv.model.progress import SILENT, Progress
from mlenv.oci.compression import HashedStream
from mlenv.oci.compression import open_layer as decompress
from mlenv.oci.descriptor import LAYER_TYPES, Descriptor
from mlenv.oci.image import ImageConfig, ImageIndex, ImageManifest, parse_manifest
from mlenv.oci.layout import Layout
from mlenv.oci.reference import Reference, Transport
from mlenv.sources.bases.blobs import BlobSource, LayoutBlobs, RegistryBlobs
from mlenv.sources.bases.facts import BaseFile, read_facts, tar_files
from mlenv.sources.cache import Cache

MAX_LAYERS = 64
_CONNECTIONS = 4
_CHUNK = 1 << 20
_NOT_BASES = (Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON)


@dataclass(frozen=True)
class BaseImage:
    """One platform's image that ours stands on.

    `reference` is as the user wrote it. `index` is the digest of the image index that was chosen from, None where the
    reference named a manifest. `layers` are as we put them in our manifest, the lowest first, under OCI media types;
    `diff_ids` belong to them one by one.
    """

    reference: str
    platform: Platform
    index: Digest | None
    manifest: ImageManifest
    manifest_digest: Digest
    config: ImageConfig
    config_bytes: bytes
    layers: tuple[Descriptor, ...]
    _source: BlobSource = field(repr=False, compare=False)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the uncompressed layers."""
        return self.config.diff_ids

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the base's config sets."""
        return self.config.config.environment


def open_base(
    reference: str,
    platform: Platform,
    cache: Cache,
    *,
    project: Path,
    progress: Progress = SILENT,
    offline: bool = False,
) -> BaseImage:
    """Read a base's manifest and config for a platform, and check that they belong together; no layer is fetched.

    `reference` is `NAME@sha256:…` of a registry or `oci:DIR[:TAG]@sha256:…`, where DIR is relative to `project`.
    Raises ManifestError for a reference without digest, ResolutionError where the base isn't for this platform,
    RefusedError where its parts contradict one another, UnavailableError where it can't be had.
    """
    named = _parse(reference)
    if named.digest is None:
        raise _unpinned(reference, project, offline=offline)
    source = named.source(cache, project, progress, offline=offline)
    index, digest = None, named.digest
    document, descriptor = _document(source, digest, reference), None
    if isinstance(document, ImageIndex):
        index, descriptor = digest, _choose(document, platform, reference)
        digest = descriptor.digest
        document = _document(source, digest, reference, descriptor)
        if isinstance(document, ImageIndex):
            raise RefusedError("the base's image index names another index as an image", where=reference)
    _check_manifest(document, reference)
    data = source.small(document.config)
    try:
        config = ImageConfig.parse(data)
    except ValueError as error:
        raise RefusedError(f"the base's config can't be read: {error}", where=reference) from None
    _check_config(config, document, platform, reference, chosen=descriptor is not None)
    layers = tuple(layer.as_oci_layer() for layer in document.layers)
    return BaseImage(reference, platform, index, document, digest, config, data, layers, source)


def latest_digest(reference: str, *, project: Path) -> Digest:
    """The digest that a reference has now: of an index where there is one, else of the manifest.

    A reference with a digest is looked up by its name and tag. Raises UnavailableError, UsageError.
    """
    named = _parse(reference)
    if isinstance(named, _InLayout):
        return Layout(project / named.path).find(named.tag).digest
    from mlenv.registry.client import RegistryClient  # noqa: PLC0415 -- oras and requests take 0.3 s to import

    tagged = Reference(named.name.registry, named.name.repository, named.name.tag).with_default_tag()
    return RegistryClient(tagged.registry).get_manifest(tagged)[2]


def fetch_layers(base: BaseImage) -> None:
    """Bring all layers of a base to this machine. Raises UnavailableError, DigestMismatchError."""
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        list(pool.map(base._source.fetch, {layer.digest: layer for layer in base.layers}.values()))  # noqa: SLF001


@contextmanager
def open_layer(base: BaseImage, layer: Descriptor) -> Iterator[BinaryIO]:
    """A layer as it lies in the registry or the layout (compressed), at its start, hashed on the open file."""
    with base._source.open(layer) as file:  # noqa: SLF001 -- this module is the class's
        yield file


def image_facts(base: BaseImage, cache: Cache, *, wanted: str | None = None) -> BaseFacts:
    """The facts of a base, remembered in the cache by what they depend on; the layers are fetched where they aren't.

    `wanted` is major.minor of the Python that the user asks for. Each layer is inflated once, and its diff_id checked
    on the way: DigestMismatchError where it isn't the config's.
    """
    key = repr((1, base.diff_ids, sorted(base.environment.items()), str(base.platform), wanted))
    if remembered := cache.record("base-facts", key):
        return BaseFacts.model_validate(remembered)
    fetch_layers(base)
    try:
        facts = read_facts(_layer_files(base), base.environment, base.platform, wanted=wanted)
    except ResolutionError as error:
        problems = [replace(problem, where=problem.where or base.reference) for problem in error.problems]
        raise ResolutionError(problems=problems) from None
    cache.remember("base-facts", key, facts.model_dump(mode="json"))
    return facts


def _layer_files(base: BaseImage) -> Iterator[Iterator[BaseFile]]:
    for layer, diff_id in zip(base.layers, base.diff_ids, strict=True):
        with open_layer(base, layer) as file, decompress(file) as tar:
            stream = HashedStream(tar)
            yield tar_files(stream)
            while stream.read(_CHUNK):  # padding after the end of the archive
                pass
            found = stream.digest()
        if found != diff_id:
            raise DigestMismatchError(
                f"the layer {layer.digest} holds a tar with the digest {found}; the base's config says {diff_id}",
                where=base.reference,
                hint="the base image is broken; choose another one",
            )


@dataclass(frozen=True, slots=True)
class _InLayout:
    path: Path
    tag: str
    digest: Digest | None

    def source(self, cache: Cache, project: Path, progress: Progress, *, offline: bool) -> BlobSource:
        del cache, progress, offline
        return LayoutBlobs(Layout(project / self.path))


@dataclass(frozen=True, slots=True)
class _InRegistry:
    name: Reference

    @property
    def digest(self) -> Digest | None:
        return self.name.digest

    def source(self, cache: Cache, project: Path, progress: Progress, *, offline: bool) -> BlobSource:
        del project
        return RegistryBlobs(self.name, cache, progress, offline=offline)


def _parse(reference: str) -> _InLayout | _InRegistry:
    try:
        if reference.partition(":")[0] in _NOT_BASES:
            raise ValueError("a base comes from a registry or an OCI layout")  # noqa: TRY301
        if not reference.startswith("oci:"):
            return _InRegistry(Reference.parse(reference.removeprefix("docker://")))
        rest, at, digest = reference.removeprefix("oci:").partition("@")
        path, _, tag = rest.partition(":")
        if not path:
            raise ValueError("the path is empty")  # noqa: TRY301
        return _InLayout(Path(path), tag, Digest.parse(digest) if at else None)
    except ValueError as error:
        raise ManifestError(
            f"{reference[:200]!r} does not name a base image: {error}",
            where="base.image",
            hint="write NAME:TAG@sha256:… of a registry, or oci:DIR[:TAG]@sha256:…",
        ) from None


def _unpinned(reference: str, project: Path, *, offline: bool) -> ManifestError:
    try:
        now = None if offline else latest_digest(reference, project=project)
    except UnavailableError:
        now = None
    is_now = f"; it is {now} now" if now else ""
    return ManifestError(
        f"the base {reference} has no digest{is_now}",
        where="base.image",
        hint=f'run `mlenv pin`, or write image = "{reference}@{now or "sha256:…"}"',
    )


def _document(
    source: BlobSource, digest: Digest, reference: str, descriptor: Descriptor | None = None
) -> ImageManifest | ImageIndex:
    data, media_type = source.manifest(digest)
    if descriptor is not None and len(data) != descriptor.size:
        raise RefusedError(
            f"the base's manifest has {len(data)} bytes, its index says {descriptor.size}", where=reference
        )
    try:
        return parse_manifest(data, descriptor.media_type if descriptor is not None else media_type)
    except ValueError as error:
        raise RefusedError(f"the base's manifest can't be read: {error}", where=reference) from None


def _choose(index: ImageIndex, platform: Platform, reference: str) -> Descriptor:
    for entry in index.manifests:
        if entry.platform is not None and entry.platform.runs(platform):
            return entry
    there = sorted({str(entry.platform) for entry in index.manifests if entry.platform} - {"unknown/unknown"})
    raise ResolutionError(
        f"the base has no image for {platform}",
        where=reference,
        hint=f"it has {', '.join(there)}" if there else "its index names no platforms",
    )


def _check_manifest(manifest: ImageManifest, reference: str) -> None:
    if not manifest.is_image:
        raise ResolutionError(
            f"not a container image: its config is {manifest.config.media_type}",
            where=reference,
            hint="choose an image; an artifact of another kind can't be a base",
        )
    if len(manifest.layers) > MAX_LAYERS:
        raise ResolutionError(
            f"the base has {len(manifest.layers)} layers; {MAX_LAYERS} is the limit for base and environment together",
            where=reference,
            hint="choose a base with fewer layers, or flatten it",
        )
    for layer in manifest.layers:
        if layer.urls or "foreign" in layer.media_type or "nondistributable" in layer.media_type:
            raise ResolutionError(
                f"the layer {layer.digest} lies outside the registry (a non-distributable layer)",
                where=reference,
                hint="choose another base; such layers can't be copied into an image",
            )
        if layer.media_type not in LAYER_TYPES:
            raise ResolutionError(
                f"the layer {layer.digest} is of an unknown kind: {layer.media_type}",
                where=reference,
                hint="choose a base with tar, tar+gzip or tar+zstd layers",
            )


def _check_config(
    config: ImageConfig, manifest: ImageManifest, platform: Platform, reference: str, *, chosen: bool
) -> None:
    if (config.os, config.architecture) != (platform.os, platform.architecture):
        is_for = f"{config.os}/{config.architecture}"
        if chosen:
            raise RefusedError(
                f"another architecture's manifest under the index: the index says {platform}, the config {is_for}",
                where=reference,
                hint="the base image is broken or was tampered with; choose another one",
            )
        raise ResolutionError(
            f"the base is for {is_for}, not {platform}",
            where=reference,
            hint="name an image index that has both, or take the platform out of environment.platforms",
        )
    if len(config.diff_ids) != len(manifest.layers):
        raise RefusedError(
            f"the base's config has {len(config.diff_ids)} diff_ids for {len(manifest.layers)} layers",
            where=reference,
        )
