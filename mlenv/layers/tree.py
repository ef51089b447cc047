"""Files of the project -> entries of a layer (layer recipe, "File trees").

Only what a file is counts: its place, its bytes, whether its owner may execute it. Its times, its owner, its other
permissions and the order in which the disk lists it do not.
"""

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from mlenv.errors import ManifestError, Problem, UnavailableError
from mlenv.layers.entry import Entry, EntryType, FileContent, Inline
from mlenv.model.digest import Digest
from mlenv.model.globs import Matcher, matcher
from mlenv.model.manifest import FileTree
from mlenv.model.manifest_fields import TAKEN, taken

ALWAYS_EXCLUDED = (
    *(".git", ".venv", "__pycache__", "*.pyc", ".DS_Store"),
    *("mlenv.lock", "mlenv.lock.sigstore.json", "mlenv.lock.*.sigstore.json"),  # the lock names the tree's digest
)
_DEEPEST = 64
_LARGEST_KEY = 64 << 10  # bytes
_PRIVATE_KEY = re.compile(rb"^-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY-----", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def tree_entries(project: Path, tree: FileTree) -> list[Entry]:
    """The entries of a [[files]] table, in no particular order; parents of the target are left to `complete`.

    A folder becomes `target` with all that is in it, a file becomes `target`. Every file is read once, for its
    digest, and holds no descriptor afterwards. Raises ManifestError with everything that cannot be in an image, and
    UnavailableError for what cannot be read.
    """
    source = project / tree.source
    try:
        walk = _Walk(tree, matcher((*ALWAYS_EXCLUDED, *tree.exclude)), [])
        entries = list(walk.source(project))
    except OSError as error:
        raise UnavailableError(
            f"cannot be read: {error.strerror}",
            where=os.fsdecode(error.filename or source),
            hint="check its permissions, and that nothing changes it meanwhile; or exclude it in [[files]]",
        ) from error
    if walk.problems:
        raise ManifestError(problems=sorted(walk.problems, key=lambda problem: problem.where))
    return entries


def tree_digest(entries: Iterable[Entry]) -> Digest:
    """One digest for all that the entries of a tree are, whatever their order (layer recipe, "File trees")."""
    hasher = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        hasher.update("\0".join((entry.path, *_identity(entry))).encode() + b"\n")
    return Digest(hasher.hexdigest())


def private_keys(entries: Iterable[Entry]) -> Iterator[Path]:
    """The files of a tree that hold a private key in PEM, encrypted or not: hardly anybody wants those in an image."""
    for entry in entries:
        if isinstance(entry.content, FileContent) and entry.content.size <= _LARGEST_KEY:
            with suppress(OSError), _opened(entry.content.path) as file:
                if _PRIVATE_KEY.search(file.read(_LARGEST_KEY)):
                    yield entry.content.path


def _identity(entry: Entry) -> Iterator[str]:
    yield from (entry.type.name.lower(), f"{entry.mode:04o}", str(entry.uid), str(entry.gid))
    match entry.content:
        case FileContent(size=size, sha256=digest):
            yield from (str(size), str(digest))
        case Inline(data=data):
            yield from (str(len(data)), str(Digest.of(data)))
        case None:
            yield entry.link
        case _:
            msg = f"a tree holds whole files: {entry.path}"
            raise TypeError(msg)


@dataclass(frozen=True, slots=True)
class _Walk:
    """One tree being read. `problems` gathers what cannot be in an image."""

    tree: FileTree
    excluded: Matcher
    problems: list[Problem]

    def source(self, project: Path) -> Iterator[Entry]:
        """The whole tree."""
        path = project
        for part in Path(self.tree.source).parts:
            path /= part
            if path.is_symlink():
                self._refuse(path, "a source cannot be, or lie behind, a symbolic link", "name the folder it leads to")
                return
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            self._refuse(path, "there is no such file or folder", "check `source` in [[files]]")
            return
        if stat.S_ISDIR(mode):
            yield from self._folder(path)
        else:
            yield from self._item(path, "", mode)

    def _folder(self, top: Path) -> Iterator[Entry]:
        yield self._entry("", EntryType.DIRECTORY, 0o755)
        waiting = [(top, "")]
        while waiting:
            folder, inside = waiting.pop()
            with os.scandir(folder) as listing:
                items = [(item.name, item.stat(follow_symlinks=False).st_mode) for item in listing]
            for name, mode in items:
                path, relative = folder / name, posixpath.join(inside, name)
                if self.excluded(relative, stat.S_ISDIR(mode)):
                    continue
                if stat.S_ISDIR(mode) and relative.count("/") >= _DEEPEST:
                    self._refuse(path, f"more than {_DEEPEST} folders deep", "exclude it")
                    continue
                yield from self._item(path, relative, mode)
                if stat.S_ISDIR(mode):
                    waiting.append((path, relative))

    def _item(self, path: Path, relative: str, mode: int) -> Iterator[Entry]:
        """One thing on the disk, if it can be in an image."""
        target = posixpath.join(self.tree.target, relative) if relative else self.tree.target
        if _not_utf8(relative):
            self._refuse(path, "its name is not UTF-8", "rename it, or exclude it")
        elif folder := taken(target):
            self._refuse(path, f"it would lie in {folder} of the image: {TAKEN[folder]}", "exclude it")
        elif stat.S_ISDIR(mode):
            yield self._entry(relative, EntryType.DIRECTORY, 0o755)
        elif stat.S_ISREG(mode):
            content = _read(path)
            yield self._entry(relative, EntryType.FILE, 0o755 if mode & stat.S_IXUSR else 0o644, content=content)
        elif stat.S_ISLNK(mode):
            link = os.readlink(path)  # noqa: PTH115 -- Path.readlink() gives another spelling of it
            if problem := _wrong_link(relative, link):
                self._refuse(path, problem, "link to a file of the same tree, by a relative path, or exclude it")
            else:
                yield self._entry(relative, EntryType.SYMLINK, 0o777, link=link)
        else:
            kind = _KINDS.get(stat.S_IFMT(mode), "something else than a file, a folder or a link")
            self._refuse(path, f"it is {kind}", "exclude it")

    def _entry(
        self, relative: str, kind: EntryType, mode: int, *, link: str = "", content: FileContent | None = None
    ) -> Entry:
        return Entry(
            path=posixpath.join(self.tree.target, relative).strip("/"),
            type=kind,
            mode=mode,
            uid=self.tree.uid,
            gid=self.tree.gid,
            link=link,
            content=content,
            origin=f"files {self.tree.source}",
        )

    def _refuse(self, path: Path, message: str, hint: str) -> None:
        where = os.fspath(path).encode(errors="backslashreplace").decode()
        self.problems.append(Problem(message, where, hint))


_KINDS = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a named pipe", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device"}


def _opened(path: Path) -> FileIO:
    """A regular file of the tree; O_NONBLOCK, so that a pipe put in its place meanwhile does not hold us up."""
    return FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _read(path: Path) -> FileContent:
    """Hash a regular file."""
    with _opened(path) as file:
        digest = Digest(hashlib.file_digest(file, "sha256").hexdigest())
        return FileContent(path, file.tell(), digest)


def _wrong_link(relative: str, link: str) -> str:
    """Why a symbolic link at `relative` cannot be in the tree, or nothing.

    `..` may stand only at the beginning. The folder of a link is a real one, so that such a path leaves the tree only
    where it has too many of them; behind the name of another link, `..` could lead anywhere.
    """
    if _not_utf8(link) or _CONTROL.search(link) or "\\" in link:
        return f"a symbolic link to {link!r}, which is no plain path"
    if link.startswith("/"):
        return f"a symbolic link to the absolute path {link!r}"
    parts = [part for part in link.split("/") if part not in {"", "."}]
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[up:] or up > relative.count("/"):
        return f"a symbolic link that leaves its tree: {link!r}"
    return ""


def _not_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False
