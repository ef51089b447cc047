"""Looks into a layer's content while it passes by: inflates, checks, and hashes the tar and every file."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from mlenv.errors import RefusedError
from mlenv.layers import mtree
from mlenv.layers.content import LARGE, PIECE
from mlenv.layers.entry import Content, Deflated, Entry, Stored
from mlenv.layers.inflate import BrokenStreamError, Inflater, RawStream
from mlenv.model.digest import Digest

EMPTY_SHA256 = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a layer's tar is: digest and size (bytes) of the tar, digest of its mtree text."""

    diff_id: Digest
    diff_size: int
    mtree: Digest


class Inspector:
    """Follows one layer: `begin` an entry, `feed` it the bytes that lie in its file, `end` it; `finish` at last."""

    def __init__(self, inflater: Inflater, mtree_line: Callable[[str], object] | None) -> None:
        self._inflater = inflater
        self._mtree_line = mtree_line
        self._tar_hasher = hashlib.sha256()
        self._tar_size = 0
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._mtree_hasher = hashlib.sha256()
        self._line(mtree.SIGNATURE)

    def tar(self, data: bytes) -> None:
        """Bytes of the tar, in order: what lies before an entry's content, the content, the end."""
        if len(data) >= LARGE:
            self._flush()
            self._tar_hasher.update(data)
            self._tar_size += len(data)
            return
        self._gathered.append(data)
        self._gathered_size += len(data)
        if self._gathered_size >= PIECE:
            self._flush()

    def _flush(self) -> None:
        self._tar_hasher.update(b"".join(self._gathered))
        self._tar_size += self._gathered_size
        self._gathered.clear()
        self._gathered_size = 0

    def _line(self, line: str) -> None:
        self._mtree_hasher.update(line.encode("ascii"))
        if self._mtree_line is not None:
            self._mtree_line(line)

    def begin(self, entry: Entry) -> None:
        """An entry begins whose header was given to `tar`."""
        self._entry = entry
        if entry.content is not None:
            self._check = _Check(entry, entry.content, self._inflater, self.tar)

    def feed(self, piece: bytes) -> None:
        """The next bytes of the entry, as they lie in its file."""
        self._check.feed(piece)

    def end(self) -> None:
        """The entry is over."""
        entry = self._entry
        if entry.content is None:
            self._line(mtree.line(entry, 0, EMPTY_SHA256))
        else:
            self._line(mtree.line(entry, entry.content.size, self._check.finish()))

    def finish(self) -> Inspected:
        """The layer is over."""
        self._flush()
        return Inspected(Digest(self._tar_hasher.hexdigest()), self._tar_size, Digest(self._mtree_hasher.hexdigest()))


class _Check:
    """Follows the content of one entry, inflates it where that is needed, and passes it on to the tar."""

    def __init__(self, entry: Entry, content: Content, inflater: Inflater, tar: Callable[[bytes], object]) -> None:
        self._entry = entry
        self._tar = tar
        self._size = content.size
        self._seen = 0
        self._crc32 = inflater.crc32
        self._crc = 0
        self._sha256 = hashlib.sha256()
        self._expected_crc: int | None = None
        self._record: tuple[str, bytes] | None = None
        if isinstance(content, Deflated | Stored):
            self._expected_crc, self._record = content.crc32, content.record
        # The hash of RECORD is nearly always the sha256 that is made anyway.
        self._other = hashlib.new(self._record[0]) if self._record and self._record[0] != "sha256" else None
        self._stream = RawStream(inflater) if isinstance(content, Deflated) else None

    def feed(self, piece: bytes) -> None:
        if self._stream is None:
            self._take(piece)
            return
        try:
            for data in self._stream.feed(piece):
                self._take(data)
        except BrokenStreamError as error:
            raise self._refused(str(error)) from None

    def _take(self, data: bytes) -> None:
        self._seen += len(data)
        if self._seen > self._size:
            raise self._refused(f"it holds more than the {self._size} bytes that it declares")
        if self._expected_crc is not None:
            self._crc = self._crc32(data, self._crc)
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)
        self._tar(data)

    def finish(self) -> str:
        """The sha256 of the content in hexadecimal, once everything is as it should be."""
        try:
            if self._stream is not None:
                self._stream.close()
        except BrokenStreamError as error:
            raise self._refused(str(error)) from None
        if self._seen != self._size:
            raise self._refused(f"it holds {self._seen} bytes and declares {self._size}")
        if self._expected_crc is not None and self._crc != self._expected_crc:
            raise self._refused(f"its CRC-32 is {self._crc:08x} and not {self._expected_crc:08x} as the archive says")
        if self._record is not None:
            found = (self._other or self._sha256).digest()
            if found != self._record[1]:
                raise self._refused(f"its {self._record[0]} is {found.hex()} and RECORD says {self._record[1].hex()}")
        return self._sha256.hexdigest()

    def _refused(self, problem: str) -> RefusedError:
        return RefusedError(
            f"{self._entry.path}: {problem}",
            where=self._entry.origin,
            hint="the archive was damaged or made to deceive; get it from its publisher, or lock another version",
        )
