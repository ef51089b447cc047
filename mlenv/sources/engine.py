"""Loads an image into a Docker engine, and looks whether it is the one that was meant."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlenv.errors import DigestMismatchError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.oci.reference import Reference

if TYPE_CHECKING:
    from docker import DockerClient

_SECONDS = 1800  # an engine is silent while it unpacks a layer of several gigabytes


def load_image(chunks: Iterable[bytes], reference: Reference, *, config: Digest, manifest: Digest) -> Digest:
    """Give an engine the tar of an image, and return the engine's id of it.

    The engine is the one of DOCKER_HOST, else the local socket. The id is the config's digest in the classic store
    and the manifest's in containerd's: DigestMismatchError where the image of that name has another one.
    Raises UnavailableError where the engine can't be reached or refuses the image.
    """
    with connected() as client:
        api: Any = client.api  # its stubs leave this method without types
        lines = list(api.load_image(chunks) or ())  # to its end: an answer that is dropped leaves its socket open
        failures = [line for line in lines if "error" in line or "errorDetail" in line]
        if failures:
            detail = failures[0].get("errorDetail", {}).get("message") or failures[0].get("error")
            raise UnavailableError(
                f"the engine did not load the image: {str(detail)[:500]}",
                where=f"docker-daemon:{reference.familiar}",
                hint="check the engine's disk and log; Engine 20.10 or newer is needed",
            )
        found = client.images.get(reference.familiar).id
    if found not in (str(config), str(manifest)):
        raise DigestMismatchError(
            f"the engine has {found} under that name, which is neither the image's config nor its manifest",
            where=f"docker-daemon:{reference.familiar}",
            hint="load it again, and find out what else writes to the engine",
        )
    return Digest.parse(found)


@contextmanager
def connected() -> "Iterator[DockerClient]":
    """The engine of DOCKER_HOST, else of the local socket. All that goes wrong with it is an UnavailableError."""
    import docker  # noqa: PLC0415 -- takes 0.2 s to import
    import requests  # noqa: PLC0415 -- as above

    try:
        client = docker.from_env(timeout=_SECONDS)
        try:
            yield client
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException) as error:
        # docker-py wraps what the socket said in a sentence of its own and a tuple.
        plain = re.search(r"\w+Error\(\d+, '([^']+)'\)", str(error))
        reason = plain[1] if plain else next(iter(str(error).splitlines()), type(error).__name__)[:300]
        raise UnavailableError(
            f"the engine does not answer: {reason}",
            where="docker-daemon",
            hint="start Docker, or point DOCKER_HOST at an engine (unix:///var/run/docker.sock is the default)",
        ) from None
