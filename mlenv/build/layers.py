"""A locked layer -> its blob in an OCI layout. A blob whose digest is not the locked one never gets its name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlenv.errors import DigestMismatchError
from mlenv.layers.entry import Entry
from mlenv.layers.layer import LayerDigest, write_layer
from mlenv.model.lock import LockedLayer, PlatformContents
from mlenv.model.progress import Task
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout_writer import LayoutWriter
from mlenv.sources.contents import Contents
from mlenv.sources.threads import Stop, run_largest_first

if TYPE_CHECKING:
    from mlenv.sources.bases.images import BaseImage


UNLIKE_LOCK = "the lock was edited, or the cache was: restore the one, empty the other with `mlenv cache prune --all`"


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One layer to make, of one platform."""

    layer: LockedLayer
    platform: PlatformContents


@dataclass(frozen=True, slots=True)
class BaseCopy:
    """One layer of a base image to copy as it is."""

    base: "BaseImage"
    layer: Descriptor


def make_layers(
    work: Sequence[LayerWork | BaseCopy], contents: Contents, out: LayoutWriter, task: Task, jobs: int
) -> None:
    """Write all blobs."""

    def write(one: LayerWork | BaseCopy, stop: Stop) -> None:
        if isinstance(one, BaseCopy):
            _copy(one, out, task, stop)
        else:
            _make(one, contents, out, task, stop)

    run_largest_first(work, lambda one: one.layer.size, write, jobs)


def _make(work: LayerWork, contents: Contents, out: LayoutWriter, task: Task, stop: Stop) -> None:
    with entries_of(work, contents) as entries, out.blob_writer() as sink:

        def write(data: bytes) -> None:
            stop.check()
            sink.write(data)
            task.advance(len(data))

        require(work.layer, write_layer(entries, write))
        out.commit(sink, work.layer.digest)


def _copy(work: BaseCopy, out: LayoutWriter, task: Task, stop: Stop) -> None:
    from mlenv.sources.bases.images import open_layer  # noqa: PLC0415 -- most builds copy no base

    stop.check()
    with open_layer(work.base, work.layer) as file:
        out.copy_blob(file, work.layer.digest)
    task.advance(work.layer.size)


def require(locked: LockedLayer, made: LayerDigest) -> None:
    """Raise DigestMismatchError where the layer is not the locked one."""
    if made != LayerDigest(locked.digest, locked.size):
        names = ", ".join(locked.contents[:4]) + (" …" if len(locked.contents) > 4 else "")
        raise DigestMismatchError(
            f"the {locked.kind} layer ({names or 'virtual environment'}) is {made.digest}, "
            f"{made.size} bytes; locked is {locked.digest}, {locked.size} bytes",
            where="mlenv.lock",
            hint=UNLIKE_LOCK,
        )


@contextmanager
def entries_of(work: LayerWork, contents: Contents) -> Iterator[list[Entry]]:
    """What is in a layer, by its kind."""
    layer, platform = work.layer, work.platform
    match layer.kind:
        case "wheels":
            with contents.wheels([platform.wheel(name) for name in layer.contents], platform.base.facts) as entries:
                yield entries
        case "debian":
            with contents.debian(platform.debs) as entries:
                yield entries
        case "venv":
            yield contents.venv(platform.base.facts)
        case "files":
            yield contents.locked_tree(next(tree for tree in platform.trees if tree.target == layer.contents[0]))
