"""One line per entry in the format of NetBSD's mtree(5), which other programs can check a directory against."""

import re

from mlenv.layers.entry import Entry, EntryType
from mlenv.layers.tar import MTIME

SIGNATURE = "#mtree\n. type=dir\n"
"""What the text begins with. Readers want the root first, and a layer has no entry for it."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9._/+,:@%~=-]")
_TYPES = {EntryType.DIRECTORY: "dir", EntryType.FILE: "file", EntryType.SYMLINK: "link"}
_SAFE = re.compile(r"[A-Za-z0-9._/+,:@%~=-]*")


def line(entry: Entry, size: int, sha256: str) -> str:
    """The line of an entry, newline included. `size` in bytes and `sha256` in hexadecimal count for files only."""
    path = entry.path if _SAFE.fullmatch(entry.path) else _escape(entry.path)
    kind = entry.type
    text = f"./{path} type={_TYPES[kind]} mode={entry.mode:04o} uid={entry.uid} gid={entry.gid}"
    if kind is EntryType.FILE:
        return f"{text} size={size} sha256digest={sha256} time={MTIME}.0\n"
    if kind is EntryType.SYMLINK:
        return f"{text} link={_escape(entry.link)} time={MTIME}.0\n"
    return f"{text} time={MTIME}.0\n"


def _escape(text: str) -> str:
    r"""Every byte that a reader of mtree may take for a blank, a pattern or a comment, as \ooo (vis(3), VIS_OCTAL)."""
    return _UNSAFE.sub(lambda match: b"\\%03o" % match[0][0], text.encode()).decode("ascii")
