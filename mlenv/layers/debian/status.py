"""dpkg's database, written for packages that dpkg did not install, so that scanners and dpkg itself see them."""

import hashlib
from collections.abc import Iterator, Sequence

from mlenv.layers.content import Reader
from mlenv.layers.debian.deb import Deb
from mlenv.layers.entry import Entry, EntryType, Inline

_ADMIN = "var/lib/dpkg"
_ORIGIN = "dpkg's database"


def status_entries(debs: Sequence[Deb]) -> Iterator[Entry]:
    """`status`, and for each package `info/NAME.list` and the control files that it brought."""
    ordered = sorted(debs, key=lambda deb: deb.name)
    yield _file(f"{_ADMIN}/status", "\n".join(map(_paragraph, ordered)).encode())
    yield _file(f"{_ADMIN}/info/format", b"1\n")
    for folder in ("alternatives", "info", "parts", "triggers", "updates"):
        yield Entry(f"{_ADMIN}/{folder}", EntryType.DIRECTORY, 0o755, origin=_ORIGIN)
    for deb in ordered:
        stem = f"{_ADMIN}/info/{deb.name}"
        if deb.fields.get("Multi-Arch") == "same":
            stem += f":{deb.architecture}"
        paths = sorted(entry.path for entry in deb.entries())
        yield _file(f"{stem}.list", "".join(f"/{path}\n" for path in (".", *paths)).encode())
        for name, data in sorted(deb.info.items()):
            yield _file(f"{stem}.{name}", data)


def _paragraph(deb: Deb) -> str:
    """The control paragraph as it is in the package, with what dpkg adds to it."""
    lines = deb.control.splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("Package:"))
    lines.insert(place, "Status: install ok installed\n")
    return "".join(lines) + _conffiles(deb)


def _conffiles(deb: Deb) -> str:
    """Configuration files with the md5 that they were delivered with, by which dpkg sees changes."""
    files = {f"/{entry.path}": entry for entry in deb.entries()}
    listed = [line.strip() for line in deb.info.get("conffiles", b"").decode("utf-8", "replace").splitlines()]
    lines = [f" {path} {_md5(files[path])}\n" for path in listed if path in files]
    return "Conffiles:\n" + "".join(lines) if lines else ""


def _md5(entry: Entry) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    if entry.content is not None:
        for piece in Reader().pieces(entry.content):
            hasher.update(piece)
    return hasher.hexdigest()


def _file(path: str, data: bytes) -> Entry:
    return Entry(path, EntryType.FILE, 0o644, content=Inline(data), origin=_ORIGIN)
