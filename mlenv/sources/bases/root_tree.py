"""The root file system that layers make when they are laid on one another, as far as somebody wants to know of it.

Only what a caller keeps is held: symlinks, and a value per regular file that it found worth one. Nothing is ever
written to a disk, so a name in a layer can do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlenv.errors import RefusedError

_NODES = 2_000_000
_LINKS = 40  # what Linux follows at most


@dataclass(slots=True)
class Node:
    """A place in the tree. `value` is None for a directory, a `Link`, or what the caller keeps of a file."""

    layer: int
    value: object = None
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink and its target, relative to where it lies or absolute within the root."""

    target: str


class RootTree:
    """Layers are added in order, the lowest first; `begin_layer` starts the next one and ends the one before."""

    def __init__(self) -> None:
        self._root = Node(0)
        self._layer = 0
        self._nodes = 0
        self._hidden: set[str] = set()
        self._opaque: set[str] = set()

    def begin_layer(self) -> None:
        """What comes now belongs to the next layer; whiteouts of the layer before take effect on those below it."""
        if self._hidden or self._opaque:
            self._prune(self._root, "", hidden=False)
        self._hidden.clear()
        self._opaque.clear()
        self._layer += 1

    def directory(self, path: str) -> None:
        """A directory: one that was there keeps its content, anything else of that name gives way."""
        node = self._at(path, follow_last=False)
        if node is not None:
            node.value, node.layer = None, self._layer

    def put(self, path: str, value: object) -> None:
        """A file or a link (`Link`); with value None a file that nobody keeps, which still replaces what was there."""
        name = path.rpartition("/")[2]
        if name.startswith(".wh."):
            self._whiteout(path, name)
            return
        parent = self._at(path.rpartition("/")[0], make=value is not None)
        if parent is None:
            return
        if value is None:
            parent.children.pop(name, None)
            return
        self._count()
        parent.children[name] = Node(self._layer, value)

    def get(self, path: str) -> object:
        """What is kept of the file at a path, links followed; None where there is none or it's a directory."""
        node = self._at(path, follow_last=True)
        return None if node is None else node.value

    def resolve(self, path: str) -> str | None:
        """The absolute path without any link in it, or None where nothing that is kept lies there."""
        found = self._walk(path, follow_last=True, make=False)
        return None if found is None else "/" + "/".join(found[0])

    def names(self, path: str) -> Iterator[str]:
        """The names in a directory, links followed."""
        node = self._at(path, follow_last=True)
        yield from node.children if node is not None else ()

    def end(self) -> None:
        """No more layers."""
        self.begin_layer()

    def _whiteout(self, path: str, name: str) -> None:
        found = self._walk(path.rpartition("/")[0], follow_last=True, make=False)
        if found is None:
            return
        folder = "/".join(found[0])
        if name == ".wh..wh..opq":
            self._opaque.add(folder)
        elif not name.startswith(".wh..wh."):  # other names of AUFS mean nothing
            hidden = name.removeprefix(".wh.")
            self._hidden.add(f"{folder}/{hidden}" if folder else hidden)
        if len(self._hidden) + len(self._opaque) > _NODES:
            raise RefusedError(f"a layer deletes more than {_NODES} files")

    def _prune(self, node: Node, path: str, *, hidden: bool) -> None:
        """Remove what a whiteout hides and the present layer did not bring."""
        rest = [(node, path, hidden)]
        while rest:
            parent, place, gone = rest.pop()
            gone = gone or place in self._opaque
            for name, child in list(parent.children.items()):
                where = f"{place}/{name}" if place else name
                lost = gone or where in self._hidden
                if lost and child.layer < self._layer and child.value is not None:
                    del parent.children[name]
                else:
                    rest.append((child, where, lost))

    def _at(self, path: str, *, follow_last: bool = True, make: bool = False) -> Node | None:
        found = self._walk(path, follow_last=follow_last, make=make)
        return None if found is None else found[1]

    def _walk(self, path: str, *, follow_last: bool, make: bool) -> tuple[list[str], Node] | None:
        """Follow a path from the root as the kernel would inside a chroot. Missing directories are made if `make`."""
        rest = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        trail: list[str] = []
        nodes, links = [self._root], 0
        while rest:
            part = rest.pop()
            if part == "..":
                if trail:
                    trail.pop()
                    nodes.pop()
                continue
            child = nodes[-1].children.get(part)
            if child is not None and isinstance(child.value, Link) and (rest or follow_last):
                links += 1
                if links > _LINKS:
                    return None
                target = child.value.target
                if target.startswith("/"):
                    trail, nodes = [], [self._root]
                rest += [piece for piece in reversed(target.split("/")) if piece not in ("", ".")]
                continue
            if child is None or (rest and child.value is not None):
                if not make:
                    return None
                self._count()
                child = nodes[-1].children[part] = Node(self._layer)
            trail.append(part)
            nodes.append(child)
        return trail, nodes[-1]

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > _NODES:
            raise RefusedError(f"the layers hold more than {_NODES} links and candidates for an interpreter")
