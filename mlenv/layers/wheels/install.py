"""Installing a wheel on paper: which of its files lies where in a virtual environment, and what is written anew.

After "Binary distribution format" and "Recording installed projects" of the Python packaging user guide.
"""

import hashlib
import zlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from mlenv.layers.entry import Entry, EntryType, Inline
from mlenv.layers.inflate import BrokenStreamError, unpacked
from mlenv.layers.wheels.record import Row, write_record
from mlenv.layers.wheels.scripts import is_python_script, launchers, rewritten
from mlenv.layers.wheels.venv import Venv
from mlenv.layers.wheels.wheel_error import BadWheelError
from mlenv.layers.wheels.zip import ZipEntry

MAX_WHOLE = 64 << 20
"""The most bytes of a file that is read whole: METADATA, RECORD, WHEEL, entry_points.txt, a script to rewrite."""

# What an installer writes, and what signs the archive's RECORD, which is not the one that is installed.
_NOT_INSTALLED = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")


@dataclass(frozen=True, slots=True)
class Contents:
    """A wheel's files: the archive's entries and the rows of RECORD, both by the name in the archive."""

    fd: int
    dist_info: str
    files: dict[str, ZipEntry]
    record: dict[str, Row]

    def read(self, path: str) -> bytes:
        """A file that is listed in RECORD, whole and checked."""
        return read_whole(self.fd, self.files[path], self.record[path])

    def start(self, path: str) -> bytes:
        """The first bytes of a file, unchecked."""
        try:
            return next(unpacked(self.files[path].content(self.fd, None)), b"")
        except BrokenStreamError as error:
            raise BadWheelError(f"{path}: {error}") from None


def read_whole(fd: int, entry: ZipEntry, row: Row | None) -> bytes:
    """A small file, checked against its CRC-32 and size and, where there is one, its row of RECORD."""
    if entry.size > MAX_WHOLE:
        raise BadWheelError(f"{entry.name} has {entry.size} bytes; at most {MAX_WHOLE} are read")
    data = bytearray()
    try:
        for piece in unpacked(entry.content(fd, None)):
            data += piece
            if len(data) > entry.size:
                break
    except BrokenStreamError as error:
        raise BadWheelError(f"{entry.name}: {error}") from None
    if len(data) != entry.size or zlib.crc32(data) != entry.crc32:
        raise BadWheelError(f"{entry.name}: its size or CRC-32 is not the one that the archive says")
    if row is not None and hashlib.new(row.digest[0], data).digest() != row.digest[1]:
        raise BadWheelError(f"{entry.name}: its {row.digest[0]} is not the one in RECORD")
    return bytes(data)


def installed(contents: Contents, name: str, origin: str, venv: Venv, *, requested: bool) -> list[Entry]:
    """The entries of the installed wheel whose normalised name is `name`. Raises BadWheelError."""
    installation = _Installation(contents, name, origin, venv)
    installation.add_files()
    installation.add_record(requested=requested)
    return list(installation.entries.values())


class _Installation:
    def __init__(self, contents: Contents, name: str, origin: str, venv: Venv) -> None:
        self.entries: dict[str, Entry] = {}
        self._contents = contents
        self._name = name
        self._origin = origin
        self._venv = venv
        self._venv_files = venv.own_files
        self._site = venv.site_packages + "/"
        self._outside = len(venv.prefix) + 1
        self._rows: list[tuple[str, str, str]] = []
        entry_points = f"{contents.dist_info}/entry_points.txt"
        self._launchers: dict[str, bytes] = {}
        if entry_points in contents.files:
            self._launchers = launchers(contents.read(entry_points), venv.interpreter)

    def add_files(self) -> None:
        """The wheel's own files, and the programs that its entry points ask for."""
        contents = self._contents
        skipped = {f"{contents.dist_info}/{name}" for name in _NOT_INSTALLED}
        data = contents.dist_info.removesuffix(".dist-info") + ".data/"
        for path in contents.files:
            if path in skipped:
                continue
            if path.startswith(data):
                self._add_data(path, path.removeprefix(data))
            else:
                self._add_file(path, self._site + path)
        for program, text in self._launchers.items():
            self._add_generated(f"{self._venv.scripts}/{program}", text, mode=0o755)

    def _add_data(self, path: str, rest: str) -> None:
        """A file of `.data`: `rest` is the scheme and the path under it."""
        scheme, _, name = rest.partition("/")
        if not name:
            raise BadWheelError(f"{path} lies in .data and belongs to no scheme")
        if scheme == "scripts":
            self._add_script(path, name)
            return
        folders = {
            "purelib": self._venv.site_packages,
            "platlib": self._venv.site_packages,
            "headers": self._venv.headers(self._name),
            "data": self._venv.prefix,
        }
        if scheme not in folders:
            raise BadWheelError(f"{path} lies in .data and belongs to no scheme")
        self._add_file(path, f"{folders[scheme]}/{name}")

    def _add_script(self, path: str, name: str) -> None:
        if "/" in name:
            raise BadWheelError(f"{path}: scripts lie in no folder of their own")
        if name.removesuffix(".exe").removesuffix("-script.py").removesuffix(".pya") in self._launchers:
            return
        target = f"{self._venv.scripts}/{name}"
        if is_python_script(self._contents.start(path)):
            script = rewritten(self._contents.read(path), self._venv.interpreter)
            self._add_generated(target, script, mode=0o755)
        else:
            self._add_file(path, target, executable=True)

    def _add_file(self, path: str, target: str, *, executable: bool = False) -> None:
        """A file of the archive, as it is; scripts are executable whatever the archive says."""
        file, row = self._contents.files[path], self._contents.record[path]
        mode = 0o755 if executable or file.mode & 0o111 else 0o644
        content = file.content(self._contents.fd, row.digest)
        self._add(Entry(target, EntryType.FILE, mode, content=content, origin=self._origin), row)

    def _add(self, entry: Entry, row: Row) -> None:
        if entry.path in self._venv_files:
            raise BadWheelError(f"it brings {entry.path}, which belongs to the environment itself")
        if self.entries.setdefault(entry.path, entry) is not entry:
            raise BadWheelError(f"it installs two files as {entry.path}")
        self._rows.append((self._relative(entry.path), row.hash_text, str(row.size)))

    def _add_generated(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        digest = hashlib.sha256(data).digest()
        text = "sha256=" + urlsafe_b64encode(digest).decode().rstrip("=")
        entry = Entry(path, EntryType.FILE, mode, content=Inline(data), origin=self._origin)
        self._add(entry, Row(text, ("sha256", digest), len(data)))

    def _relative(self, path: str) -> str:
        """The path as RECORD has it, relative to site-packages, which lies three folders below the prefix."""
        if path.startswith(self._site):
            return path[len(self._site) :]
        return "../../../" + path[self._outside :]

    def add_record(self, *, requested: bool) -> None:
        """INSTALLER, REQUESTED, and at last RECORD, which lists everything before it."""
        folder = f"{self._site}{self._contents.dist_info}"
        self._add_generated(f"{folder}/INSTALLER", b"mlenv\n")
        if requested:
            self._add_generated(f"{folder}/REQUESTED", b"")
        path = f"{folder}/RECORD"
        self._rows.append((self._relative(path), "", ""))
        content = Inline(write_record(self._rows))
        self.entries[path] = Entry(path, EntryType.FILE, 0o644, content=content, origin=self._origin)
