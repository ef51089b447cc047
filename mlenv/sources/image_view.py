"""An image in a layout or an archive, as a person wants to see it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mlenv.errors import RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.archive_layout import ArchiveLayout
from mlenv.oci.descriptor import REF_NAME, Descriptor
from mlenv.oci.image import ImageConfig, ImageIndex, ImageManifest, parse_manifest
from mlenv.oci.layout import Layout
from mlenv.oci.reference import Target, Transport


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer: its blob and what the image's history says of it. `size` is in bytes, compressed."""

    digest: Digest
    size: int
    what: str


@dataclass(frozen=True, slots=True)
class ImageView:
    """One platform's image."""

    name: str
    digest: Digest
    config: Digest
    platform: str
    user: str
    command: str
    labels: dict[str, str]
    layers: tuple[LayerView, ...]

    def to_json(self) -> dict[str, Any]:
        """Digests as text."""
        return _plain(asdict(self)) | {
            "digest": str(self.digest),
            "config": str(self.config),
            "layers": [{"digest": str(one.digest), "size": one.size, "what": one.what} for one in self.layers],
        }


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key not in {"digest", "config", "layers"}}


def view_image(target: Target) -> list[ImageView]:
    """The image of each platform. Every document's digest is checked; layers are not read."""
    if target.path is None or target.transport not in {Transport.OCI, Transport.OCI_ARCHIVE}:
        raise UsageError(
            f"cannot look into {target}", hint="name oci:DIR[:TAG] or oci-archive:FILE; `mlenv build` writes either"
        )
    try:
        if target.transport is Transport.OCI:
            return _in_layout(Layout(target.path), target.tag)
        with ArchiveLayout.open(target.path) as archive:
            return _in_layout(archive, target.tag)
    except OSError as error:
        raise UnavailableError(
            f"cannot read {error.filename}: {error.strerror}",
            where=str(target),
            hint="`mlenv build` writes the whole image again",
        ) from None
    except ValueError as error:
        raise RefusedError(
            f"not an image: {error}", where=str(target), hint="see `mlenv verify` for all that is wrong with it"
        ) from None


def _in_layout(layout: Layout, tag: str) -> list[ImageView]:
    return _views(layout.find(tag), layout.read_blob)


def _views(entry: Descriptor, blob: Callable[[Digest], bytes]) -> list[ImageView]:
    document = parse_manifest(blob(entry.digest), entry.media_type)
    if isinstance(document, ImageIndex):
        return [view for one in document.manifests for view in _views(one, blob)]
    config = ImageConfig.parse(blob(document.config.digest))
    return [_view(entry, document, config)]


def _view(entry: Descriptor, manifest: ImageManifest, config: ImageConfig) -> ImageView:
    steps = [step for step in config.history if not step.empty_layer]
    said = [step.created_by for step in steps] if len(steps) == len(manifest.layers) else [""] * len(manifest.layers)
    process = config.config
    return ImageView(
        name=entry.annotations.get(REF_NAME, ""),
        digest=entry.digest,
        config=manifest.config.digest,
        platform=f"{config.os}/{config.architecture}",
        user=process.user,
        command=" ".join([*(process.entrypoint or ()), *(process.cmd or ())]),
        labels=dict(process.labels or {}),
        layers=tuple(
            LayerView(layer.digest, layer.size, what) for layer, what in zip(manifest.layers, said, strict=True)
        ),
    )
