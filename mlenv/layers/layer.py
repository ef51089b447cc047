"""Entries in, a layer's bytes out: a gzip file of many members around a tar, by layer recipe 1.

One walk over the entries makes the compressed bytes. `write_layer` copies DEFLATE streams and hashes the result once;
`measure_layer` also looks inside the streams while they pass by, and refuses what is not what it claims to be.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlenv.layers import gzip, tar
from mlenv.layers.complete import complete
from mlenv.layers.content import LARGE, PIECE, Reader
from mlenv.layers.entry import Deflated, Entry
from mlenv.layers.inflate import Inflater, fastest
from mlenv.layers.inspect import Inspector
from mlenv.model.digest import Digest

__all__ = ["LayerDigest", "MeasuredLayer", "complete", "measure_layer", "write_layer"]


@dataclass(frozen=True, slots=True)
class LayerDigest:
    """The digest and the size in bytes of a layer's compressed bytes, as its descriptor has them."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class MeasuredLayer:
    """Everything that a lock says of a layer.

    `digest` and `size` (bytes) are those of the compressed layer, `diff_id` and `diff_size` those of its tar, `mtree`
    is the digest of the mtree text.
    """

    digest: Digest
    size: int
    diff_id: Digest
    diff_size: int
    mtree: Digest


def write_layer(entries: Iterable[Entry], write: Callable[[bytes], object]) -> LayerDigest:
    """Make a layer without looking into its content: the caller compares the digest with the one that was locked.

    `entries` are in their final order (`complete`). `write` gets the compressed bytes, about a mebibyte at a time.
    """
    output = _Output(write)
    _compose(entries, output, None)
    return output.finish()


def measure_layer(
    entries: Iterable[Entry],
    write: Callable[[bytes], object] | None = None,
    mtree: Callable[[str], object] | None = None,
    *,
    inflater: Inflater | None = None,
) -> MeasuredLayer:
    """Make the same bytes as `write_layer`, and check the content while it passes by.

    `mtree` gets the lines of the mtree text, newlines included; all of them in order are the text that the digest is
    of. `inflater` is zlib or isal.isal_zlib, by default the faster one that is there. Raises RefusedError where a
    DEFLATE stream is broken or does not end where its entry does, and where size, CRC-32 or the hash of the wheel's
    RECORD do not match; what was written is worthless then.
    """
    output = _Output(write)
    inspector = Inspector(inflater or fastest(), mtree)
    _compose(entries, output, inspector)
    layer = output.finish()
    measured = inspector.finish()
    return MeasuredLayer(layer.digest, layer.size, measured.diff_id, measured.diff_size, measured.mtree)


def _compose(entries: Iterable[Entry], output: "_Output", inspector: Inspector | None) -> None:
    """The walk: what has no DEFLATE stream gathers in stored members, each DEFLATE stream is a member of its own."""
    reader = Reader()
    stored = gzip.StoredMember(output.add)
    padding = b""
    for entry in entries:
        content = entry.content
        size = 0 if content is None else content.size
        head = padding + tar.header(entry)
        padding = tar.padding(size)
        stored.add(head)
        if inspector is not None:
            inspector.tar(head)
            inspector.begin(entry)
        if isinstance(content, Deflated):
            _deflated(content, reader, stored, output, inspector)
        elif content is not None:
            for piece in reader.pieces(content):
                stored.add(piece)
                if inspector is not None:
                    inspector.feed(piece)
        if inspector is not None:
            inspector.end()
    tail = padding + tar.END_OF_ARCHIVE
    stored.add(tail)
    stored.close()
    if inspector is not None:
        inspector.tar(tail)


def _deflated(
    content: Deflated, reader: Reader, stored: gzip.StoredMember, output: "_Output", inspector: Inspector | None
) -> None:
    """A data member. A stream that inflates to nothing is checked, and makes none."""
    if content.size:
        stored.close()
        output.add(gzip.MEMBER_HEADER)
    for piece in reader.pieces(content):
        if content.size:
            output.add(piece)
        if inspector is not None:
            inspector.feed(piece)
    if content.size:
        output.add(gzip.trailer(content.crc32, content.size))


class _Output:
    """Gathers small pieces up to about a mebibyte, and hashes and hands on what it has; large ones are not copied."""

    def __init__(self, write: Callable[[bytes], object] | None) -> None:
        self._write = write
        self._hasher = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._gathered_size = 0
        self._size = 0

    def add(self, data: bytes) -> None:
        if len(data) >= LARGE:
            self._flush()
            self._emit(data)
            return
        self._gathered.append(data)
        self._gathered_size += len(data)
        if self._gathered_size >= PIECE:
            self._flush()

    def _flush(self) -> None:
        if self._gathered:
            self._emit(b"".join(self._gathered))
            self._gathered.clear()
            self._gathered_size = 0

    def _emit(self, data: bytes) -> None:
        self._hasher.update(data)
        if self._write is not None:
            self._write(data)
        self._size += len(data)

    def finish(self) -> LayerDigest:
        self._flush()
        return LayerDigest(Digest(self._hasher.hexdigest()), self._size)
