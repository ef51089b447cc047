"""RECORD, the list of a wheel's files with their hashes: read strictly, and written anew for the installed files."""

import csv
import io
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import dataclass

from mlenv.layers.wheels.wheel_error import BadWheelError

_DIGEST_SIZES = {"sha256": 32, "sha384": 48, "sha512": 64}


@dataclass(frozen=True, slots=True)
class Row:
    """What RECORD says of a file.

    `hash_text` is the hash as it stands there (`sha256=…`), `digest` the same as (hashlib's name, raw digest), and
    `size` is in bytes.
    """

    hash_text: str
    digest: tuple[str, bytes]
    size: int


def read_record(data: bytes, unlisted: frozenset[str]) -> dict[str, Row]:
    """All rows by path, without the files that RECORD cannot know the hash of (`unlisted`). Raises BadWheelError."""
    rows: dict[str, Row] = {}
    try:
        for fields in csv.reader(io.StringIO(data.decode("utf-8"), newline="")):
            # Some build tools (that of selenium 4.1) put a slash before every path.
            path = fields[0].removeprefix("/") if fields else ""
            if not fields or path in unlisted:
                continue
            row = _row(fields)
            if rows.setdefault(path, row) != row:
                raise BadWheelError(f"RECORD lists {path} twice, with different hashes or sizes")
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadWheelError(f"RECORD cannot be read: {error}") from None
    return rows


def _row(fields: list[str]) -> Row:
    if len(fields) != 3:
        raise BadWheelError(f"RECORD has a line that is not path, hash, size: {','.join(fields)[:200]}")
    path, hash_text, size = fields
    algorithm, _, value = hash_text.partition("=")
    if algorithm not in _DIGEST_SIZES:
        raise BadWheelError(f"RECORD has no sha256, sha384 or sha512 of {path}")
    try:
        digest = urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_SIZES[algorithm] or not (size.isascii() and size.isdigit()):
        raise BadWheelError(f"RECORD has a damaged hash or size of {path}")
    return Row(hash_text, (algorithm, digest), int(size))


def write_record(rows: Iterable[tuple[str, str, str]]) -> bytes:
    """RECORD of the installed files: (path relative to site-packages, hash, size), sorted by path, lines end in LF."""
    return "".join(f"{_quoted(path)},{hash_text},{size}\n" for path, hash_text, size in sorted(rows)).encode()


def _quoted(path: str) -> str:
    if "," in path or '"' in path:
        return '"' + path.replace('"', '""') + '"'
    return path
