"""The root file system that Debian packages come to, made by rule where dpkg and maintainer scripts would do it.

The rules are in schema/layer-recipe.md, "Debian packages". Nothing is executed: neither dpkg nor any script, so that
packages of another processor come to the same files as on their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mlenv.errors import ResolutionError
from mlenv.layers.complete import same
from mlenv.layers.debian.deb import Deb
from mlenv.layers.debian.generated import generated_entries
from mlenv.layers.debian.relation import parse_relations
from mlenv.layers.debian.status import status_entries
from mlenv.layers.entry import Entry, EntryType

_MERGED = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32")}
_ALIASES = {**_MERGED, "var/run": "run", "var/lock": "run/lock"}
_LINKS = {**_MERGED, "var/run": "/run", "var/lock": "/run/lock"}
_ALWAYS = frozenset({"bin", "sbin", "lib", "var/run", "var/lock"})
_ORIGIN = "the rules for Debian packages"


@dataclass(frozen=True, slots=True)
class _Owned:
    """An entry, and the package that brought it."""

    entry: Entry
    deb: Deb


def rootfs_entries(debs: Sequence[Deb]) -> list[Entry]:
    """All entries of the root file system, each path once; `complete` orders them and adds what parents are missing.

    The order of `debs` does not matter. Raises ResolutionError where two packages bring different files of one path
    and neither replaces the other, or where a package is there twice.
    """
    ordered = sorted(debs, key=lambda deb: (deb.name != "base-files", deb.name))
    for first, second in pairwise(ordered):
        if first.name == second.name:
            raise ResolutionError(f"the package {first.name} is there twice", where=second.origin)
    owned: dict[str, _Owned] = {}
    for deb in ordered:
        for entry in deb.entries():
            moved = _moved(entry)
            if moved is not None:
                mine = _Owned(moved, deb)
                owned[moved.path] = _one_of(owned.get(moved.path, mine), mine)
    entries = {path: item.entry for path, item in owned.items()}
    for entry in (*_alias_links(entries), *generated_entries(entries), *status_entries(ordered)):
        entries.setdefault(entry.path, entry)
    return list(entries.values())


def _moved(entry: Entry) -> Entry | None:
    """The entry at its place in a merged /usr (and /run); None for what is a link to that place already."""
    for alias, target in _ALIASES.items():
        if entry.path == alias:
            if entry.type is EntryType.SYMLINK and entry.link.strip("/") == target:
                return None
            return replace(entry, path=target)
        if entry.path.startswith(f"{alias}/"):
            return replace(entry, path=target + entry.path.removeprefix(alias))
    return entry


def _alias_links(entries: Mapping[str, Entry]) -> Iterable[Entry]:
    """`bin` and the like as symlinks; the libraries of other widths only where there are some."""
    filled = {path for path in _ALIASES.values() if path in entries}
    filled |= {target for target in _ALIASES.values() if any(path.startswith(f"{target}/") for path in entries)}
    for alias, link in _LINKS.items():
        if alias in _ALWAYS or _ALIASES[alias] in filled:
            yield Entry(alias, EntryType.SYMLINK, 0o777, link=link, origin=_ORIGIN)


def _one_of(first: _Owned, second: _Owned) -> _Owned:
    """Which of two entries of one path stays: as dpkg decides, but in no particular order of installation."""
    if first is second or first.entry == second.entry:
        return first
    kinds = {first.entry.type, second.entry.type}
    if kinds == {EntryType.DIRECTORY}:
        return first  # a folder belongs to all that use it, and keeps the owner and mode that it has
    if _replaces(first.deb, second.deb):
        return first
    if _replaces(second.deb, first.deb):
        return second
    if same(first.entry, second.entry):
        return first
    raise ResolutionError(
        f"two Debian packages bring different files /{first.entry.path}: {first.deb.origin.removeprefix(_PREFIX)} "
        f"and {second.deb.origin.removeprefix(_PREFIX)}",
        where="base.debian.packages",
        hint="leave one of the two out; dpkg would refuse them together too",
    )


_PREFIX = "Debian package "


def _replaces(deb: Deb, other: Deb) -> bool:
    """Whether files of `other` give way to those of `deb` (Debian policy 7.6.1)."""
    groups = parse_relations(deb.fields.get("Replaces", ""))
    return any(relation.name == other.name and relation.holds(other.version) for group in groups for relation in group)
