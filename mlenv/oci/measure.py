"""Computes the digest, the size and the diff_id of a layer from its bytes.

Every blob is read once, in a stream and in flat memory: the bytes that are hashed are the bytes that are unpacked.
"""

import errno
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, Protocol, TypeAlias, TypeVar

from mlenv.errors import MlenvError, Problem, RefusedError
from mlenv.model.digest import Digest
from mlenv.oci.compression import PLAIN, HashedStream, compression_of, inflated
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout, blob_name
from mlenv.oci.observed import ObservedLayer
from mlenv.oci.tar_reader import TarReader

_CHUNK = 1 << 20

Advance: TypeAlias = Callable[[int], None]


class Sized(Protocol):
    """Something to measure. `size` in bytes is what is said of it: good for an order of work and nothing else."""

    @property
    def size(self) -> int:
        """Bytes."""


Item = TypeVar("Item", bound=Sized)


class Each(Protocol):
    """A way to measure things, in any order and by several threads if it likes; results in the order of the items."""

    def __call__(
        self, measure: Callable[[Item, Advance], ObservedLayer], items: Sequence[Item], /
    ) -> Iterable[ObservedLayer]:
        """Measure all. What `Advance` gets is bytes that were read; it may raise to end the work."""


def one_by_one(measure: Callable[[Item, Advance], ObservedLayer], items: Sequence[Item]) -> Iterable[ObservedLayer]:
    """The plainest way to measure."""
    return [measure(item, lambda _: None) for item in items]


def problem(layout: Layout, digest: Digest, message: str) -> Problem:
    """Something that is wrong with a blob of a layout."""
    return Problem(message, f"{layout.path}: {digest}")


def measure_blob(layout: Layout, named: Descriptor, advance: Advance, *, unpack: bool) -> ObservedLayer:
    """A blob, read once from its first byte to its last. What can't be unpacked has no diff_id."""
    try:
        with layout.open_file(blob_name(named.digest)) as file:
            compression, size = compression_of(file.read(4)), file.seek(0, 2)
            file.seek(0)
            stream = HashedStream(file, advance)
            diff_id, broken = _unpacked(stream, compression, size) if unpack else (None, "")
            while stream.read(_CHUNK):
                pass
    except (MlenvError, OSError) as error:
        said = (problem(layout, named.digest, reason(error)),)
        return ObservedLayer(named, problems=said, unreadable=is_unreadable(error))
    if stream.digest() != named.digest:
        return ObservedLayer(named, stream.digest(), stream.size, compression=compression)
    problems = (problem(layout, named.digest, broken),) if broken else ()
    return ObservedLayer(named, stream.digest(), stream.size, problems, diff_id=diff_id, compression=compression)


def measure_tar(layout: Layout, name: str, advance: Advance) -> ObservedLayer:
    """A layer that lies in a layout as a plain tar, under any name: its diff_id, if it is a tar to its end."""
    try:
        with layout.open_file(name) as file:
            return ObservedLayer(None, diff_id=_read_tar(file, advance), compression=PLAIN)
    except (MlenvError, OSError) as error:
        said = (Problem(reason(error), f"{layout.path}: {name}"),)
        return ObservedLayer(None, problems=said, unreadable=is_unreadable(error))


def _unpacked(stream: HashedStream, compression: str, size: int) -> tuple[Digest | None, str]:
    """The diff_id of a layer, or why it has none."""
    try:
        with inflated(stream, compression, size) as tar:
            return _read_tar(tar), ""
    except (MlenvError, OSError) as error:
        return None, reason(error)


def _read_tar(tar: BinaryIO, advance: Advance | None = None) -> Digest:
    """The digest of a tar, which must also be one from its first header to its end; RefusedError."""
    stream = HashedStream(tar, advance)
    for _ in TarReader(stream):
        pass
    while rest := stream.read(_CHUNK):
        if rest.strip(b"\0"):
            raise RefusedError("the layer goes on after the end of its tar")
    return stream.digest()


def reason(error: Exception) -> str:
    """What to say of a blob that could not be read."""
    if isinstance(error, FileNotFoundError):
        return "the blob is missing"
    if isinstance(error, MlenvError):
        return error.problems[0].message
    return f"the blob can't be read: {(isinstance(error, OSError) and error.strerror) or error}"


def is_unreadable(error: Exception) -> bool:
    """Whether the reason lies with this machine and not with what was to be read."""
    return isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EIO)
