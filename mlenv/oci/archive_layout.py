"""OCI layouts inside a tar, read where they lie: nothing is unpacked.

The tar is gone through once for where each file begins. The same file stays open from then on, so that what is
hashed is what was listed.
"""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from mlenv.errors import RefusedError
from mlenv.oci.compression import PLAIN, compression_of
from mlenv.oci.layout import BLOBS, Layout
from mlenv.oci.tar_reader import TarEntry, TarKind, TarReader

_PADDING = 1 << 20  # bytes of zeros after the end of a tar; GNU tar writes up to 10 KiB
_BUFFER = 1 << 18
_FILES = 100_000  # entries of a tar that are remembered; an image has a few hundred blobs


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file's bytes lie in the tar. A link has none and says where it leads."""

    start: int
    size: int
    link: str = ""


class ArchiveLayout(Layout):
    """A layout in a tar. Blobs may be read by several threads.

    `file` is an open, seekable tar, which stays open; `path` what messages call it. Raises RefusedError for a tar that
    is compressed, is broken, names a file twice, or goes on after its end.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path)
        self._file = file
        self._places = _places(path, file)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """The tar at `path`; OSError where it can't be opened, RefusedError where it is no plain file."""
        with Layout(path.parent).open_file(path.name) as file:
            yield cls(path, file)

    @contextmanager
    def open_file(self, name: str) -> Iterator[BinaryIO]:
        """A file by its path in the tar. A link in the tar leads to another file of it, once.

        Raises FileNotFoundError where there is none.
        """
        place = self._places.get(name)
        if place is not None and place.link:
            place = self._places.get(place.link)
        if place is None or place.link:
            raise FileNotFoundError(errno.ENOENT, "not in the archive", name)
        with io.BufferedReader(_Section(self._file.fileno(), place), _BUFFER) as file:
            yield cast("BinaryIO", file)

    def has_file(self, name: str) -> bool:
        """Whether the tar has a file of that name, or a link."""
        return name in self._places

    def blob_names(self) -> Iterator[str]:
        """The paths of all that lies where blobs do."""
        return (name for name in self._places if name.startswith(f"{BLOBS}/"))

    def size(self, name: str) -> int:
        """A file's length in bytes; 0 where there is none."""
        place = self._places.get(name)
        place = self._places.get(place.link) if place and place.link else place
        return place.size if place else 0


class _Section(io.RawIOBase):
    """A part of a file, read without moving the file's own position."""

    def __init__(self, descriptor: int, place: _Place) -> None:
        self._descriptor, self._place, self._at = descriptor, place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._place.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        wanted = max(min(len(buffer), self._place.size - self._at), 0)
        data = os.pread(self._descriptor, wanted, self._place.start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _places(path: Path, file: BinaryIO) -> dict[str, _Place]:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = compression_of(file.read(4))
    if kind != PLAIN:
        raise RefusedError(
            f"the archive is compressed with {kind}",
            where=str(path),
            hint="decompress it first: a layout's tar is plain",
        )
    file.seek(0)
    try:
        return _listed(file, length)
    except RefusedError as error:
        raise RefusedError(
            f"not an archive to rely on: {error.problems[0].message}",
            where=str(path),
            hint="write it again, for instance with `mlenv build -o oci-archive:FILE`",
        ) from None


def _listed(file: BinaryIO, length: int) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    reader = TarReader(file)
    for count, entry in enumerate(reader):
        if count == _FILES:
            raise RefusedError(f"the tar has more than {_FILES} entries")
        start, size = file.tell(), reader.leave()
        if start + size > length:
            raise RefusedError("the tar is truncated")
        file.seek(size, os.SEEK_CUR)
        _add(found, entry, start)
    rest = file.read(_PADDING + 1)
    if rest.strip(b"\0") or len(rest) > _PADDING:
        raise RefusedError("the tar goes on after its end")
    return found


def _add(found: dict[str, _Place], entry: TarEntry, start: int) -> None:
    if entry.kind is TarKind.DIRECTORY:
        return
    if entry.path in found:
        raise RefusedError(f"the tar names {entry.path[:200]!a} twice")
    if entry.kind is TarKind.FILE:
        found[entry.path] = _Place(start, entry.size)
    elif entry.kind in (TarKind.SYMLINK, TarKind.HARDLINK):
        found[entry.path] = _Place(start, 0, _destination(entry) or "/")


def _destination(entry: TarEntry) -> str:
    """Where a link leads, as a path in the tar: nowhere if it leaves it."""
    parts = [] if entry.kind is TarKind.HARDLINK else entry.path.split("/")[:-1]
    for part in entry.link.split("/"):
        if part == ".." and not parts:
            return ""
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
