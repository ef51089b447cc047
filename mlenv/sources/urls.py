"""The bytes behind a URL, wherever it leads: http, https or file."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlenv.errors import RefusedError, UnavailableError, UsageError
from mlenv.sources.http import CHUNK, HINTS, Connections, Hints, MissingFileError, shown, stream_url


def stream(url: str, connections: Connections, hints: Hints = HINTS) -> Iterator[bytes]:
    """The file in pieces of up to a mebibyte. Raises as `stream_url` does, and UsageError for another scheme."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        yield from stream_url(url, connections=connections, hints=hints)
    elif parts.scheme == "file":
        yield from _stream_file(Path(unquote(parts.path)), hints)
    else:
        raise UsageError(
            f"cannot fetch from {parts.scheme or 'no scheme'}: a URL must be https, http or file", where=shown(url)
        )


def read_small(url: str, connections: Connections, *, cap: int, hints: Hints = HINTS) -> bytes | None:
    """All of a file, None where none of that name is. Raises as `stream` does, and RefusedError beyond `cap` bytes."""
    data = bytearray()
    try:
        for piece in stream(url, connections, hints):
            data += piece
            if len(data) > cap:
                message = f"longer than the {cap} bytes that are allowed for it"
                raise RefusedError(message, where=shown(url), hint=hints.changed)
    except MissingFileError:
        return None
    return bytes(data)


def _stream_file(path: Path, hints: Hints) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except OSError as error:
        absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
        kind, hint = (MissingFileError, hints.missing) if absent else (UnavailableError, "check the path")
        raise kind(f"cannot read: {error.strerror}", where=str(path), hint=hint) from error
