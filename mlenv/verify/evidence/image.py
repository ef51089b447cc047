"""Looks at an image wherever it lies, and hands on what was read there as values."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlenv.errors import Problem, UsageError
from mlenv.model.progress import SILENT, Progress
from mlenv.model.report import Trusted
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.measure import Advance, Each, Item
from mlenv.oci.observed import Observation, ObservedLayer
from mlenv.oci.reference import Target, Transport
from mlenv.oci.validate import observe
from mlenv.sources.threads import Stop, run_largest_first


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What was found under one name at one place.

    `place` is what messages call it (`oci:out`); `trusted` whom one believes that what was read there is what would
    be run. `others` are paths there that the image does not name. `unread` is why nothing of the image could be read.
    """

    place: str
    observation: Observation
    trusted: Trusted = Trusted.MATHEMATICS
    others: tuple[str, ...] = ()
    unread: Problem | None = None


def look_at(target: Target, progress: Progress = SILENT) -> ImageEvidence:
    """Read the whole image that a target names, and hash it.

    Whatever is wrong with the image is part of the evidence. Raises UsageError where nothing or more than one thing
    has that name or the transport can't be looked at, RefusedError where its list of images can't be read,
    UnavailableError where the engine can't be reached or there is no such file.
    """
    match target.transport:
        case Transport.OCI:
            from mlenv.verify.evidence.layout import look_at_layout  # noqa: PLC0415 -- one of the three is needed

            return look_at_layout(target, progress)
        case Transport.OCI_ARCHIVE:
            from mlenv.verify.evidence.archive import look_at_archive  # noqa: PLC0415 -- as above

            return look_at_archive(target, progress)
        case Transport.DOCKER_DAEMON:
            from mlenv.verify.evidence.engine import look_at_engine  # noqa: PLC0415 -- as above

            return look_at_engine(target, progress)
        case _:
            raise UsageError(
                f"cannot verify {target}", hint="name oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-daemon:NAME:TAG"
            )


def observe_all(layout: Layout, entry: Descriptor, progress: Progress = SILENT) -> Observation:
    """Everything below one entry of a layout."""
    return observe(layout, (entry,), measuring(progress))


def measuring(progress: Progress) -> Each:
    """Several layers at once, the largest first: hashing and inflating leave the interpreter free."""

    def each(measure: Callable[[Item, Advance], ObservedLayer], items: Sequence[Item]) -> list[ObservedLayer]:
        task = progress.task("Hashing layers", sum(item.size for item in items))

        def one(item: Item, stop: Stop) -> ObservedLayer:
            def advance(amount: int) -> None:
                stop.check()
                task.advance(amount)

            return measure(item, advance)

        try:
            return run_largest_first(items, lambda item: item.size, one, os.cpu_count() or 2)
        finally:
            task.finish()

    return each
