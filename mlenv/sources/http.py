"""One file over HTTP as a stream of bytes: retries, resumption and redirects that give nothing away.

Nothing here decides whether the bytes are right: whoever reads the stream hashes it.
"""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit, urlunsplit

from mlenv.errors import RefusedError, UnavailableError
from mlenv.model.redact import redact

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 20
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
ATTEMPTS = 5
REDIRECTS = 10
LONGEST_WAIT_SECONDS = 30.0
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class MissingFileError(UnavailableError):
    """The server answers, and has no such file."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What to do: where a file is gone, where its server cannot be reached, where its bytes are others."""

    missing: str = "the file is gone from there; ask the owner of the index or mirror, or lock again"
    unreachable: str = "check the network and the proxy settings, then run it again: what was fetched is kept"
    changed: str = "the file is not the one that was locked: find out who changed it; do not lock again before you know"


HINTS = Hints()


class Connections:
    """The open transfers of a group of threads, which `stop` ends at once."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[requests.Response] = set()
        self._local = threading.local()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def session(self) -> "requests.Session":
        """The calling thread's session (requests does not promise that one may be shared)."""
        import requests  # noqa: PLC0415 -- 130 ms, and nothing is fetched where nothing changed

        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # What is asked for are the file's own bytes, which a server must not compress on the way.
            self._local.session.headers.update({"Accept-Encoding": "identity", "User-Agent": "mlenv"})
        return cast("requests.Session", self._local.session)

    def wait(self, seconds: float) -> None:
        """Sleep, or less when stopped."""
        self._stopped.wait(seconds)

    def add(self, response: "requests.Response") -> None:
        """A transfer began."""
        with self._lock:
            self._open.add(response)
        if self.stopped:
            _wake(response)

    def close(self, response: "requests.Response") -> None:
        """A transfer ended."""
        with self._lock:
            self._open.discard(response)
        response.close()

    def stop(self) -> None:
        """End all transfers, also those that wait for a server that says nothing."""
        self._stopped.set()
        with self._lock:
            for response in self._open:
                _wake(response)


def _wake(response: "requests.Response") -> None:
    """End the wait of the thread that reads the answer: it sees the end of the stream."""
    with suppress(Exception):  # whatever state it is in
        cast("Any", response.raw).shutdown()


def stream_url(url: str, *, connections: Connections | None = None, hints: Hints = HINTS) -> Iterator[bytes]:
    """The bytes at an http or https URL, once each and in order, in pieces of up to a mebibyte.

    A transfer that breaks goes on where it ended. Raises MissingFileError where there is no such file,
    UnavailableError where it cannot be had, RefusedError for a redirect that is not followed.
    """
    import requests  # noqa: PLC0415 -- as above
    import urllib3  # noqa: PLC0415 -- as above

    connections = connections or Connections()
    position = failures = since_failure = 0
    while True:
        try:
            response, skip = _open(url, position, connections)
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    fresh = chunk[skip:]
                    skip -= len(chunk) - len(fresh)
                    position += len(fresh)
                    since_failure += len(fresh)
                    if fresh:
                        yield fresh
            finally:
                connections.close(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if connections.stopped:
                raise UnavailableError("stopped", where=shown(url)) from error
            failures = 1 if since_failure >= CHUNK else failures + 1
            since_failure = 0
            if failures >= ATTEMPTS or not _passing(error):
                raise _unavailable(url, error, hints) from error
            connections.wait(_delay(error, failures))
        else:
            return


class _StatusError(OSError):
    """An answer other than the file."""

    def __init__(self, response: "requests.Response") -> None:
        super().__init__(f"HTTP status {response.status_code} {response.reason}".rstrip())
        self.status = response.status_code
        self.retry_after = response.headers.get("Retry-After", "")


def _open(url: str, position: int, connections: Connections) -> tuple["requests.Response", int]:
    """The answer at the end of all redirects, and how many of its bytes are known already."""
    place = url
    for _ in range(REDIRECTS + 1):
        response = connections.session().get(
            place,
            headers={"Range": f"bytes={position}-"} if position else {},
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
        if response.is_redirect:
            place = redirected(place, response.headers["Location"])
            response.close()
            continue
        if response.status_code == 206 and position:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {position}-"):
                response.close()
                raise OSError("the server resumed at another place than asked for")
            skip = 0
        elif response.status_code == 200:
            skip = position
        else:
            response.close()
            raise _StatusError(response)
        connections.add(response)
        return response, skip
    raise UnavailableError(f"more than {REDIRECTS} redirects", where=shown(url), hint="check the index or the mirror")


def redirected(place: str, location: str) -> str:
    """Where a redirect leads, if it may be followed.

    A user name and a password stay with their origin (scheme, host and port). Refused are the step from https to
    http, other schemes, and link-local addresses, where clouds serve their machines' credentials.
    """
    old, new = urlsplit(place), urlsplit(urljoin(place, location))
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise RefusedError(
            f"a redirect from {old.scheme} to {new.scheme or 'nothing'} is not followed",
            where=shown(place),
            hint="give the URL that the server redirects to, if you trust it",
        )
    if new.hostname is None or link_local(new.hostname):
        raise RefusedError(
            f"a redirect to the link-local address {new.hostname} is not followed",
            where=shown(place),
            hint="find out who answers at this URL; no package lies there",
        )
    if "@" in old.netloc and "@" not in new.netloc and origin(old.geturl()) == origin(new.geturl()):
        new = new._replace(netloc=f"{old.netloc.rpartition('@')[0]}@{new.netloc}")
    return new.geturl()


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port (RFC 6454): what a password stays with."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def link_local(host: str) -> bool:
    """Whether a host is or has a link-local address. One that cannot be looked up here (behind a proxy) has none."""
    try:
        addresses = [host] if _is_address(host) else [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except OSError:
        return False
    found = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    mapped = [address.ipv4_mapped or address if address.version == 6 else address for address in found]
    return any(address.is_link_local for address in mapped)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _passing(error: Exception) -> bool:
    """Whether it may be over in a moment."""
    import requests  # noqa: PLC0415 -- as above

    if isinstance(error, _StatusError):
        return error.status in _TRANSIENT
    lasting = (requests.exceptions.SSLError, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    return not isinstance(error, lasting)


def _delay(error: Exception, failures: int) -> float:
    """Seconds to wait: what the server asks for, or half a second, doubled each time. Never over half a minute."""
    seconds: float = 0.25 * 2.0**failures
    if isinstance(error, _StatusError) and error.retry_after:
        with suppress(ValueError, TypeError):
            if error.retry_after.isdigit():
                seconds = float(error.retry_after)
            else:
                seconds = (parsedate_to_datetime(error.retry_after) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _unavailable(url: str, error: Exception, hints: Hints) -> UnavailableError:
    status = error.status if isinstance(error, _StatusError) else 0
    message = f"cannot fetch: {_reason(error)}"
    if status in (404, 410):
        return MissingFileError(message, where=shown(url), hint=hints.missing)
    asks = "give credentials: in ~/.netrc, or in the index URL of your own configuration"
    return UnavailableError(message, where=shown(url), hint=asks if status in (401, 403, 407) else hints.unreachable)


def _reason(error: BaseException) -> str:
    """The innermost sentence: requests and urllib3 wrap what happened several times."""
    seen = error
    while True:
        nested = (getattr(seen, "reason", None), *seen.args, seen.__cause__)
        inner = next((one for one in nested if isinstance(one, BaseException)), None)
        if inner is None or inner is seen:
            break
        seen = inner
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else str(seen)
    return redact(" ".join(str(text).rpartition(">: ")[2].split()) or type(seen).__name__)


def shown(url: str) -> str:
    """The URL for a message: without user name, password, query and fragment, which may hold a token."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
