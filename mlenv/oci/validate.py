"""Recomputes everything that an image says of itself: every digest, size and diff_id, and what must agree.

All that is wrong is reported, not only the first thing. Memory stays flat: layers are inflated in a stream.
"""

from dataclasses import dataclass, field
from typing import BinaryIO

from mlenv.errors import MlenvError, Problem, RefusedError
from mlenv.model.digest import Digest
from mlenv.oci.compression import GZIP, PLAIN, ZSTD, HashedStream, compression_of, open_layer
from mlenv.oci.descriptor import LAYER_TYPES, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from mlenv.oci.image import ImageConfig, ImageIndex, ImageManifest, parse_manifest
from mlenv.oci.layout import Layout
from mlenv.oci.tar_reader import TarReader

_CHUNK = 1 << 20
_COMPRESSION = {OCI_LAYER: PLAIN, OCI_LAYER_GZIP: GZIP, OCI_LAYER_ZSTD: ZSTD}
_INDEXES = 4  # index in index in index: deeper than anybody writes


def validate_layout(layout: Layout, image: Descriptor | None = None) -> list[Problem]:
    """All that is wrong with an image of a layout, or with all of its images; empty when everything agrees.

    A layer that several images share is read once.
    """
    check = _Check(layout)
    try:
        entries = (image,) if image is not None else layout.index().manifests
    except MlenvError as error:
        return list(error.problems)
    for entry in entries:
        check.document(entry, depth=0)
    return check.problems


@dataclass
class _Check:
    layout: Layout
    problems: list[Problem] = field(default_factory=list)
    diff_ids: dict[Digest, Digest | None] = field(default_factory=dict)  # by layer; None where it can't be read

    def say(self, digest: Digest, message: str) -> None:
        self.problems.append(Problem(message, f"{self.layout.path}: {digest}"))

    def document(self, entry: Descriptor, depth: int) -> None:
        """A manifest or an index and everything below it."""
        data = self.small(entry)
        if data is None:
            return
        try:
            document = parse_manifest(data, entry.media_type)
        except ValueError as error:
            self.say(entry.digest, str(error))
            return
        if isinstance(document, ImageManifest):
            self.manifest(document, entry)
        elif depth == _INDEXES:
            self.say(entry.digest, "indexes are nested too deeply")
        else:
            self.index(document, entry.digest, depth)

    def index(self, index: ImageIndex, digest: Digest, depth: int) -> None:
        platforms = [str(one.platform) for one in index.manifests if one.platform is not None]
        for twice in sorted({one for one in platforms if platforms.count(one) > 1} - {"unknown/unknown"}):
            self.say(digest, f"the index names {twice} more than once")
        for entry in index.manifests:
            self.document(entry, depth + 1)

    def manifest(self, manifest: ImageManifest, entry: Descriptor) -> None:
        if not manifest.is_image:
            for part in (manifest.config, *manifest.layers):
                self.blob(part)
            return
        data = self.small(manifest.config)
        found = [self.layer(layer) for layer in manifest.layers]
        if data is None:
            return
        where = manifest.config.digest
        try:
            config = ImageConfig.parse(data)
        except ValueError as error:
            self.say(where, f"the config can't be read: {error}")
            return
        if entry.platform is not None and (config.os, config.architecture) != (
            entry.platform.os,
            entry.platform.architecture,
        ):
            self.say(where, f"the config is for {config.os}/{config.architecture}, the index says {entry.platform}")
        if len(config.diff_ids) != len(found):
            self.say(where, f"the config has {len(config.diff_ids)} diff_ids for {len(found)} layers")
        with_layer = sum(not step.empty_layer for step in config.history)
        if config.history and with_layer != len(found):
            self.say(where, f"the history has {with_layer} steps with a layer for {len(found)} layers")
        for layer, said, is_really in zip(manifest.layers, config.diff_ids, found, strict=False):
            if is_really is not None and said != is_really:
                self.say(layer.digest, f"the layer's diff_id is {is_really}, the config says {said}")

    def small(self, descriptor: Descriptor) -> bytes | None:
        """A manifest or config, if its bytes are what the descriptor says."""
        try:
            data = self.layout.read_blob(descriptor.digest)
        except (MlenvError, OSError) as error:
            self.say(descriptor.digest, _reason(error))
            return None
        if len(data) != descriptor.size:
            self.say(descriptor.digest, f"the blob has {len(data)} bytes, its descriptor says {descriptor.size}")
        return data

    def layer(self, layer: Descriptor) -> Digest | None:
        """A layer's true diff_id, or None where it can't be read."""
        if layer.digest not in self.diff_ids:
            self.diff_ids[layer.digest] = self.read_layer(layer)
        return self.diff_ids[layer.digest]

    def read_layer(self, layer: Descriptor) -> Digest | None:
        if not self.blob(layer):
            return None
        if layer.media_type not in LAYER_TYPES:
            self.say(layer.digest, f"the layer is of an unknown kind: {layer.media_type}")
            return None
        try:
            with self.layout.open_blob(layer.digest) as file:
                compression = compression_of(file.read(4))
                if compression != _COMPRESSION[LAYER_TYPES[layer.media_type]]:
                    self.say(layer.digest, f"the layer is {compression}, its media type says {layer.media_type}")
                file.seek(0)
                with open_layer(file) as tar:
                    return _read_tar(tar)
        except (MlenvError, OSError) as error:
            self.say(layer.digest, _reason(error))
            return None

    def blob(self, descriptor: Descriptor) -> bool:
        """Whether a blob's bytes and size are what its descriptor says."""
        try:
            with self.layout.open_blob(descriptor.digest) as file:
                size = file.seek(0, 2)
        except (MlenvError, OSError) as error:
            self.say(descriptor.digest, _reason(error))
            return False
        if size != descriptor.size:
            self.say(descriptor.digest, f"the blob has {size} bytes, its descriptor says {descriptor.size}")
        return size == descriptor.size


def _read_tar(tar: BinaryIO) -> Digest:
    """The digest of a tar, which must also be one from its first header to its end; RefusedError."""
    stream = HashedStream(tar)
    for _ in TarReader(stream):
        pass
    while rest := stream.read(_CHUNK):
        if rest.strip(b"\0"):
            raise RefusedError("the layer goes on after the end of its tar")
    return stream.digest()


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the blob is missing"
    return str(error.problems[0].message) if isinstance(error, MlenvError) else str(error)
