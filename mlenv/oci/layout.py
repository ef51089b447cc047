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
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError, UsageError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.strict_json import LIMIT, parse_json, shown
from mlenv.oci.descriptor import REF_NAME, Descriptor
from mlenv.oci.image import ImageIndex

BLOBS = "blobs/sha256"
LAYOUT_FILE = canonical_json({"imageLayoutVersion": "1.0.0"})


class Layout:
    """A layout to read. Nothing in it is trusted: every blob is hashed on the open file that is then used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.path / blob_name(digest)

    @contextmanager
    def open_file(self, name: str) -> Iterator[BinaryIO]:
        """A file by its path in the layout, open and at its start. It is a plain one; its bytes are not checked.

        Raises OSError where there is none, RefusedError where it is no plain file.
        """
        with _open_regular(self.path / name) as file:
            yield file

    def blob_names(self) -> Iterator[str]:
        """The paths in the layout of all that lies where blobs do."""
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from (f"{BLOBS}/{entry.name}" for entry in os.scandir(self.path / BLOBS))

    def index(self) -> ImageIndex:
        """index.json, after a look at the format's version.

        Raises UsageError where `path` is no layout, RefusedError where one of the two files is broken, UnavailableError
        where one can't be read.
        """
        try:
            version, index = (self._read_small(name) for name in ("oci-layout", "index.json"))
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = f"not an OCI layout: {Path(str(error.filename)).name} is missing"
            raise UsageError(
                missing if os.path.lexists(self.path) else "there is no such folder",
                where=str(self.path),
                hint="name a directory (oci:) or an archive (oci-archive:) that holds index.json and oci-layout",
            ) from None
        except OSError as error:
            raise UnavailableError(
                f"cannot read {Path(str(error.filename)).name}: {error.strerror}",
                where=str(self.path),
                hint="check the directory's permissions and what lies in it",
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
        with self.open_file(blob_name(digest)) as file:
            found = _digest_of(file)
            if found != digest:
                raise other_bytes(digest, found, path)
            file.seek(0)
            yield file

    def read_blob(self, digest: Digest, limit: int = LIMIT) -> bytes:
        """A small blob whole: a manifest or a config. Raises as `open_blob`, and RefusedError beyond `limit` bytes."""
        path = self.blob_path(digest)
        with self.open_file(blob_name(digest)) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise RefusedError(f"the blob {digest} is larger than {limit} bytes", where=str(path))
        if Digest.of(data) != digest:
            raise other_bytes(digest, Digest.of(data), path)
        return data

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Whether the blob is there, of that size, and its bytes have the digest."""
        try:
            with self.open_file(blob_name(digest)) as file:
                if size is not None and file.seek(0, os.SEEK_END) != size:
                    return False
                file.seek(0)
                return _digest_of(file) == digest
        except (OSError, RefusedError):
            return False

    def present(self, blobs: Mapping[Digest, int], jobs: int = 2) -> set[Digest]:
        """Those of some blobs, by digest with their size, for which `has` is true; hashed by several threads."""
        with ThreadPoolExecutor(jobs) as pool:
            found = pool.map(self.has, blobs.keys(), blobs.values())
            return {digest for digest, there in zip(blobs, found, strict=True) if there}

    def _read_small(self, name: str) -> bytes:
        with self.open_file(name) as file:
            return file.read(LIMIT + 1)


def blob_name(digest: Digest) -> str:
    """A blob's path in a layout."""
    return f"{BLOBS}/{digest.hex}"


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
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError("not a plain file", where=str(path), hint="put the file itself there")
    with open(descriptor, "rb") as file:  # noqa: PTH123 -- it is open already
        yield file


def _digest_of(file: BinaryIO) -> Digest:
    return Digest(hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest())
