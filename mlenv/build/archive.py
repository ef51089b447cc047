"""An image of an OCI layout as one tar: `oci-archive`, and `docker-archive`, which engines load.

The same image gives the same bytes: entries in a fixed order, with fixed owner, mode and time.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlenv.errors import DigestMismatchError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import INDEX_TYPES, Descriptor
from mlenv.oci.image import ImageIndex, ImageManifest
from mlenv.oci.layout import LAYOUT_FILE, Layout
from mlenv.oci.reference import Reference

MTIME = 315532800  # 1980-01-01T00:00:00Z, as in every layer
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image of a layout consists of: small files by name, and blobs by digest with their size."""

    files: Mapping[str, bytes]
    blobs: Mapping[Digest, int]

    def size(self) -> int:
        """Bytes of all of it."""
        return sum(map(len, self.files.values())) + sum(self.blobs.values())


def reachable(layout: Layout, image: Descriptor) -> tuple[dict[Digest, int], list[ImageManifest]]:
    """Every blob that an image or an image index names, itself included, and its manifests."""
    blobs = {image.digest: image.size}
    if image.media_type in INDEX_TYPES:
        manifests: list[ImageManifest] = []
        for entry in ImageIndex.parse(layout.read_blob(image.digest)).manifests:
            more, below = reachable(layout, entry)
            blobs |= more
            manifests += below
        return blobs, manifests
    manifest = ImageManifest.parse(layout.read_blob(image.digest))
    blobs |= {part.digest: part.size for part in (manifest.config, *manifest.layers)}
    return blobs, [manifest]


def contents(layout: Layout, image: Descriptor, *, docker: Reference | None = None) -> Contents:
    """What goes into the archive of an image; `image` carries its names as annotations.

    With `docker`, a name with a tag, a manifest.json is added whose Config and Layers point into the layout's blobs:
    what every engine since 1.10 loads, while a layout alone loads only into the containerd store.
    """
    blobs, manifests = reachable(layout, image)
    files = {"oci-layout": LAYOUT_FILE, "index.json": ImageIndex(manifests=(image,)).to_bytes()}
    if docker is not None:
        (manifest,) = manifests
        files["manifest.json"] = canonical_json(
            [
                {
                    "Config": _blob_name(manifest.config.digest),
                    "RepoTags": [docker.familiar],
                    "Layers": [_blob_name(layer.digest) for layer in manifest.layers],
                }
            ]
        )
    return Contents(files, blobs)


def archive(layout: Layout, what: Contents) -> Iterator[bytes]:
    """The tar, in pieces of at most 1 MiB. Every blob is hashed on the way: DigestMismatchError."""
    for folder in ("blobs", "blobs/sha256"):
        yield _header(folder, 0, directory=True)
    for digest, size in sorted(what.blobs.items()):
        yield _header(_blob_name(digest), size)
        yield from _blob(layout, digest, size)
        yield bytes(-size % tarfile.BLOCKSIZE)
    for name, data in sorted(what.files.items()):
        yield _header(name, len(data))
        yield data + bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _blob(layout: Layout, digest: Digest, size: int) -> Iterator[bytes]:
    hasher, left = hashlib.sha256(), size
    with layout.blob_path(digest).open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            raise DigestMismatchError(f"the blob {digest} is not {size} bytes long", where=str(layout.path))
        while left and (chunk := file.read(min(left, _CHUNK))):
            hasher.update(chunk)
            left -= len(chunk)
            yield chunk
    if left or hasher.hexdigest() != digest.hex:
        raise DigestMismatchError(f"the blob {digest} was changed while it was read", where=str(layout.path))


def _header(name: str, size: int, *, directory: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, MTIME, 0o755 if directory else 0o644
    info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return info.tobuf(tarfile.PAX_FORMAT)


def _blob_name(digest: Digest) -> str:
    return f"blobs/sha256/{digest.hex}"
