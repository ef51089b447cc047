"""What a layer is made of: entries in a tar, each with content that lies somewhere else.

An `Entry` holds no bytes of its own beyond small generated ones: content is a range of an open file, so that
an entry of any size costs the same memory.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from mlenv.model.digest import Digest


class EntryType(Enum):
    """The kinds of tar entry that the recipe allows."""

    DIRECTORY = b"5"
    FILE = b"0"
    SYMLINK = b"2"


@dataclass(frozen=True, slots=True)
class Inline:
    """Content that was generated and is small."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Stored:
    """`size` bytes of an open file from `offset`, as they are. Read with os.pread, so that threads can share it.

    `crc32` and `record`, where they are known, are checked when the entry is measured, as those of `Deflated` are.
    """

    fd: int
    offset: int
    size: int
    crc32: int | None = None
    record: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Deflated:
    """A raw DEFLATE stream of an open file: `compressed_size` bytes from `offset`, inflating to `size` bytes.

    `crc32` is that of the inflated bytes. `record` is what the wheel's RECORD says of them: (hashlib's name of the
    algorithm, raw digest).
    """

    fd: int
    offset: int
    compressed_size: int
    size: int
    crc32: int
    record: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class FileContent:
    """A whole file that is opened only when its bytes are needed: a tree of any size holds no descriptor.

    It was `size` bytes with the digest `sha256` when the tree was read. Whoever reads it again opens it with
    O_NOFOLLOW, hashes what it reads, and refuses (RefusedError) where size or digest is another one: the file
    was changed between hash and use.
    """

    path: Path
    size: int
    sha256: Digest


Content = Inline | Stored | Deflated | FileContent


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a layer.

    `path` is relative, with `/` and without `.` or `..` components or a trailing slash: `opt/venv/bin/python`.
    `mode` holds permission bits only. `link` is the target of a symlink. `origin` names who brought it, for messages
    ("wheel numpy 2.3.4").
    """

    path: str
    type: EntryType
    mode: int
    uid: int = 0
    gid: int = 0
    link: str = ""
    content: Content | None = None
    origin: str = ""
