"""A Debian package as a source of layer entries. Its maintainer scripts are never run, nor looked at.

A .deb (deb(5)) holds `control.tar` and `data.tar`. The latter is decompressed once, into a file of the caller's, and
the entries point into that. What the rules of schema/layer-recipe.md, "Debian packages", do not allow is refused,
never skipped.
"""

import os
import re
from dataclasses import dataclass
from typing import BinaryIO

from mlenv.errors import RefusedError
from mlenv.layers.debian.ar import Part, read_parts, unpack
from mlenv.layers.debian.data_tar import Member, read_members
from mlenv.layers.entry import Content, Entry, EntryType, Stored

_CONTROL_CAP = 64 << 20  # bytes of control.tar, inflated
_DATA_CAP = 16 << 30  # bytes of data.tar, inflated
_RATIO, _SMALL = 250, 1 << 26  # beyond 64 MiB nothing may inflate to more than 250 times its size
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*(?:\n[ \t].*)*)\n")
_SYNTAX = {
    "Package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "Version": re.compile(r"(?:[0-9]+:)?[0-9A-Za-z.+~-]+"),
    "Architecture": re.compile(r"[a-z0-9-]+"),
}
_HINT = "fetch the package again from another mirror, or leave it out"


@dataclass(frozen=True)
class Deb:
    """An opened package.

    `control` is its control paragraph as it is, `fields` the same by field name, `info` the control files that dpkg
    keeps beside its status (`conffiles`, `md5sums`) where it has them. `origin` names the package in messages.
    """

    control: str
    fields: dict[str, str]
    info: dict[str, bytes]
    origin: str
    content: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """`Package`."""
        return self.fields["Package"]

    @property
    def version(self) -> str:
        """`Version`."""
        return self.fields["Version"]

    @property
    def architecture(self) -> str:
        """`Architecture`: that of the platform, or `all`."""
        return self.fields["Architecture"]

    def entries(self) -> list[Entry]:
        """The files, folders and symlinks, in the package's order and with its paths, without the root folder."""
        return list(self.content)


def open_deb(file: BinaryIO, label: str, spool: BinaryIO) -> Deb:
    """Read a .deb. What it holds is added, decompressed, at the end of `spool`, a file open for reading and writing.

    `label` names the package in messages (`libc6 2.41-12 amd64`). The entries can be read as long as `spool` is
    open; several packages may share one, one after the other. Raises RefusedError for anything that is not a
    well-formed and harmless package.
    """
    origin = f"Debian package {label}"
    try:
        control_part, data_part = read_parts(file)
        control, info = _read_control(file, control_part)
        fields = _read_fields(control)
        content = _read_content(file, data_part, spool, origin)
    except ValueError as error:
        raise RefusedError(str(error), where=origin, hint=_HINT) from error
    return Deb(control, fields, info, origin, content)


def _cap(part: Part, most: int) -> int:
    return min(most, max(part.size * _RATIO, _SMALL))


def _read_control(file: BinaryIO, part: Part) -> tuple[str, dict[str, bytes]]:
    tar = bytearray()
    unpack(file, part, tar.extend, cap=_cap(part, _CONTROL_CAP))
    data = bytes(tar)
    found: dict[str, bytes] = {}
    for member in read_members(lambda offset, size: data[offset : offset + size], 0, len(data)):
        if member.kind == b"0":
            found[member.path.removeprefix("./")] = data[member.offset : member.offset + member.size]
    if "control" not in found:
        raise ValueError("the package has no control file")
    info: dict[str, bytes] = {name: found[name] for name in ("conffiles", "md5sums") if name in found}
    return found["control"].decode("utf-8").strip("\n") + "\n", info


def _read_fields(control: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    position = 0
    while position < len(control):
        match = _FIELD.match(control, position)
        if match is None or match[1] in fields:
            raise ValueError(f"a broken control file at {control[position : position + 60]!r}")
        fields[match[1]] = match[2].strip()
        position = match.end()
    for name, syntax in _SYNTAX.items():
        if not syntax.fullmatch(fields.get(name, "")):
            raise ValueError(f"a control file whose {name} is {fields.get(name, 'missing')!r}")
    return fields


def _read_content(file: BinaryIO, part: Part, spool: BinaryIO, origin: str) -> tuple[Entry, ...]:
    start = spool.seek(0, os.SEEK_END)
    size = unpack(file, part, spool.write, cap=_cap(part, _DATA_CAP))
    spool.flush()
    descriptor = spool.fileno()
    entries: dict[str, Entry] = {}
    for member in read_members(lambda offset, size: os.pread(descriptor, size, offset), start, start + size):
        path = _path(member)
        if not path:
            continue
        entry = _entry(member, path, descriptor, entries, origin)
        first = entries.setdefault(path, entry)
        if first is not entry and not (first.type is EntryType.DIRECTORY and first == entry):
            raise ValueError(f"{path} is there twice")
    return tuple(entries.values())


def _path(member: Member) -> str:
    """The path, relative and plain; empty for the root folder."""
    path = _plain(member.path)
    if member.kind == b"5":
        path = path.removesuffix("/")
    if path in {"", "."} and member.kind == b"5":
        return ""
    if not set(path.split("/")).isdisjoint({"", ".", ".."}):
        raise ValueError(f"the path {member.path[:200]!r} is absolute, or leads out of its folder")
    return path


def _plain(path: str) -> str:
    return path.removeprefix("./")


def _entry(member: Member, path: str, descriptor: int, earlier: dict[str, Entry], origin: str) -> Entry:
    if member.kind == b"5":
        # The sticky bit of a folder only takes rights away. Setuid and setgid are never kept.
        mode = member.mode & 0o1777
        return Entry(path, EntryType.DIRECTORY, mode, member.uid, member.gid, origin=origin)
    if member.kind == b"2":
        _require_inside(path, member.link)
        return Entry(path, EntryType.SYMLINK, 0o777, member.uid, member.gid, link=member.link, origin=origin)
    mode, uid, gid = member.mode & 0o777, member.uid, member.gid
    content: Content = Stored(descriptor, member.offset, member.size)
    if member.kind == b"1":
        target = earlier.get(_plain(member.link))
        if target is None or target.content is None:
            raise ValueError(f"the hard link {path} leads to {member.link[:200]!r}, no file that came before it")
        mode, uid, gid, content = target.mode, target.uid, target.gid, target.content
    return Entry(path, EntryType.FILE, mode, uid, gid, content=content, origin=origin)


def _require_inside(path: str, link: str) -> None:
    """A symlink may be absolute, which in an image means from its root; a relative one may not climb above that."""
    if not link:
        raise ValueError(f"the symlink {path} has no target")
    depth = 0 if link.startswith("/") else path.count("/")
    for part in link.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            raise ValueError(f"the symlink {path} leads out of the image: {link[:200]}")
