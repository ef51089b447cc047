"""What is really in an image, as values: every digest, size and diff_id was computed from bytes that were read.

`named` is always what somebody said of those bytes, and never believed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mlenv.errors import Problem
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.image import ImageConfig, ImageManifest


@dataclass(frozen=True, slots=True)
class ObservedBlob:
    """A blob. `digest` and `size` in bytes are of what was read; None where nothing could be.

    `named` is the descriptor that led to it; None where there is none, as in a Docker engine's classic store.
    `unreadable` is set where nothing could be read for a reason that lies with this machine, not with the image.
    """

    named: Descriptor | None
    digest: Digest | None = None
    size: int | None = None
    problems: tuple[Problem, ...] = ()
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class ObservedLayer(ObservedBlob):
    """A layer. `diff_id` is the digest of its tar; None where it could not be unpacked to its end.

    `compression` is what its bytes begin like (`mlenv.oci.compression`), empty where nothing was read. Where an engine
    keeps only the tar, there is a diff_id and neither digest nor size.
    """

    diff_id: Digest | None = None
    compression: str = ""


@dataclass(frozen=True, slots=True)
class ObservedImage:
    """An image of one platform, or some other artifact that has a manifest.

    `manifest` is None where the image has none (a classic store). `document` and `settings` are the manifest and the
    config, None where they could not be read; `config_data` is the config's bytes. `problems` are contradictions
    between these parts.
    """

    manifest: ObservedBlob | None
    document: ImageManifest | None = None
    config: ObservedBlob | None = None
    config_data: bytes = b""
    settings: ImageConfig | None = None
    layers: tuple[ObservedLayer, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether it is a container image, as far as it could be read."""
        return self.document is None or self.document.is_image

    def blobs(self) -> Iterator[ObservedBlob]:
        """Manifest, config and layers, those that there are."""
        yield from filter(None, (self.manifest, self.config))
        yield from self.layers


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything below one or more entries of a layout: its indexes, the outermost first, and its images in order.

    `problems` concern the index as a whole.
    """

    indexes: tuple[ObservedBlob, ...] = ()
    images: tuple[ObservedImage, ...] = ()
    problems: tuple[Problem, ...] = ()

    def blobs(self) -> Iterator[ObservedBlob]:
        """Every blob that was read or should have been; one that several images share comes several times."""
        yield from self.indexes
        for image in self.images:
            yield from image.blobs()

    def all_problems(self) -> list[Problem]:
        """All that is wrong, each thing once."""
        found = [*self.problems]
        for image in self.images:
            found += image.problems
        for blob in self.blobs():
            found += blob.problems
        return list(dict.fromkeys(found))
