"""Planned content -> locked layers: made once, to know their digests, and thrown away.

Making a wheel's layer costs little more than reading it, so what is kept is its digests, under what they follow from:
the recipe, the wheels, and the paths that they are installed to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from mlenv.layers.entry import Entry
from mlenv.layers.layer import MeasuredLayer, measure_layer
from mlenv.model.digest import Digest
from mlenv.model.facts import BaseFacts
from mlenv.model.lock import RECIPE_VERSION, LockedDeb, LockedLayer, LockedWheel
from mlenv.model.progress import Task
from mlenv.sources.contents import PREFIX, Contents
from mlenv.sources.threads import Stop, run_largest_first

RECORDS = "layers"


@dataclass(frozen=True, slots=True)
class WheelGroup:
    """The wheels of one planned layer, sorted by name."""

    wheels: tuple[LockedWheel, ...]

    def key(self, facts: BaseFacts) -> str:
        """Everything that the layer's bytes follow from."""
        wheels = " ".join(f"{wheel.digest}{'+' if wheel.requested else ''}" for wheel in self.wheels)
        return f"recipe {RECIPE_VERSION} wheels {PREFIX} {facts.python_minor} {wheels}"

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size for wheel in self.wheels)


def deb_key(debs: Sequence[LockedDeb]) -> str:
    """Everything that the bytes of a layer of Debian packages follow from."""
    return f"recipe {RECIPE_VERSION} debs " + " ".join(str(deb.digest) for deb in debs)


def recall(contents: Contents, key: str) -> MeasuredLayer | None:
    """What an earlier run measured, where it is still whole."""
    value = contents.cache.record(RECORDS, key)
    try:
        return MeasuredLayer(
            Digest.parse(value["digest"]),
            int(value["size"]),
            Digest.parse(value["diff_id"]),
            int(value["diff_size"]),
            Digest.parse(value["mtree"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def remember(contents: Contents, key: str, layer: MeasuredLayer) -> MeasuredLayer:
    """Keep a measurement for the next run."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    value = {name: str(one) if isinstance(one, Digest) else one for name, one in values.items()}
    contents.cache.remember(RECORDS, key, value)
    return layer


def measure(entries: list[Entry], stop: Stop, task: Task) -> MeasuredLayer:
    """Make the layer, look at everything in it, keep nothing."""

    def passed(data: bytes) -> None:
        stop.check()
        task.advance(len(data))

    return measure_layer(entries, passed)


def measure_wheels(
    groups: Sequence[WheelGroup], facts: BaseFacts, contents: Contents, task: Task, jobs: int
) -> list[MeasuredLayer]:
    """The layers of several groups of wheels, in their order."""

    def one(group: WheelGroup, stop: Stop) -> MeasuredLayer:
        with contents.wheels(group.wheels, facts) as entries:
            return remember(contents, group.key(facts), measure(entries, stop, task))

    return run_largest_first(groups, lambda group: group.size, one, jobs)


def locked_layer(kind: str, contents: Sequence[str], layer: MeasuredLayer) -> LockedLayer:
    """A measurement as the lock writes it."""
    return LockedLayer.model_validate(
        {
            "kind": kind,
            "contents": tuple(contents),
            "digest": layer.digest,
            "size": layer.size,
            "diff-id": layer.diff_id,
            "mtree": layer.mtree,
        }
    )
