"""An image in a layout or an archive, as a person wants to see it."""

import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlenv.errors import RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import REF_NAME, Descriptor
from mlenv.oci.image import ImageConfig, ImageIndex, ImageManifest, parse_manifest
from mlenv.oci.layout import Layout
from mlenv.oci.reference import Target, Transport

_LIMIT = 8 << 20


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
    if target.transport is Transport.OCI:
        layout = Layout(target.path)
        return _views(layout.find(target.tag), layout.read_blob)
    return _in_archive(target.path, target.tag)


def _in_archive(path: Path, tag: str) -> list[ImageView]:
    try:
        with tarfile.open(path, "r:") as tar:

            def member(name: str) -> bytes:
                file = tar.extractfile(name)
                return file.read(_LIMIT) if file is not None else b""

            def blob(digest: Digest) -> bytes:
                data = member(f"blobs/sha256/{digest.hex}")
                if Digest.of(data) != digest:
                    raise RefusedError(f"the blob {digest} has other bytes", where=str(path))
                return data

            entries = ImageIndex.parse(member("index.json")).manifests
            found = [one for one in entries if not tag or one.annotations.get(REF_NAME) == tag]
            return [view for entry in found for view in _views(entry, blob)]
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise UnavailableError(
            f"not an OCI archive: {error}", where=str(path), hint="`mlenv build -o oci-archive:FILE` writes one"
        ) from None


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
