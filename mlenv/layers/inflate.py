"""Inflating, with ISA-L where it is installed and with zlib everywhere else: the same bytes, at two speeds."""

import zlib
from typing import Any, Protocol, cast


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
