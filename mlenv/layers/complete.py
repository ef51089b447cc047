"""From the entries that packages bring to the entries of a layer: ordered, complete, without contradiction."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from mlenv.errors import RefusedError, ResolutionError
from mlenv.layers.entry import Content, Entry, EntryType
from mlenv.layers.inflate import BrokenStreamError, unpacked

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SPECIAL_PARENTS = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}


def complete(entries: Iterable[Entry], *, fold: bool = True) -> list[Entry]:
    """The entries in bytewise order of their paths, each path once, every parent directory before its content.

    Missing parents belong to root, with mode 0755 (tmp and var/tmp 1777, root 0700). Where several entries have one
    path and agree in type, mode, owner, link and bytes, the first of them stays. Everything else that has one path,
    a file where a directory is needed, a name that no file can have, and (with `fold`) two paths that differ only in
    case or Unicode normalisation is a ResolutionError that names both origins.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        first = by_path.setdefault(entry.path, entry)
        if first is not entry and not same(first, entry):
            raise _collision(first, entry)
    _add_parents(by_path)
    ordered = [by_path[path] for path in sorted(by_path)]
    if fold:
        _refuse_folding(ordered)
    return ordered


def _add_parents(by_path: dict[str, Entry]) -> None:
    """Every parent of every path becomes a directory, or is one; the names are checked on the way."""
    for entry in list(by_path.values()):
        _check_name(entry)
        path = entry.path
        while (slash := path.rfind("/")) != -1:
            path = path[:slash]
            parent = by_path.get(path)
            if parent is None:
                mode = _SPECIAL_PARENTS.get(path, 0o755)
                by_path[path] = Entry(path, EntryType.DIRECTORY, mode, origin=entry.origin)
                continue
            if parent.type is not EntryType.DIRECTORY:
                raise _collision(parent, entry, f"{path} is needed as a directory, and is none")
            break


def _check_name(entry: Entry) -> None:
    path = entry.path
    parts = path.split("/")
    if not path or "" in parts or "." in parts or ".." in parts or _CONTROL.search(path) or _not_utf8(path):
        raise ResolutionError(
            f"a file cannot have the name {path!r} in an image",
            where=entry.origin,
            hint="names are relative, in UTF-8, without control characters and without . or .. in them",
        )


def _not_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_folding(ordered: list[Entry]) -> None:
    folded: dict[str, Entry] = {}
    for entry in ordered:
        other = folded.setdefault(fold_name(entry.path), entry)
        if other is not entry:
            raise _collision(other, entry, f"{other.path} and {entry.path} are one file where case does not count")


def fold_name(path: str) -> str:
    """What file systems that ignore case and Unicode normalisation take for the same name."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _collision(first: Entry, second: Entry, problem: str = "") -> ResolutionError:
    message = problem or f"{first.path} is brought twice, with different content"
    return ResolutionError(
        f"{message}: by {first.origin or 'the environment'} and by {second.origin or 'the environment'}",
        where=second.origin,
        hint="leave one of the two out, or choose versions that do not share this path",
    )


def same(first: Entry, second: Entry) -> bool:
    """Whether two entries would become the same file, byte for byte."""
    if (first.type, first.mode, first.uid, first.gid, first.link) != (
        second.type,
        second.mode,
        second.uid,
        second.gid,
        second.link,
    ):
        return False
    if first.content is None or second.content is None:
        return first.content is second.content
    if first.content.size != second.content.size:
        return False
    return first.content == second.content or _sha256(first.content) == _sha256(second.content)


def _sha256(content: Content) -> bytes:
    hasher = hashlib.sha256()
    try:
        for data in unpacked(content):
            hasher.update(data)
    except BrokenStreamError as error:
        raise RefusedError(
            f"two packages bring one path, and {error} in one of them", hint="get the packages from their publishers"
        ) from None
    return hasher.digest()
