"""The entries of a planned layer, out of the cache and the project: what both `mlenv lock` and `mlenv build` lay out.

Everything that is opened here was hashed on the open file before a byte of it is parsed.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from mlenv.errors import RefusedError, StaleLockError
from mlenv.layers.entry import Entry
from mlenv.layers.layer import complete
from mlenv.layers.tree import tree_digest, tree_entries
from mlenv.layers.wheels.wheel import Venv, Wheel, open_wheel, venv_entries
from mlenv.model.facts import BaseFacts
from mlenv.model.lock import LockedDeb, LockedTree, LockedWheel
from mlenv.model.manifest import FileTree
from mlenv.sources.cache import Cache
from mlenv.sources.threads import Stop, run_largest_first

if TYPE_CHECKING:
    from mlenv.layers.debian.deb import Deb

PREFIX = "opt/venv"
_MOST_DECOMPRESSORS = 4  # each may take the 128 MiB of memory that a package asks for
_EDITED = "the lock was edited, or the archive's index lies: lock again from another mirror and compare"


@dataclass(frozen=True, slots=True)
class Contents:
    """Where the content of layers is taken from: `project` is the folder of mlenv.toml. `jobs` threads may open it."""

    cache: Cache
    project: Path
    jobs: int = 1

    @contextmanager
    def wheels(self, wheels: Sequence[LockedWheel], facts: BaseFacts) -> Iterator[list[Entry]]:
        """The installed files of some wheels, in the order of a layer. The files stay open inside the block."""
        with ExitStack() as stack:
            yield complete(self.installed(wheels, facts, stack))

    def installed(self, wheels: Sequence[LockedWheel], facts: BaseFacts, stack: ExitStack) -> list[Entry]:
        """The installed files of some wheels, wheel by wheel; `stack` closes the files."""
        venv = Venv(PREFIX, facts.python_minor)
        entries: list[Entry] = []
        for locked in wheels:
            entries += self.wheel(locked, stack).entries(venv, requested=locked.requested)
        return entries

    def wheel(self, locked: LockedWheel, stack: ExitStack) -> Wheel:
        """One wheel, open until `stack` closes it."""
        return open_wheel(stack.enter_context(self.cache.open(locked.digest)), locked.filename)

    @contextmanager
    def debian(self, debs: Sequence[LockedDeb]) -> Iterator[list[Entry]]:
        """The root file system that Debian packages make. Each thread unpacks into a temporary file of its own."""
        from mlenv.layers.debian.root import rootfs_entries  # noqa: PLC0415 -- an image base needs no Debian reader

        threads = min(self.jobs, _MOST_DECOMPRESSORS, len(debs))
        with ExitStack() as stack:
            spools: SimpleQueue[BinaryIO] = SimpleQueue()
            for _ in range(threads):
                spools.put(stack.enter_context(self.cache.temporary()))

            def one(locked: LockedDeb, stop: Stop) -> "Deb":
                stop.check()
                spool = spools.get()
                try:
                    return self._deb(locked, spool)
                finally:
                    spools.put(spool)

            opened = run_largest_first(debs, lambda deb: deb.size, one, threads)
            # Debian ships names that differ only in case (linux-libc-dev), and the image has a file system that knows.
            yield complete(rootfs_entries(opened), fold=False)

    def _deb(self, locked: LockedDeb, spool: BinaryIO) -> "Deb":
        """One package, unpacked at the end of `spool`; refused where it is not the one that the lock names."""
        from mlenv.layers.debian.deb import open_deb  # noqa: PLC0415 -- as above

        with self.cache.open(locked.digest) as file:
            deb = open_deb(file, locked.label, spool)
        if (deb.name, deb.version, deb.architecture) != (locked.name, locked.version, locked.architecture):
            found = f"{deb.name} {deb.version} {deb.architecture}"
            raise RefusedError(
                f"the package of that digest is {found}", where=f"mlenv.lock {locked.label}", hint=_EDITED
            )
        return deb

    def venv(self, facts: BaseFacts) -> list[Entry]:
        """The virtual environment without packages, its interpreter a link to the base's."""
        return complete(venv_entries(Venv(PREFIX, facts.python_minor), facts.interpreter, facts.python))

    def tree(self, tree: FileTree) -> list[Entry]:
        """A file tree of the project as it is now, in the order of a layer."""
        return complete(tree_entries(self.project, tree))

    def locked_tree(self, locked: LockedTree) -> list[Entry]:
        """The same, refused where it is no longer what was locked."""
        entries = self.tree(locked.tree)
        if tree_digest(entries) != locked.digest:
            raise StaleLockError(
                f"{locked.source} has changed since it was locked", where=locked.source, hint="run `mlenv lock`"
            )
        return entries
