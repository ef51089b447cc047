"""Looks at an image wherever it lies, and hands on what was read there as values."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlenv.errors import UsageError
from mlenv.model.progress import SILENT, Progress
from mlenv.model.report import Trusted
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.observed import Observation, ObservedLayer
from mlenv.oci.reference import Target, Transport
from mlenv.oci.validate import Measure, observe
from mlenv.sources.threads import Stop, run_largest_first


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """What was found under one name at one place.

    `place` is what messages call it (`oci:out`); `trusted` whom one believes that what was read there is what would
    be run. `others` are paths there that the image does not name.
    """

    place: str
    observation: Observation
    trusted: Trusted = Trusted.MATHEMATICS
    others: tuple[str, ...] = ()


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
        case _:
            raise UsageError(
                f"cannot verify {target}", hint="name oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-daemon:NAME:TAG"
            )


def observe_all(layout: Layout, entry: Descriptor, progress: Progress = SILENT) -> Observation:
    """Everything below one entry of a layout; several layers at once, the largest first."""

    def each(measure: Measure, layers: Sequence[Descriptor]) -> Iterable[ObservedLayer]:
        task = progress.task("Hashing layers", sum(layer.size for layer in layers))

        def one(layer: Descriptor, stop: Stop) -> ObservedLayer:
            def advance(amount: int) -> None:
                stop.check()
                task.advance(amount)

            return measure(layer, advance)

        try:
            return run_largest_first(layers, lambda layer: layer.size, one, os.cpu_count() or 2)
        finally:
            task.finish()

    return observe(layout, (entry,), each)
