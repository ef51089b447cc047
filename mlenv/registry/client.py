"""The client of an OCI registry (distribution specification 1.1), read side, on oras' session and references.

What oras itself does: no time-out, retries of two minutes, credentials to any realm and after any redirect, a manifest
without its raw bytes. `do_request` is ours, therefore; everything goes through it.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import oras.client
import requests
from urllib3.exceptions import HTTPError

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.model.strict_json import LIMIT
from mlenv.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from mlenv.oci.reference import Reference
from mlenv.registry.authorization import Challenge, authorization
from mlenv.registry.credentials import Credentials, find_credentials
from mlenv.registry.origin import base_url, check_destination, is_loopback, origin

_TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer
_PAUSES = (0.5, 2.0)  # seconds before the second and the third try
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 5
_CHUNK = 1 << 20
_NETWORK = (requests.RequestException, HTTPError, OSError)


class RegistryClient(oras.client.OrasClient):  # type: ignore[misc]
    """A connection to one registry.

    `credentials` is asked once, when the registry first demands any; by default Docker's configuration.
    """

    def __init__(self, registry: str, credentials: Callable[[str], Credentials | None] = find_credentials) -> None:
        self._registry = registry
        self.url = base_url(registry)
        super().__init__(hostname=registry, insecure=self.url.startswith("http:"))
        self.session.auth = _leave_alone
        self.session.trust_env = not is_loopback(self.url)  # no proxy between this machine and itself
        self.session.headers["User-Agent"] = "mlenv"
        self.session.headers["Accept-Encoding"] = "identity"  # digests are of the bytes as they are
        self._ask = credentials
        self._credentials: Credentials | None = None
        self._asked = False
        self._headers: dict[str, str] = {}  # Authorization by scope

    def get_manifest(self, reference: Reference) -> tuple[bytes, str, Digest]:
        """The bytes of a manifest or index, its media type, and the digest of these bytes.

        Raises DigestMismatchError where that isn't the reference's digest or not the one that the registry states.
        """
        name = str(reference.digest or reference.tag or "latest")
        url = f"{self.url}/v2/{reference.repository}/manifests/{name}"
        headers = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
        with self._get(url, headers, reference) as response:
            data = self._small(response, reference)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            stated = response.headers.get("Docker-Content-Digest")
        digest = Digest.of(data)
        for expected in (str(reference.digest) if reference.digest else None, stated):
            if expected is not None and expected.startswith("sha256:") and expected != str(digest):
                raise DigestMismatchError(
                    f"the registry sent a manifest with the digest {digest} for {expected}",
                    where=str(reference),
                    hint="the registry or something in between changes content; do not use it",
                )
        return data, media_type, digest

    def get_blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob as they arrive; exactly `descriptor.size` of them. The caller checks the digest.

        Where the connection breaks in the middle, it goes on from there.
        """
        url = f"{self.url}/v2/{reference.repository}/blobs/{descriptor.digest}"
        where = f"{reference.name}@{descriptor.digest}"
        done = 0
        for pause in (*_PAUSES, None):
            try:
                for chunk in self._blob_from(url, reference, done):
                    done += len(chunk)
                    if done > descriptor.size:
                        raise DigestMismatchError(
                            f"the registry sent more than the {descriptor.size} bytes", where=where
                        )
                    yield chunk
                if done < descriptor.size:
                    raise requests.ConnectionError(f"it ended after {done} of {descriptor.size} bytes")
            except _NETWORK as error:
                if pause is None:
                    raise _unreachable(error, where) from None
                time.sleep(pause)
            else:
                return

    def _blob_from(self, url: str, reference: Reference, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._get(url, headers, reference) as response:
            skip = 0 if response.status_code == 206 else start
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                wanted = chunk[skip:]
                skip -= min(skip, len(chunk))
                if wanted:
                    yield wanted

    def _get(self, url: str, headers: dict[str, str], reference: Reference) -> requests.Response:
        scope = f"repository:{reference.repository}:pull"
        response = self.do_request(url, headers=headers | {_SCOPE: scope}, stream=True)
        if response.status_code in (200, 206):
            return response
        with response:
            raise _failure(response.status_code, reference)

    def do_request(  # the signature is oras'
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """One request to this registry, with authorization, time-outs, a few tries, and redirects as we allow them.

        Raises UnavailableError when the registry can't be reached.
        """
        sent = dict(headers or {})
        scope = sent.pop(_SCOPE, "")
        for pause in (*_PAUSES, None):
            try:
                response = self._authorized(method, url, scope, data=data, json=json, headers=sent, stream=stream)
            except _NETWORK as error:
                if pause is None or isinstance(error, requests.exceptions.SSLError):
                    raise _unreachable(error, self.url) from None
                time.sleep(pause)
                continue
            if response.status_code not in _AGAIN or pause is None:
                return response
            response.close()
            time.sleep(_retry_after(response, pause))
        raise AssertionError  # the last round returns or raises

    def _authorized(self, method: str, url: str, scope: str, **arguments: Any) -> requests.Response:
        response = self._follow(method, url, self._headers.get(scope), **arguments)
        if response.status_code != 401 or origin(response.url) != origin(self.url):
            return response  # whoever the registry redirects to has no claim to its credentials
        challenge = Challenge.parse(response.headers.get("WWW-Authenticate", ""))
        if not self._asked:
            self._credentials, self._asked = self._ask(self._registry), True
        header = authorization(
            self.session, challenge, self._credentials, scope=scope, registry_url=self.url, timeout=_TIMEOUT
        )
        if header is None:
            return response
        response.close()
        self._headers[scope] = header
        return self._follow(method, url, header, **arguments)

    def _follow(self, method: str, url: str, header: str | None, **arguments: Any) -> requests.Response:
        """Send a request and follow redirects; the Authorization header goes to the registry's own origin only."""
        headers = arguments.pop("headers")
        for _ in range(_HOPS):
            own = {"Authorization": header} if header and origin(url) == origin(self.url) else {}
            response: requests.Response = self.session.request(
                method, url, headers=headers | own, allow_redirects=False, timeout=_TIMEOUT, **arguments
            )
            if response.status_code not in _REDIRECTS or method not in ("GET", "HEAD"):
                return response
            response.close()
            url = urljoin(url, response.headers.get("Location", ""))
            check_destination(url, self.url)
        raise RefusedError(f"the registry redirects more than {_HOPS} times", where=self.url)

    def _small(self, response: requests.Response, reference: Reference) -> bytes:
        data = b""
        try:
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                data += chunk
                if len(data) > LIMIT:
                    break
        except _NETWORK as error:
            raise _unreachable(error, str(reference)) from None
        if len(data) > LIMIT:
            raise RefusedError(f"the manifest is larger than {LIMIT} bytes", where=str(reference))
        return data


_SCOPE = "mlenv-scope"  # travels in the headers as far as do_request, whose signature is oras'


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An authorization for requests that adds none: without one it would send what ~/.netrc holds."""
    return request


def _retry_after(response: requests.Response, pause: float) -> float:
    stated = response.headers.get("Retry-After", "")
    return min(float(stated), 10.0) if stated.isdigit() else pause


def _unreachable(error: Exception, where: str) -> UnavailableError:
    inner: object = error
    while nested := next((one for one in getattr(inner, "args", ()) if isinstance(one, Exception)), None) or getattr(
        inner, "reason", None
    ):  # requests and urllib3 wrap what happened several times
        inner = nested
    text = str(inner).rpartition(": ")[2] if isinstance(inner, Exception) else str(inner)
    reason = text.splitlines()[0][:300] if text else type(error).__name__
    return UnavailableError(
        f"the registry can't be reached: {reason}",
        where=where,
        hint="check the network, the address and the proxy settings",
    )


def _failure(status: int, reference: Reference) -> UnavailableError | UsageError:
    where = str(reference)
    if status in (401, 403):
        return UnavailableError(
            f"the registry refuses access ({status})", where=where, hint=f"run `docker login {reference.registry}`"
        )
    if status == 404:
        return UnavailableError(
            "the registry has no such image",
            where=where,
            hint="check the name, the tag and the digest; it may be private",
        )
    return UnavailableError(f"the registry answered {status}", where=where, hint="try again later")
