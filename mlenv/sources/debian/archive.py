"""From a request to the index of its packages: which archives, their InRelease, their Packages files.

Everything that comes over the wire is checked before it is used: InRelease by its OpenPGP signature, a Packages file by
the sha256 and size that InRelease gives. Both are kept in the cache, and used from there without a network; the
signature and the time are judged again each time.
"""

import gzip
import io
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlenv.errors import (
    DigestMismatchError,
    RefusedError,
    ResolutionError,
    SignatureError,
    UnavailableError,
)
from mlenv.model.digest import Digest
from mlenv.model.progress import Progress
from mlenv.sources.cache import Cache
from mlenv.sources.debian.apt_sources import apt_mirrors
from mlenv.sources.debian.index import PackageIndex
from mlenv.sources.debian.release import Release, parse_release, verified_payload
from mlenv.sources.debian.request import DebianRequest
from mlenv.sources.debian.transport import Transport

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
_RELEASE_CAP = 16 << 20  # bytes; the largest today has 200,000
_PACKAGES_CAP = 1 << 30  # bytes, inflated; the largest today has 60 million
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
        main, security, keyring = self._sources(request)
        transport = Transport()
        texts: list[tuple[str, bytes]] = []
        for archive in _archives(request.suite, main, security):
            release = self._release(archive, request, keyring, transport)
            if release is not None:
                texts += self._packages(archive, release, request.platform.architecture, transport)
            elif archive.suite == request.suite:
                raise ResolutionError(
                    f"the mirror has no suite {request.suite!r}",
                    where=archive.release_url,
                    hint="name a suite that the mirror has, such as trixie, in debian.suite",
                )
            elif archive.suite.endswith("-security"):
                self.progress.note(
                    f"no security updates for {request.suite}: {archive.url} has no {archive.suite}; "
                    "set MLENV_DEBIAN_SECURITY_MIRROR to an archive that has"
                )
        return PackageIndex(texts, request.platform.architecture)

    def _sources(self, request: DebianRequest) -> tuple[str, str | None, bytes]:
        """The main mirror, the security mirror, the keyring's bytes: manifest, then environment, then apt."""
        apt = apt_mirrors(self.apt_folder)
        explicit = request.mirror or self.environ.get("MLENV_DEBIAN_MIRROR")
        main = explicit or apt.main
        if main is None:
            raise UnavailableError(
                "no Debian mirror is known: this machine's apt sources name none",
                where="debian.mirror",
                hint="set debian.mirror in mlenv.toml, or MLENV_DEBIAN_MIRROR",
            )
        security = request.security_mirror or self.environ.get("MLENV_DEBIAN_SECURITY_MIRROR")
        if security is None:
            # Beside a mirror that was named, this machine's own could be behind or out of reach: it is not mixed in.
            security = explicit or apt.security
        keyring = request.keyring or apt.keyring
        return main.rstrip("/"), security.rstrip("/") if security else None, _read_keyring(keyring)

    def _release(
        self, archive: Archive, request: DebianRequest, keyring: bytes, transport: Transport
    ) -> Release | None:
        """The checked Release, or None where the mirror has no such suite."""
        signed = self._in_release(archive.release_url, transport)
        if signed is None:
            return None
        payload = verified_payload(signed, keyring, where=archive.release_url)
        release = parse_release(payload, where=archive.release_url)
        release.require_suite(archive.suite)
        release.require_valid(self.now, request.snapshot)
        self.cache.put([signed])
        self.cache.remember("debian-inrelease", archive.release_url, Digest.of(signed).hex)
        return release

    def _in_release(self, url: str, transport: Transport) -> bytes | None:
        """The newest InRelease that can be had; where there is no network, the last one that was good."""
        if self.offline:
            return self._remembered(
                url,
                UnavailableError("the Debian index is not in the cache", where=url, hint="run once without --offline"),
            )
        try:
            return transport.read(url, cap=_RELEASE_CAP)
        except UnavailableError as error:
            signed = self._remembered(url, error)
            self.progress.note(f"{url} cannot be reached; going by the copy in the cache")
            return signed

    def _remembered(self, url: str, error: UnavailableError) -> bytes:
        known = self.cache.record("debian-inrelease", url)
        try:
            with self.cache.open(Digest(known)) as file:
                return file.read()
        except (FileNotFoundError, ValueError, TypeError):
            raise error from None

    def _packages(
        self, archive: Archive, release: Release, architecture: str, transport: Transport
    ) -> Iterator[tuple[str, bytes]]:
        """The Packages files of component main: the architecture's, and `all` where that has its own."""
        for kind in (architecture, "all") if release.separate_all else (architecture,):
            for suffix in (".xz", ".gz", ""):
                path = f"main/binary-{kind}/Packages{suffix}"
                if path in release.files:
                    digest, size = release.files[path]
                    yield archive.url, self._checked(archive, release, path, digest, size, transport)
                    break
            else:
                raise ResolutionError(
                    f"{archive.suite} has no packages for {kind}",
                    where=release.where,
                    hint="leave the platform out of environment.platforms, or use another mirror",
                )

    def _checked(
        self, archive: Archive, release: Release, path: str, digest: Digest, size: int, transport: Transport
    ) -> bytes:
        """A Packages file, inflated, its bytes being the ones that the Release names."""
        if size > _PACKAGES_CAP:
            raise RefusedError(f"{path} is said to have {size} bytes", where=release.where)
        if not self.cache.has(digest):
            folder = f"{archive.url}/dists/{archive.suite}"
            # By its hash, since the plain name may already hold what the next InRelease describes.
            name = f"{path.rpartition('/')[0]}/by-hash/SHA256/{digest.hex}" if release.by_hash else path
            url = f"{folder}/{name}"
            if self.offline:
                raise UnavailableError("not in the cache", where=url, hint="run once without --offline")
            data = transport.read(url, cap=size)
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
                    hint="try again, or use another mirror: this one serves other bytes than the signed index says",
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


def _read_keyring(path: Path | None) -> bytes:
    candidates = KEYRINGS if path is None else (path,)
    for candidate in candidates:
        try:
            return candidate.read_bytes()
        except OSError:
            continue
    raise SignatureError(
        "there is no keyring to check the Debian archive's signature with",
        where=str(candidates[0]),
        hint="install the package debian-archive-keyring, or name a file in debian.keyring of mlenv.toml",
    )


def _inflate(data: bytes, path: str, where: str) -> bytes:
    try:
        if path.endswith(".xz"):
            text = lzma.open(io.BytesIO(data)).read(_PACKAGES_CAP + 1)
        elif path.endswith(".gz"):
            text = gzip.open(io.BytesIO(data)).read(_PACKAGES_CAP + 1)
        else:
            text = data
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise RefusedError(f"{path} cannot be inflated: {error}", where=where) from error
    if len(text) > _PACKAGES_CAP:
        raise RefusedError(f"{path} inflates to more than {_PACKAGES_CAP} bytes", where=where)
    return text
