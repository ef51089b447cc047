"""Layer compression: from the bytes of a layer blob to its tar, in a stream and in flat memory."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import zstandard

from mlenv.errors import RefusedError
from mlenv.model.digest import Digest

_gzip: Any = gzip
_broken: Any = (OSError, EOFError, zlib.error, zstandard.ZstdError)
try:
    from isal import igzip, isal_zlib
except ImportError:  # there is no wheel of it for this processor
    pass
else:
    _gzip, _broken = igzip, (*_broken, isal_zlib.error)

GZIP, ZSTD, PLAIN = "gzip", "zstd", "tar"
_RATIO = 100  # a real layer stays under 20; DEFLATE itself ends at 1032
_SMALL = 1 << 30  # bytes of tar under which no ratio is looked at


def compression_of(head: bytes) -> str:
    """What the first four bytes of a layer say: GZIP, ZSTD or, if neither, PLAIN."""
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    return ZSTD if head.startswith(b"\x28\xb5\x2f\xfd") else PLAIN


@contextmanager
def open_layer(file: BinaryIO) -> Iterator[BinaryIO]:
    """The tar inside an open, seekable layer blob that stands at its start. All members of a gzip file are read.

    Reading it raises RefusedError where the compressed bytes are broken, and where a gigabyte or more comes out
    of a hundredth of its size.
    """
    kind = compression_of(file.read(4))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with inflated(file, kind, size) as tar:
        yield tar


@contextmanager
def inflated(file: "BinaryIO | HashedStream", kind: str, size: int) -> Iterator[BinaryIO]:
    """The same of a stream that can't seek: `kind` is what its first bytes say, `size` its length."""
    if kind == GZIP:
        inner = cast("BinaryIO", _gzip.open(file, "rb"))
    elif kind == ZSTD:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        inner = cast("BinaryIO", reader.stream_reader(cast("BinaryIO", file), read_across_frames=True, closefd=False))
    else:
        yield cast("BinaryIO", file)
        return
    with inner:
        yield cast("BinaryIO", _Checked(inner, max(size * _RATIO, _SMALL)))


class HashedStream(io.RawIOBase):
    """A stream that hashes what is read from it, and counts it: `size` in bytes.

    Read to its end, the tar of a layer has the diff_id as its digest. `advance` is told of every piece.
    """

    def __init__(self, inner: BinaryIO, advance: Callable[[int], None] | None = None) -> None:
        self._inner = inner
        self._advance = advance
        self._hasher = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""
        data = self._inner.read(size)
        self._hasher.update(data)
        self.size += len(data)
        if self._advance is not None:
            self._advance(len(data))
        return data

    def readinto(self, buffer: Any, /) -> int:
        """The same, into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def digest(self) -> Digest:
        """Of what was read so far."""
        return Digest(self._hasher.hexdigest())


class _Checked(io.RawIOBase):
    """A stream whose own errors are RefusedError, and that ends with one beyond `limit` bytes."""

    def __init__(self, inner: BinaryIO, limit: int) -> None:
        self._inner = inner
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._inner.read(size)
        except _broken as error:
            raise RefusedError(f"the layer's compression is broken: {error}") from None
        self._left -= len(data)
        if self._left < 0:
            raise RefusedError(f"the layer grows to more than {_RATIO} times its size: a decompression bomb")
        return data
