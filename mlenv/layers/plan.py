"""Which wheel goes in which layer (layer recipe, "The plan").

The plan is decided once and kept: a layer whose wheels did not change keeps its digest, so that a new package costs
a registry and a node one new layer and not all of them.
"""

from collections.abc import Iterable, Mapping, Sequence

OWN_LAYER = 32 << 20
"""A wheel of that many bytes or more has a layer of its own; smaller ones share layers of about that size."""

MOST_LAYERS = 64
"""Base and ours together. The engines stop at 127, which leaves room for who builds on top of the image."""

Group = tuple[str, ...]


def plan_wheels(sizes: Mapping[str, int], previous: Iterable[Group], room: int) -> list[Group]:
    """Divide wheels, given as name → size in bytes, among at most `room` layers.

    Groups of an earlier plan stay as they are, less what is gone. What is new follows, by size, largest first.
    Every group is sorted by name; `room` is at least 1.
    """
    kept = [group for group in (tuple(sorted(n for n in group if n in sizes)) for group in previous) if group]
    placed = {name for group in kept for name in group}
    new = sorted((name for name in sizes if name not in placed), key=lambda name: (-sizes[name], name))
    return _merge_smallest(kept + _by_rank(new, sizes), sizes, room)


def _by_rank(names: Sequence[str], sizes: Mapping[str, int]) -> list[Group]:
    """Large wheels alone, the others together in their order until a layer is full."""
    groups: list[list[str]] = []
    filled = 0
    for name in names:
        if not groups or filled + sizes[name] > OWN_LAYER:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += sizes[name]
    return [tuple(sorted(group)) for group in groups]


def _merge_smallest(groups: list[Group], sizes: Mapping[str, int], room: int) -> list[Group]:
    """Put the two smallest groups together until there are few enough."""

    def weight(index: int) -> tuple[int, int]:
        return sum(sizes[name] for name in groups[index]), index

    groups = list(groups)
    while len(groups) > max(room, 1):
        first, second = sorted(sorted(range(len(groups)), key=weight)[:2])
        merged = tuple(sorted(groups[first] + groups.pop(second)))
        groups[first] = merged
    return groups
