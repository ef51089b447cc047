"""Which places on the network a registry may send us to, and where credentials may go.

A registry's answers name other places: the realm of its token service, the host that really holds a blob. The registry
is not trusted with that choice.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from mlenv.errors import RefusedError
from mlenv.oci.reference import DOCKER_HUB

_HUB_HOST = "registry-1.docker.io"
_PORTS = {"http": 80, "https": 443}


def base_url(registry: str) -> str:
    """Where a registry answers: https, and http for one on this very machine, as Docker has it."""
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    url = f"https://{host}"
    return f"http://{host}" if is_loopback(url) else url


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port (RFC 6454). Raises ValueError for what is neither http nor https."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.password:
        raise ValueError(f"not a plain http or https address: {url[:200]!r}")
    return parts.scheme, parts.hostname.lower().rstrip("."), parts.port or _PORTS[parts.scheme]


def is_loopback(url: str) -> bool:
    """Whether the host is `localhost` or a loopback address, by its text: no name is looked up."""
    host = origin(url)[1]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_destination(url: str, registry_url: str) -> None:
    """Refuse a place that this registry has no business to send us to; RefusedError.

    Link-local addresses are those of cloud machines' metadata services. This machine's own services and plain http are
    for a registry that runs on this machine.
    """
    try:
        scheme, host, port = origin(url)
    except ValueError as error:
        raise _refused(str(error), registry_url) from None
    local = is_loopback(registry_url)
    if scheme != "https" and not (local and is_loopback(url)):
        raise _refused(f"it leads to plain http at {host}", registry_url)
    for address in _addresses(host, port):
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise _refused(f"it leads to {address}, an address of this network segment only", registry_url)
        if address.is_loopback and not local:
            raise _refused(f"it leads to {address} on this machine", registry_url)


def _addresses(host: str, port: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # the request will say so; behind a proxy only the proxy knows names
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


def _refused(reason: str, registry_url: str) -> RefusedError:
    return RefusedError(
        f"the registry's answer was refused: {reason}",
        where=registry_url,
        hint="check the registry's address; a registry that behaves like this is broken or hostile",
    )
