"""What a file of a base says of itself: its processor, its loader, and the version strings in its bytes.

A candidate for the interpreter or the C library is read once, as it passes in the layer's stream, and never kept.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlenv.errors import RefusedError
from mlenv.model.strict_json import shown

_INTERPRETER = re.compile(r"python3?(\.\d{1,2})?t?")
_LIBPYTHON = re.compile(r"libpython3\.\d{1,2}t?\.so(\.1\.0)?")
_GLIBC = re.compile(r"libc(\.so\.6|-2\.\d+\.so)")
_MUSL = re.compile(r"ld-musl-[a-z0-9_]+\.so\.1")

_PY_VERSION = rb"(3\.\d{1,2}\.\d{1,3}(?:(?:a|b|rc)\d{1,2})?)\+?(?=\0)"
_PYTHON_VERSION = re.compile(rb"\0" + _PY_VERSION)
_PYTHON_SUFFIX = re.compile(rb"[^\x000-9.a-z]" + _PY_VERSION)
_GLIBC_VERSION = re.compile(rb"GNU C Library [^\n\0]{0,80}release version (2\.\d{1,3})")
_MUSL_VERSION = re.compile(rb"\0(1\.\d{1,2}\.\d{1,3})(?=\0)")
_OVERLAP = 256
_LARGEST = 512 << 20
_OS_RELEASE = 64 << 10


@dataclass(frozen=True, slots=True)
class Binary:
    """An ELF file. `machine` is e_machine, 0 if it isn't ELF; `loader` what PT_INTERP names ("" for none).

    `python` holds strings of the form of PY_VERSION. `python_suffix` holds such ends of longer strings: a linker lets
    one string be the end of another, such as that of a prefix `/opt/3.13.0`.
    """

    machine: int
    loader: str
    python: tuple[str, ...] = ()
    python_suffix: tuple[str, ...] = ()
    glibc: tuple[str, ...] = ()
    musl: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A small text file, whole: os-release."""

    data: bytes


def read_candidate(path: str, size: int, chunks: Iterable[bytes]) -> Binary | Text | None:
    """What is worth keeping of a regular file, or None. `chunks` is read only where the path is of interest."""
    name = path.rpartition("/")[2]
    if path in ("etc/os-release", "usr/lib/os-release"):
        if size > _OS_RELEASE:
            raise RefusedError(f"/{path} is {size} bytes long; a real one has a few hundred")
        return Text(b"".join(chunks))
    if not any(pattern.fullmatch(name) for pattern in (_INTERPRETER, _LIBPYTHON, _GLIBC, _MUSL)):
        return None
    if size > _LARGEST:
        raise RefusedError(f"/{shown(path)} is {size} bytes long, which no interpreter and no C library is")
    return _read_binary(chunks)


def _read_binary(chunks: Iterable[bytes]) -> Binary:
    machine, loader = 0, ""
    patterns = (_PYTHON_VERSION, _PYTHON_SUFFIX, _GLIBC_VERSION, _MUSL_VERSION)
    found: dict[re.Pattern[bytes], set[str]] = {pattern: set() for pattern in patterns}
    tail, first = b"", True
    for chunk in chunks:
        if first:
            machine, loader, first = *_elf(chunk), False
        window = tail + chunk
        for pattern, versions in found.items():
            if len(versions) < 64:
                versions.update(match.decode() for match in pattern.findall(window))
        tail = window[-_OVERLAP:]
    return Binary(machine, loader, *(tuple(sorted(found[pattern])) for pattern in patterns))


def _elf(head: bytes) -> tuple[int, str]:
    """e_machine and the path in PT_INTERP of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5)."""
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        return 0, ""
    offset, size, count = _int(head, 32, 8), _int(head, 54, 2), _int(head, 56, 2)
    for index in range(count):
        entry = head[offset + index * size : offset + (index + 1) * size]
        if len(entry) >= 56 and _int(entry, 0, 4) == 3:
            start, length = _int(entry, 8, 8), _int(entry, 32, 8)
            return _int(head, 18, 2), head[start : start + min(length, 256)].rstrip(b"\0").decode("ascii", "replace")
    return _int(head, 18, 2), ""


def _int(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")
