"""What was read of an image, wherever it lies, as values."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlenv.errors import Problem
from mlenv.model.progress import SILENT, Progress
from mlenv.model.report import Trusted
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.measure import Advance, Each, Item
from mlenv.oci.observed import Observation, ObservedLayer
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
