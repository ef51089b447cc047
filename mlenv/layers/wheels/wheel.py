"""A wheel, checked from end to end before anything of it is used, and installed into a virtual environment on paper.

The specification is "Binary distribution format" of the Python packaging user guide; the rules that mlenv adds are in
the section "Wheels, installed" of schema/layer-recipe.md. Nothing is unpacked: the entries of the layer point into the
wheel's file.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mlenv.errors import RefusedError
from mlenv.layers.complete import fold_name
from mlenv.layers.entry import Entry
from mlenv.layers.wheels.install import Contents, installed, read_whole
from mlenv.layers.wheels.record import Row, read_record
from mlenv.layers.wheels.venv import Venv, venv_entries
from mlenv.layers.wheels.wheel_error import BadWheelError
from mlenv.layers.wheels.zip import ZipEntry, read_zip

__all__ = ["Venv", "Wheel", "open_wheel", "venv_entries"]

_HINT = "the wheel was damaged or made to deceive; get it from its publisher, or lock another version"
_BAD_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|^/|//|(^|/)\.{1,2}(/|$)|[. ](/|$)|^$")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel whose archive, RECORD and metadata agree. It uses the descriptor of the file that it was opened from.

    `name` is normalised. `metadata` is the file METADATA.
    """

    name: str
    version: Version
    tags: frozenset[Tag]
    metadata: bytes
    contents: Contents

    @property
    def origin(self) -> str:
        """What messages call it."""
        return f"wheel {self.name} {self.version}"

    def entries(self, venv: Venv, requested: bool) -> list[Entry]:
        """The files of the installed wheel. `requested`: a person asked for it, not another package."""
        try:
            return installed(self.contents, self.name, self.origin, venv, requested=requested)
        except BadWheelError as error:
            raise RefusedError(str(error), where=self.origin, hint=_HINT) from None


def open_wheel(file: BinaryIO, filename: str) -> Wheel:
    """Check a wheel and read its metadata; the content of its other files is checked when a layer is measured.

    The caller keeps `file` open for as long as entries of the wheel are in use. Raises RefusedError.
    """
    try:
        return _open(file.fileno(), filename)
    except BadWheelError as error:
        raise RefusedError(str(error), where=filename, hint=_HINT) from None


def _open(fd: int, filename: str) -> Wheel:
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise BadWheelError(f"not the file name of a wheel: {error}") from None
    files = _files(read_zip(fd))
    dist_info = _dist_info(files, name, version)
    unlisted = frozenset(f"{dist_info}/{file}" for file in ("RECORD", "RECORD.jws", "RECORD.p7s"))
    for required in ("RECORD", "METADATA", "WHEEL"):
        if f"{dist_info}/{required}" not in files:
            raise BadWheelError(f"it has no {dist_info}/{required}")
    record = read_record(read_whole(fd, files[f"{dist_info}/RECORD"], None), unlisted)
    _compare(files, record, unlisted)
    contents = Contents(fd, dist_info, files, record)
    metadata = contents.read(f"{dist_info}/METADATA")
    _check_metadata(metadata, name, version)
    _check_wheel(contents.read(f"{dist_info}/WHEEL"))
    return Wheel(name, version, tags, metadata, contents)


def _files(entries: list[ZipEntry]) -> dict[str, ZipEntry]:
    """The archive's files by name, once every name is one that means the same everywhere."""
    files: dict[str, ZipEntry] = {}
    folded: dict[str, str] = {}
    for entry in entries:
        name = entry.name.removesuffix("/")
        if _BAD_NAME.search(name):
            raise BadWheelError(f"{entry.name!r} is not a name that a file in a wheel may have")
        if (kind := entry.mode >> 12) not in (0, 0o10, 0o04) or entry.mode & 0o7000:
            raise BadWheelError(f"{name} is no regular file, or is setuid, setgid or sticky (mode {entry.mode:o})")
        if (entry.is_directory and entry.size) or (not entry.is_directory and kind == 0o04):
            raise BadWheelError(f"{name} is a directory and has content")
        other = folded.setdefault(fold_name(name), entry.name)
        if other != entry.name:
            raise BadWheelError(f"{other} and {entry.name} are one file where case does not count")
        if not entry.is_directory:
            files[name] = entry
    return files


def _dist_info(files: dict[str, ZipEntry], name: str, version: Version) -> str:
    found = {top for top, _, _ in (path.partition("/") for path in files) if top.endswith(".dist-info")}
    if len(found) != 1:
        raise BadWheelError(f"it has {len(found)} .dist-info directories instead of one")
    (directory,) = found
    its_name, _, its_version = directory.removesuffix(".dist-info").rpartition("-")
    if canonicalize_name(its_name) != name or not _is_version(its_version, version):
        raise BadWheelError(f"its directory {directory} belongs to another package or version than its file name")
    return directory


def _is_version(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def _compare(files: dict[str, ZipEntry], record: dict[str, Row], unlisted: frozenset[str]) -> None:
    """RECORD lists exactly the files that are there, with their sizes."""
    for path, entry in files.items():
        row = record.get(path)
        if row is None and path not in unlisted:
            raise BadWheelError(f"{path} is not listed in RECORD")
        if row is not None and row.size != entry.size:
            raise BadWheelError(f"{path} has {entry.size} bytes and RECORD says {row.size}")
    if missing := sorted(record.keys() - files.keys()):
        raise BadWheelError(f"RECORD lists {missing[0]}, which is not in the archive")


def _headers(data: bytes) -> dict[str, list[str]]:
    """The header fields of a file in e-mail format, by lower-case name. Continuation lines are left out."""
    fields: dict[str, list[str]] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        if not line.strip():
            break
        key, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            fields.setdefault(key.strip().lower(), []).append(value.strip())
    return fields


def _check_metadata(metadata: bytes, name: str, version: Version) -> None:
    fields = _headers(metadata)
    names, versions = fields.get("name", []), fields.get("version", [])
    if len(names) != 1 or len(versions) != 1:
        raise BadWheelError("its METADATA does not have exactly one Name and one Version")
    if canonicalize_name(names[0]) != name or not _is_version(versions[0], version):
        raise BadWheelError(f"its METADATA is that of {names[0]} {versions[0]}")


def _check_wheel(data: bytes) -> None:
    fields = _headers(data)
    if not (fields.get("wheel-version") or [""])[0].startswith("1."):
        raise BadWheelError("its file WHEEL does not name version 1 of the wheel format")
    purelib = {value.lower() for value in fields.get("root-is-purelib", [])}
    if purelib not in ({"true"}, {"false"}) or not fields.get("tag"):
        raise BadWheelError("its file WHEEL lacks Root-Is-Purelib or Tag")
