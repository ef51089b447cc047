"""OCI image layouts to read: a directory that holds images (image specification, image-layout.md).

oci-layout              the version of the format
index.json              what the directory offers: descriptors with names
blobs/sha256/<hex>      everything, under its digest
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from mlenv.errors import DigestMismatchError, RefusedError, UsageError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.strict_json import LIMIT, parse_json, shown
from mlenv.oci.descriptor import REF_NAME, Descriptor
from mlenv.oci.image import ImageIndex

LAYOUT_FILE = canonical_json({"imageLayoutVersion": "1.0.0"})


class Layout:
    """A layout to read. Nothing in it is trusted: every blob is hashed on the open file that is then used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.path / "blobs" / "sha256" / digest.hex

    def index(self) -> ImageIndex:
        """index.json, after a look at the format's version.

        Raises UsageError where `path` is no layout, RefusedError where one of the two files is broken.
        """
        try:
            version, index = (_read_small(self.path / name) for name in ("oci-layout", "index.json"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"not an OCI layout: {Path(str(error.filename)).name} is missing",
                where=str(self.path),
                hint="name a directory that holds index.json and oci-layout",
            ) from None
        try:
            layout = parse_json(version)
            if not isinstance(layout, dict) or layout.get("imageLayoutVersion") != "1.0.0":
                raise RefusedError(
                    "oci-layout: imageLayoutVersion is not 1.0.0", where=str(self.path), hint="name another directory"
                )
            return ImageIndex.parse(index)
        except ValueError as error:
            raise RefusedError(f"index.json or oci-layout: {error}", where=str(self.path)) from None

    def find(self, tag: str = "", digest: Digest | None = None) -> Descriptor:
        """The one entry of index.json that has this name and this digest; each is optional.

        Raises UsageError where there is none, or more than one digest.
        """
        entries = [
            entry
            for entry in self.index().manifests
            if (not tag or entry.annotations.get(REF_NAME) == tag) and (digest is None or entry.digest == digest)
        ]
        if len({entry.digest for entry in entries}) == 1:
            return entries[0]
        wanted = " ".join(filter(None, (tag, str(digest or ""))))
        offered = ", ".join(
            f"{shown(entry.annotations.get(REF_NAME, '(no name)'))} {entry.digest}"
            for entry in self.index().manifests[:8]
        )
        raise UsageError(
            f"the layout holds {'several images' if entries else 'no image'}{f' {wanted}' if wanted else ''}",
            where=str(self.path),
            hint=f"choose one of: {offered}" if offered else "the layout is empty",
        )

    @contextmanager
    def open_blob(self, digest: Digest) -> Iterator[BinaryIO]:
        """The blob, open for reading and at its start, after its bytes were hashed.

        Raises FileNotFoundError and DigestMismatchError.
        """
        path = self.blob_path(digest)
        with _open_regular(path) as file:
            found = _digest_of(file)
            if found != digest:
                raise other_bytes(digest, found, path)
            file.seek(0)
            yield file

    def read_blob(self, digest: Digest, limit: int = LIMIT) -> bytes:
        """A small blob whole: a manifest or a config. Raises as `open_blob`, and RefusedError beyond `limit` bytes."""
        path = self.blob_path(digest)
        with _open_regular(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise RefusedError(f"the blob {digest} is larger than {limit} bytes", where=str(path))
        if Digest.of(data) != digest:
            raise other_bytes(digest, Digest.of(data), path)
        return data

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Whether the blob is there, of that size, and its bytes have the digest."""
        try:
            with _open_regular(self.blob_path(digest)) as file:
                if size is not None and os.fstat(file.fileno()).st_size != size:
                    return False
                return _digest_of(file) == digest
        except (OSError, RefusedError):
            return False

    def present(self, blobs: Mapping[Digest, int], jobs: int = 2) -> set[Digest]:
        """Those of some blobs, by digest with their size, for which `has` is true; hashed by several threads."""
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(self.has, blobs.keys(), blobs.values())
            return {digest for digest, there in zip(blobs, found, strict=True) if there}


def other_bytes(named: Digest, found: Digest, place: Path) -> DigestMismatchError:
    """The error for a blob that is not what its name says."""
    return DigestMismatchError(
        f"the blob {named} has the digest {found}",
        where=str(place),
        hint="the file was damaged or changed: copy the whole image again, and find out who writes there",
    )


@contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file that must be a plain one: a FIFO would block, a device never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise RefusedError("not a plain file", where=str(path))
        yield file


def _digest_of(file: BinaryIO) -> Digest:
    return Digest(hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest())


def _read_small(path: Path) -> bytes:
    with _open_regular(path) as file:
        return file.read(LIMIT + 1)
