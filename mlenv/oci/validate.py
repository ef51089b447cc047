"""Recomputes everything that an image says of itself: every digest, size and diff_id, and what must agree.

All that is wrong is reported, not only the first thing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mlenv.errors import MlenvError, Problem, RefusedError
from mlenv.model.digest import Digest
from mlenv.model.strict_json import LIMIT
from mlenv.oci.compression import GZIP, PLAIN, ZSTD
from mlenv.oci.descriptor import INDEX_TYPES, LAYER_TYPES, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from mlenv.oci.image import ImageConfig, ImageIndex, ImageManifest, parse_manifest
from mlenv.oci.layout import Layout, blob_name
from mlenv.oci.measure import Each, is_unreadable, measure_blob, one_by_one, problem, reason
from mlenv.oci.observed import Observation, ObservedBlob, ObservedImage, ObservedLayer

_COMPRESSION = {OCI_LAYER: PLAIN, OCI_LAYER_GZIP: GZIP, OCI_LAYER_ZSTD: ZSTD}
_INDEXES = 4  # index in index in index: deeper than anybody writes
_DOCUMENTS = 1000  # manifests and indexes below one entry; real indexes have a dozen
_ALL_DOCUMENTS = 16 << 20  # bytes of them all, configs included; a manifest has a few thousand

Blob = TypeVar("Blob", bound=ObservedBlob)


def validate_layout(layout: Layout, image: Descriptor | None = None) -> list[Problem]:
    """All that is wrong with an image of a layout, or with all of its images; empty when everything agrees."""
    try:
        entries = (image,) if image is not None else layout.index().manifests
    except MlenvError as error:
        return list(error.problems)
    return observe(layout, entries).all_problems()


def observe(layout: Layout, entries: Sequence[Descriptor], each: Each = one_by_one) -> Observation:
    """What there really is below some entries of a layout. Nothing is raised for what is wrong with it.

    A layer that several images share is read once. `each` is how layers are measured.
    """
    documents = _Documents(layout)
    for entry in entries:
        documents.read(entry, depth=0)
    layers = {layer.digest: layer for image in documents.images for layer in _to_measure(image)}
    unpacked = {layer.digest for image in documents.images if image.is_image for layer in _to_measure(image)}
    found = each(
        lambda layer, advance: measure_blob(layout, layer, advance, unpack=layer.digest in unpacked),
        list(layers.values()),
    )
    measured = dict(zip(layers, found, strict=True))
    images = tuple(_assembled(layout, image, measured) for image in documents.images)
    return Observation(tuple(documents.indexes), images, tuple(documents.problems))


@dataclass
class _Documents:
    """Reads indexes, manifests and configs, and no layer yet."""

    layout: Layout
    indexes: list[ObservedBlob] = field(default_factory=list)
    images: list[ObservedImage] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    taken: int = 0  # bytes of documents so far

    def say(self, digest: Digest, message: str) -> None:
        self.problems.append(problem(self.layout, digest, message))

    def read(self, entry: Descriptor, depth: int) -> None:
        """A manifest or an index, and every document below it."""
        blob, data = self.small(entry)
        try:
            document = parse_manifest(data, entry.media_type) if blob.digest == entry.digest else None
        except ValueError as error:
            blob, document = _with(self.layout, blob, str(error)), None
        if isinstance(document, ImageIndex):
            self.indexes.append(blob)
            self.index(document, entry.digest, depth)
        elif document is None and entry.media_type in INDEX_TYPES:
            self.indexes.append(blob)
        elif document is None:
            self.images.append(ObservedImage(blob))
        else:
            self.images.append(self.image(blob, document))

    def index(self, index: ImageIndex, digest: Digest, depth: int) -> None:
        platforms = [str(one.platform) for one in index.manifests if one.platform is not None]
        for twice in sorted({one for one in platforms if platforms.count(one) > 1} - {"unknown/unknown"}):
            self.say(digest, f"the index names {twice} more than once")
        for entry in index.manifests:
            if depth == _INDEXES:
                self.say(digest, "indexes are nested too deeply")
                return
            if len(self.indexes) + len(self.images) >= _DOCUMENTS or self.taken >= _ALL_DOCUMENTS:
                self.say(digest, f"more than {_DOCUMENTS} manifests, or {_ALL_DOCUMENTS >> 20} MiB of them")
                return
            self.read(entry, depth + 1)

    def image(self, blob: ObservedBlob, document: ImageManifest) -> ObservedImage:
        if not document.is_image:
            return ObservedImage(blob, document)
        config, data = self.small(document.config)
        image = ObservedImage(blob, document, config, data if config.digest == document.config.digest else b"")
        if not image.config_data:
            return image
        try:
            return replace(image, settings=ImageConfig.parse(data))
        except ValueError as error:
            return replace(image, config=_with(self.layout, config, f"the config can't be read: {error}"))

    def small(self, named: Descriptor) -> tuple[ObservedBlob, bytes]:
        """A manifest or config, whatever its bytes are."""
        try:
            with self.layout.open_file(blob_name(named.digest)) as file:
                data = file.read(LIMIT + 1)
            self.taken += len(data)
            if len(data) > LIMIT:
                raise RefusedError(f"the blob is larger than {LIMIT} bytes, which no document needs")
        except (MlenvError, OSError) as error:
            said = (problem(self.layout, named.digest, reason(error)),)
            return ObservedBlob(named, problems=said, unreadable=is_unreadable(error)), b""
        return _compared(self.layout, ObservedBlob(named, Digest.of(data), len(data))), data


def _to_measure(image: ObservedImage) -> tuple[Descriptor, ...]:
    """The blobs of any size that an image names; of another artifact also the config, which can be anything."""
    if image.document is None:
        return ()
    return image.document.layers if image.is_image else (image.document.config, *image.document.layers)


def _compared(layout: Layout, blob: Blob) -> Blob:
    """The blob with what its descriptor gets wrong."""
    named = blob.named
    if named is None or blob.digest is None:
        return blob
    if blob.digest != named.digest:
        return _with(layout, blob, f"the blob has the digest {blob.digest}")
    if blob.size != named.size:
        return _with(layout, blob, f"the blob has {blob.size} bytes, its descriptor says {named.size}")
    return blob


def _assembled(layout: Layout, image: ObservedImage, measured: Mapping[Digest, ObservedLayer]) -> ObservedImage:
    """The image with its layers, and what its parts say against one another."""
    blobs = tuple(_compared(layout, replace(measured[one.digest], named=one)) for one in _to_measure(image))
    if image.document is None or not image.is_image:
        return replace(image, layers=blobs)
    said = image.settings.diff_ids if image.settings else ()
    layers = tuple(_judged(layout, one, said[at] if at < len(said) else None) for at, one in enumerate(blobs))
    if image.settings is None:
        return replace(image, layers=layers)
    wrong = _contradictions(image.settings, image.manifest.named if image.manifest else None, len(layers))
    place = image.document.config.digest
    return replace(image, layers=layers, problems=tuple(problem(layout, place, one) for one in wrong))


def _judged(layout: Layout, layer: ObservedLayer, said: Digest | None) -> ObservedLayer:
    """A layer with what its media type and the config get wrong; `said` is its diff_id there."""
    if layer.named is None or layer.digest != layer.named.digest:
        return layer
    media_type = layer.named.media_type
    if media_type not in LAYER_TYPES:
        layer = _with(layout, layer, f"the layer is of an unknown kind: {media_type}")
    elif layer.compression != _COMPRESSION[LAYER_TYPES[media_type]]:
        layer = _with(layout, layer, f"the layer is {layer.compression}, its media type says {media_type}")
    if said is not None and layer.diff_id is not None and layer.diff_id != said:
        layer = _with(layout, layer, f"the layer's diff_id is {layer.diff_id}, the config says {said}")
    return layer


def _contradictions(config: ImageConfig, entry: Descriptor | None, layers: int) -> Iterator[str]:
    """What a config gets wrong of the image that it is in. `entry` led to the image, which has so many layers."""
    stated = entry.platform if entry else None
    if stated is not None and (config.os, config.architecture) != (stated.os, stated.architecture):
        yield f"the config is for {config.os}/{config.architecture}, the index says {stated}"
    if len(config.diff_ids) != layers:
        yield f"the config has {len(config.diff_ids)} diff_ids for {layers} layers"
    with_layer = sum(not step.empty_layer for step in config.history)
    if config.history and with_layer != layers:
        yield f"the history has {with_layer} steps with a layer for {layers} layers"


def _with(layout: Layout, blob: Blob, message: str) -> Blob:
    assert blob.named is not None  # noqa: S101 -- in a layout everything has a descriptor
    return replace(blob, problems=(*blob.problems, problem(layout, blob.named.digest, message)))
