"""Inflating, with ISA-L where it is installed and with zlib everywhere else: the same bytes, at two speeds."""

import zlib
from collections.abc import Iterator
from typing import Any, Protocol, cast

from mlenv.layers.content import PIECE, Reader
from mlenv.layers.entry import Content, Deflated


class Decompressor(Protocol):
    """What zlib and ISA-L both call a decompression object."""

    eof: bool
    unused_data: bytes
    unconsumed_tail: bytes

    def decompress(self, data: Any, /, max_length: int = 0) -> bytes:
        """At most `max_length` bytes (0: any number) of what `data` inflates to."""


class Inflater(Protocol):
    """A module that inflates: zlib, or isal.isal_zlib. Raises its own `error` for a broken stream."""

    error: type[Exception]

    def decompressobj(self, wbits: int = ..., /) -> Decompressor:
        """A new decompression object; -15 is raw DEFLATE."""

    def crc32(self, data: Any, value: int = 0, /) -> int:
        """CRC-32, continued from `value`."""


ZLIB = cast("Inflater", zlib)


def fastest() -> Inflater:
    """ISA-L where it is installed, else zlib."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 -- absent on some machines
    except ImportError:
        return ZLIB
    return cast("Inflater", isal_zlib)


class BrokenStreamError(Exception):
    """A DEFLATE stream is damaged, or does not end where it should; the text says which, in a few words."""


class RawStream:
    """One raw DEFLATE stream that comes in pieces and must end with the last of them."""

    def __init__(self, inflater: Inflater) -> None:
        self._stream = inflater.decompressobj(-zlib.MAX_WBITS)
        self._error = inflater.error

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What the next piece inflates to, at most `PIECE` bytes at once, however small the piece is."""
        stream = self._stream
        if stream.eof:
            raise BrokenStreamError("there is data after the end of its DEFLATE stream")
        while True:
            try:
                data = stream.decompress(piece, PIECE)
            except self._error as error:
                raise BrokenStreamError(f"its DEFLATE stream is broken ({error})") from None
            yield data
            piece = stream.unconsumed_tail
            # A full answer may mean that more waits inside, even where all input was taken.
            if stream.eof or (not piece and len(data) < PIECE):
                break
        if stream.unused_data:
            raise BrokenStreamError("there is data after the end of its DEFLATE stream")

    def close(self) -> None:
        """No more pieces come."""
        if not self._stream.eof:
            raise BrokenStreamError("its DEFLATE stream does not end where the entry does")


def unpacked(content: Content) -> Iterator[bytes]:
    """The bytes that an entry becomes, at most `PIECE` at once. Raises BrokenStreamError."""
    stream = RawStream(fastest()) if isinstance(content, Deflated) else None
    for piece in Reader().pieces(content):
        if stream is None:
            yield piece
        else:
            yield from stream.feed(piece)
    if stream is not None:
        stream.close()
