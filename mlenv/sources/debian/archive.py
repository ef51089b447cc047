"""From a request to the index of its packages: which archives, their InRelease, their Packages files.

Everything that comes over the wire is checked before it is used: InRelease by its OpenPGP signature, a Packages file by
the sha256 and size that InRelease gives. Both are kept in the cache, and used from there without a network; the
signature and the time are judged again each time.
"""

import lzma
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlenv.errors import (
    DigestMismatchError,
    RefusedError,
    ResolutionError,
    UnavailableError,
)
from mlenv.model.digest import Digest
from mlenv.model.progress import Progress
from mlenv.sources.cache import Cache
from mlenv.sources.debian.hints import ANOTHER_MIRROR, HINTS
from mlenv.sources.debian.index import PackageIndex
from mlenv.sources.debian.mirrors import choose_mirrors
from mlenv.sources.debian.release import Release, parse_release, verified_payload
from mlenv.sources.debian.request import DebianRequest
from mlenv.sources.http import Connections
from mlenv.sources.urls import read_small

_RELEASE_CAP = 16 << 20  # bytes; the largest today has 200,000
_PACKAGES_CAP = 1 << 30  # bytes, inflated; the largest today has 60 million
_KIND = "debian-inrelease"  # of the cache's records: the digest of the last good InRelease, by its address
_ABSENT = "absent"  # or this, where the archive answered that it has none
_ONLINE = "run once without --offline"
_MOVING = frozenset({"sid", "unstable", "experimental"})  # suites that have no -updates and no -security


@dataclass(frozen=True, slots=True)
class Archive:
    """A suite at a mirror. `url` has no slash at its end."""

    url: str
    suite: str

    @property
    def release_url(self) -> str:
        """Where its signed index lies."""
        return f"{self.url}/dists/{self.suite}/InRelease"


@dataclass(frozen=True, slots=True)
class ArchiveReader:
    """What reading archives needs. `environ` is the process's environment; `offline` reads the cache alone."""

    cache: Cache
    now: datetime
    environ: Mapping[str, str]
    progress: Progress
    offline: bool = False
    apt_folder: Path = Path("/etc/apt")

    def index(self, request: DebianRequest) -> PackageIndex:
        """The packages of SUITE, SUITE-updates and SUITE-security."""
        mirrors = choose_mirrors(request, self.environ, self.apt_folder)
        connections = Connections()
        texts: list[tuple[str, bytes]] = []
        if mirrors.security is None:
            self._note_no_security(request.suite, "this machine's apt sources name none")
        for archive in _archives(request.suite, mirrors.main, mirrors.security):
            release = self._release(archive, request, mirrors.keyring, connections)
            if release is not None:
                texts += self._packages(archive, release, request.platform.architecture, connections)
            elif archive.suite == request.suite:
                raise ResolutionError(
                    f"the mirror has no suite {request.suite!r}",
                    where=archive.release_url,
                    hint="name a suite that the mirror has, such as trixie, in base.debian.suite",
                )
            elif archive.suite.endswith("-security"):
                self._note_no_security(request.suite, f"{archive.url} has no {archive.suite}")
        return PackageIndex(texts, request.platform.architecture)

    def _note_no_security(self, suite: str, why: str) -> None:
        if suite not in _MOVING:
            hint = "set MLENV_DEBIAN_SECURITY_MIRROR to an archive that has them"
            self.progress.note(f"no security updates for Debian {suite}: {why}; {hint}")

    def _release(
        self, archive: Archive, request: DebianRequest, keyring: bytes, connections: Connections
    ) -> Release | None:
        """The checked Release, or None where the mirror has no such suite."""
        signed = self._in_release(archive.release_url, connections)
        if signed is None:
            self.cache.remember(_KIND, archive.release_url, _ABSENT)
            return None
        release = _read(signed, keyring, archive)
        release.require_valid(self.now, request.snapshot)
        older = self._known(archive.release_url)
        if older not in {None, signed} and request.snapshot is None:
            known = _read(older or b"", keyring, archive)
            if known.date > release.date:
                known.require_valid(self.now, None)
                self.progress.note(f"{archive.release_url} is older than it was; going by the copy in the cache")
                return known
        self.cache.remember(_KIND, archive.release_url, self.cache.put([signed]).hex)
        return release

    def _in_release(self, url: str, connections: Connections) -> bytes | None:
        """The newest InRelease; where there is no network, the last one that was good. None where there is none."""
        if self.offline:
            error = UnavailableError("the index is not in the cache", where=url, hint=_ONLINE)
        else:
            try:
                return read_small(url, connections, hints=HINTS, cap=_RELEASE_CAP)
            except UnavailableError as unavailable:
                error = unavailable
        if self.cache.record(_KIND, url) == _ABSENT:
            return None
        signed = self._known(url)
        if signed is None:
            raise error
        if not self.offline:
            self.progress.note(f"{url} cannot be reached; going by the copy in the cache")
        return signed

    def _known(self, url: str) -> bytes | None:
        """The last InRelease of that address that was good."""
        try:
            with self.cache.open(Digest(self.cache.record(_KIND, url))) as file:
                return file.read()
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _packages(
        self, archive: Archive, release: Release, architecture: str, connections: Connections
    ) -> Iterator[tuple[str, bytes]]:
        """The Packages files of component main: the architecture's, and `all` where that has its own."""
        for kind in (architecture, "all") if release.separate_all else (architecture,):
            for suffix in (".xz", ".gz", ""):
                path = f"main/binary-{kind}/Packages{suffix}"
                if path in release.files:
                    yield archive.url, self._checked(archive, release, path, connections)
                    break
            else:
                raise ResolutionError(
                    f"{archive.suite} has no packages for {kind}",
                    where=release.where,
                    hint="leave the platform out of environment.platforms, or use another mirror",
                )

    def _checked(self, archive: Archive, release: Release, path: str, connections: Connections) -> bytes:
        """A Packages file, inflated, its bytes being the ones that the Release names."""
        digest, size = release.files[path]
        if size > _PACKAGES_CAP:
            raise RefusedError(f"{path} is said to have {size} bytes", where=release.where, hint=ANOTHER_MIRROR)
        if not self.cache.has(digest):
            folder = f"{archive.url}/dists/{archive.suite}"
            # By its hash, since the plain name may already hold what the next InRelease describes.
            name = f"{path.rpartition('/')[0]}/by-hash/SHA256/{digest.hex}" if release.by_hash else path
            url = f"{folder}/{name}"
            if self.offline:
                raise UnavailableError("not in the cache", where=url, hint=_ONLINE)
            data = read_small(url, connections, hints=HINTS, cap=size)
            if data is None:
                raise UnavailableError(
                    "the mirror does not have the index that it announces",
                    where=url,
                    hint="it is being updated: try again in some minutes",
                )
            if len(data) != size or Digest.of(data) != digest:
                raise DigestMismatchError(
                    f"expected {digest} and {size} bytes, got {Digest.of(data)} and {len(data)}",
                    where=url,
                    hint=ANOTHER_MIRROR,
                )
            self.cache.put([data], expected=digest)
        with self.cache.open(digest) as file:
            return _inflate(file.read(), path, release.where)


def _archives(suite: str, main: str, security: str | None) -> Iterator[Archive]:
    yield Archive(main, suite)
    if suite not in _MOVING:
        yield Archive(main, f"{suite}-updates")
        if security is not None:
            yield Archive(security, f"{suite}-security")


def _read(signed: bytes, keyring: bytes, archive: Archive) -> Release:
    """What an InRelease of that archive says. Raises SignatureError unless it is signed, and for that suite."""
    release = parse_release(verified_payload(signed, keyring, where=archive.release_url), where=archive.release_url)
    release.require_suite(archive.suite)
    return release


def _inflate(data: bytes, path: str, where: str) -> bytes:
    try:
        if path.endswith(".xz"):
            text = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=1 << 28).decompress(data, _PACKAGES_CAP + 1)
        elif path.endswith(".gz"):
            text = zlib.decompressobj(31).decompress(data, _PACKAGES_CAP + 1)
        else:
            text = data
    except (zlib.error, lzma.LZMAError) as error:
        raise RefusedError(f"{path} cannot be inflated: {error}", where=where, hint=ANOTHER_MIRROR) from error
    if len(text) > _PACKAGES_CAP:
        raise RefusedError(f"{path} inflates to more than {_PACKAGES_CAP} bytes", where=where, hint=ANOTHER_MIRROR)
    return text
