"""The wheels of one platform, and the layers that they go in.

What asks an index is imported only where one is asked: a lock that stays as it is takes a moment.
"""
# ruff: noqa: PLC0415 -- as the docstring says

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mlenv.errors import ResolutionError
from mlenv.layers.layer import complete
from mlenv.layers.plan import MOST_LAYERS, plan_wheels
from mlenv.model.digest import Digest
from mlenv.model.facts import BaseFacts
from mlenv.model.lock import LockedLayer, LockedPlatform, LockedWheel
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.tags import PythonTarget
from mlenv.resolve.measure import WheelGroup, locked_layer, measure_wheels, recall
from mlenv.sources.contents import Contents
from mlenv.sources.locked import fetch_locked_wheels
from mlenv.sources.requested import package_request
from mlenv.sources.surroundings import Surroundings

if TYPE_CHECKING:
    from mlenv.sources.packages.pylock import ResolvedWheel


def resolve_wheels(
    manifest: EnvironmentManifest,
    target: PythonTarget,
    around: Surroundings,
    previous: LockedPlatform | None,
    *,
    request: Digest,
    upgrade: bool | Collection[str],
) -> tuple[LockedWheel, ...]:
    """The wheels, sorted by name, all of them in the cache unless they are those of the earlier lock."""
    if previous is not None and previous.package_request == request and not upgrade:
        return previous.wheels
    if not manifest.python.packages and not manifest.python.requirements:
        return ()
    from mlenv.sources.fetch import Fetch, fetch_all
    from mlenv.sources.packages.resolve import resolve_packages

    resolved = resolve_packages(
        package_request(manifest, around),
        target,
        environ=around.environ,
        preferences={wheel.name: wheel.version for wheel in previous.wheels} if previous else {},
        upgrade=upgrade,
        progress=around.progress,
    )
    fetch_all(
        [Fetch(wheel.url, wheel.sha256, wheel.size, wheel.filename) for wheel in resolved],
        around.cache,
        progress=around.progress,
    )
    return tuple(_locked(wheel, around) for wheel in resolved)


def _locked(wheel: "ResolvedWheel", around: Surroundings) -> LockedWheel:
    return LockedWheel(
        name=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        digest=wheel.sha256,
        size=around.cache.path(wheel.sha256).stat().st_size,
        requested=wheel.requested,
    )


def plan_layers(
    wheels: Sequence[LockedWheel], previous: LockedPlatform | None, other_layers: int, *, fresh: bool
) -> list[WheelGroup]:
    """The wheels divided among layers, as in the earlier lock where one is kept."""
    room = MOST_LAYERS - other_layers
    if room < 1:
        raise ResolutionError(
            f"{other_layers} layers of base and files leave no room for packages below the limit of {MOST_LAYERS}",
            hint="use a base with fewer layers, or fewer [[files]]",
        )
    earlier = [] if fresh or previous is None else [one.contents for one in previous.layers if one.kind == "wheels"]
    by_name = {wheel.name: wheel for wheel in wheels}
    groups = plan_wheels({wheel.name: wheel.size for wheel in wheels}, earlier, room)
    return [WheelGroup(tuple(by_name[name] for name in group)) for group in groups]


def wheel_layers(
    manifest: EnvironmentManifest,
    groups: Sequence[WheelGroup],
    facts: BaseFacts,
    target: PythonTarget,
    around: Surroundings,
    previous: LockedPlatform | None,
) -> tuple[LockedLayer, ...]:
    """The layers of all groups: from the earlier lock, from the records, or measured now, whichever comes first.

    Only where something must be measured are wheels opened, and those that the cache lacks fetched.
    """
    contents = Contents(around.cache, around.project, around.jobs)
    known = [_from_lock(group, facts, previous) or _recalled(group, facts, contents) for group in groups]
    missing = [group for group, layer in zip(groups, known, strict=True) if layer is None]
    if missing:
        wheels = [wheel for group in groups for wheel in group.wheels]
        fetch_locked_wheels(wheels, package_request(manifest, around), target, around)
        refuse_collisions(groups, facts, contents)
        task = around.progress.task("Hashing layers", sum(group.size for group in missing))
        try:
            measured = iter(measure_wheels(missing, facts, contents, task, around.jobs))
        finally:
            task.finish()
        known = [
            layer or locked_layer("wheels", [wheel.name for wheel in group.wheels], next(measured))
            for group, layer in zip(groups, known, strict=True)
        ]
    return tuple(layer for layer in known if layer is not None)


def refuse_collisions(groups: Sequence[WheelGroup], facts: BaseFacts, contents: Contents) -> None:
    """Two wheels with one path and other bytes: an error, in one layer or in two."""
    with ExitStack() as stack:
        complete(contents.installed([wheel for group in groups for wheel in group.wheels], facts, stack))


def _from_lock(group: WheelGroup, facts: BaseFacts, previous: LockedPlatform | None) -> LockedLayer | None:
    """The layer of the earlier lock that has exactly this content."""
    if previous is None or previous.base.facts.python_minor != facts.python_minor:
        return None
    names = tuple(wheel.name for wheel in group.wheels)
    layer = next((one for one in previous.layers if one.kind == "wheels" and one.contents == names), None)
    if layer is None or tuple(previous.wheel(name) for name in names) != group.wheels:
        return None
    return layer


def _recalled(group: WheelGroup, facts: BaseFacts, contents: Contents) -> LockedLayer | None:
    measured = recall(contents, group.key(facts))
    return None if measured is None else locked_layer("wheels", [wheel.name for wheel in group.wheels], measured)
