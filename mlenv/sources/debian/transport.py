"""Bytes from a Debian archive over http, https or file, with a few more tries where trying again helps."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from mlenv.errors import RefusedError, UnavailableError
from mlenv.sources.debian.request import ANOTHER_MIRROR

T = TypeVar("T")

CHUNK = 1 << 18
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_PAUSES = (0.3, 1.0, 3.0)  # seconds before the second, third and fourth try
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_HINT = "check the network, and the mirror: base.debian.mirror, MLENV_DEBIAN_MIRROR, or the apt sources"


class TransientError(Exception):
    """Another try may help."""


def persistently(url: str, attempt: Callable[[], T]) -> T:
    """What `attempt` gives; after a TransientError it is called again, a few times; then UnavailableError is raised."""
    for pause in (*_PAUSES, None):
        try:
            return attempt()
        except TransientError as error:
            if pause is None:
                raise UnavailableError(str(error), where=url, hint=_HINT) from error
            time.sleep(pause)
    raise AssertionError


class Transport:
    """A connection that is kept. One for each thread."""

    def __init__(self) -> None:
        self._session: Any = None

    def read(self, url: str, *, cap: int) -> bytes | None:
        """All of a file of at most `cap` bytes; None where the archive has none of that name.

        Raises UnavailableError where the archive cannot be reached, RefusedError where the file is longer.
        """

        def attempt() -> bytes:
            data = bytearray()
            for chunk in self.stream(url):
                data += chunk
                if len(data) > cap:
                    raise RefusedError(
                        f"longer than the {cap} bytes that are allowed for it", where=url, hint=ANOTHER_MIRROR
                    )
            return bytes(data)

        try:
            return persistently(url, attempt)
        except FileNotFoundError:
            return None

    def stream(self, url: str) -> Iterator[bytes]:
        """The file in pieces. Raises FileNotFoundError, TransientError (see `persistently`) or UnavailableError."""
        if url.startswith("file:"):
            yield from _read_file(url)
        else:
            yield from self._read_http(url)

    def _read_http(self, url: str) -> Iterator[bytes]:
        import requests  # noqa: PLC0415 -- takes 130 ms to import; a warm cache needs no network

        if self._session is None:
            self._session = requests.Session()
        try:
            # `identity`: what is asked for are the file's bytes, which a server must not compress on the way.
            headers = {"Accept-Encoding": "identity", "User-Agent": "mlenv"}
            with self._session.get(url, stream=True, timeout=_TIMEOUT, headers=headers) as response:
                if response.status_code in {404, 410}:
                    raise FileNotFoundError(url)
                if response.status_code in _BUSY:
                    raise TransientError(f"the archive answers {response.status_code} {response.reason}")
                if response.status_code != 200:
                    message = f"the archive answers {response.status_code} {response.reason}"
                    raise UnavailableError(message, where=url, hint=_HINT)
                yield from response.iter_content(CHUNK)
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise TransientError(f"cannot reach the Debian archive: {_reason(error)}") from error
        except requests.RequestException as error:
            raise UnavailableError(f"cannot ask the Debian archive: {error}", where=url, hint=_HINT) from error


def _reason(error: BaseException) -> str:
    """The innermost cause, which says more than the layers of libraries around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _read_file(url: str) -> Iterator[bytes]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(url) from None
    except OSError as error:
        raise UnavailableError(f"cannot read: {error.strerror}", where=str(path), hint=_HINT) from error
