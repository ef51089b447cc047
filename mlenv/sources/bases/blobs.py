"""Where the blobs of a base image come from: an OCI layout, whose files are used where they lie, or a registry.

What a registry sends goes into the cache under its digest, so that a base that was seen once needs no network. Either
way bytes are hashed on the open file that is then used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.model.progress import Progress
from mlenv.oci.descriptor import Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.reference import Reference
from mlenv.sources.cache import Cache

if TYPE_CHECKING:
    from mlenv.registry.client import RegistryClient

CONFIG_LIMIT = 8 << 20  # bytes


class BlobSource(Protocol):
    """Where a base's blobs come from."""

    def manifest(self, digest: Digest) -> tuple[bytes, str]:
        """A manifest or index and what whoever has it calls its media type ("" where nobody says)."""

    def small(self, descriptor: Descriptor) -> bytes:
        """A config."""

    def fetch(self, descriptor: Descriptor) -> None:
        """Bring a layer to where `open` finds it."""

    def open(self, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """A layer, at its start, hashed on the open file."""


@dataclass(frozen=True)
class LayoutBlobs(BlobSource):
    """Blobs that lie in an OCI layout and are used in place."""

    layout: Layout

    def manifest(self, digest: Digest) -> tuple[bytes, str]:  # noqa: D102 -- as in BlobSource
        self.layout.index()  # says clearly where there is no layout
        with self._missing(digest):
            return self.layout.read_blob(digest), ""

    def small(self, descriptor: Descriptor) -> bytes:  # noqa: D102 -- as in BlobSource
        with self._missing(descriptor.digest):
            return _sized(self.layout.read_blob(descriptor.digest, CONFIG_LIMIT), descriptor)

    def fetch(self, descriptor: Descriptor) -> None:  # noqa: D102 -- as in BlobSource
        with self._missing(descriptor.digest):
            size = self.layout.blob_path(descriptor.digest).stat().st_size
        if size != descriptor.size:
            raise RefusedError(
                f"the layer {descriptor.digest} has {size} bytes, the manifest says {descriptor.size}",
                where=str(self.layout.path),
            )

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[BinaryIO]:  # noqa: D102 -- as in BlobSource
        with self._missing(descriptor.digest), self.layout.open_blob(descriptor.digest) as file:
            yield file

    @contextmanager
    def _missing(self, digest: Digest) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise UnavailableError(
                f"the layout has no blob {digest}",
                where=str(self.layout.path),
                hint="copy the whole image into it again",
            ) from None


class RegistryBlobs(BlobSource):
    """Blobs of a repository, kept in the cache. One connection serves all threads."""

    def __init__(self, name: Reference, cache: Cache, progress: Progress, *, offline: bool) -> None:
        self._name = name
        self._cache = cache
        self._progress = progress
        self._offline = offline
        self._mutex = threading.Lock()
        self._connection: RegistryClient | None = None

    def manifest(self, digest: Digest) -> tuple[bytes, str]:  # noqa: D102 -- as in BlobSource
        if (cached := self._cached(digest)) is not None:
            return cached, ""
        self._may_fetch(digest)
        data, media_type, _ = self._client().get_manifest(self._name.with_digest(digest))
        self._cache.put([data], expected=digest)
        return data, media_type

    def small(self, descriptor: Descriptor) -> bytes:  # noqa: D102 -- as in BlobSource
        if descriptor.size > CONFIG_LIMIT:
            raise RefusedError(f"the base's config is larger than {CONFIG_LIMIT} bytes", where=str(self._name))
        self.fetch(descriptor)
        with self._cache.open(descriptor.digest) as file:
            return _sized(file.read(CONFIG_LIMIT + 1), descriptor)

    def fetch(self, descriptor: Descriptor) -> None:  # noqa: D102 -- as in BlobSource
        if self._cache.has(descriptor.digest):
            return
        self._may_fetch(descriptor.digest)
        task = self._progress.task(f"Fetching base {descriptor.digest.short}", descriptor.size)
        try:
            chunks = self._client().get_blob(self._name, descriptor)
            self._cache.put((_advance(chunk, task.advance) for chunk in chunks), expected=descriptor.digest)
        except DigestMismatchError as error:
            raise DigestMismatchError(
                f"the registry sent other bytes for a blob: {error}",
                where=str(self._name),
                hint="the registry or something in between changes content; do not use it",
            ) from None
        finally:
            task.finish()

    @contextmanager
    def open(self, descriptor: Descriptor) -> Iterator[BinaryIO]:  # noqa: D102 -- as in BlobSource
        if not self._cache.has(descriptor.digest):
            self.fetch(descriptor)
        with self._cache.open(descriptor.digest) as file:
            yield file

    def _cached(self, digest: Digest) -> bytes | None:
        try:
            with self._cache.open(digest) as file:
                return file.read(CONFIG_LIMIT + 1)
        except FileNotFoundError:
            return None

    def _may_fetch(self, digest: Digest) -> None:
        if self._offline:
            raise UnavailableError(
                f"{digest} of the base is not in the cache", where=str(self._name), hint="run once without --offline"
            )

    def _client(self) -> RegistryClient:
        with self._mutex:
            if self._connection is None:
                from mlenv.registry.client import RegistryClient  # noqa: PLC0415 -- oras and requests take 0.3 s to import

                self._connection = RegistryClient(self._name.registry)
            return self._connection


def _sized(data: bytes, descriptor: Descriptor) -> bytes:
    if len(data) != descriptor.size:
        raise RefusedError(f"the blob {descriptor.digest} has {len(data)} bytes, the manifest says {descriptor.size}")
    return data


def _advance(chunk: bytes, advance: Callable[[int], None]) -> bytes:
    advance(len(chunk))
    return chunk
