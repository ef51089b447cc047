"""The content-addressed cache: what was fetched once, under its digest, safe for many processes and for kill -9.

    blobs/sha256/<hex>      anything with a digest: wheels, Debian packages, layers of a base
    records/<kind>/<hex>    small JSON values that cost time to compute, under the digest of their key
    tmp/                    files being written; what a killed process left is removed by `prune`

A blob appears under its name only whole: it is written to `tmp/`, hashed as written, flushed to the disk and renamed.
Nothing in here is trusted: a blob is hashed again, on the open file that is then used, whenever it is read.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from mlenv.errors import DigestMismatchError, UnavailableError
from mlenv.model.digest import Digest

CHUNK = 1 << 20


def default_root(environ: dict[str, str] | os._Environ[str] = os.environ) -> Path:
    """$MLENV_CACHE_DIR, or `mlenv` in the user's cache folder (XDG base directory specification)."""
    if explicit := environ.get("MLENV_CACHE_DIR"):
        return Path(explicit)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlenv"


class Cache:
    """A cache under `root`, which is made when something is first written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: Digest) -> Path:
        """Where the blob lies, or would lie."""
        return self.root / "blobs" / "sha256" / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether a blob of that name is there. Says nothing of its bytes: `open` does."""
        return self.path(digest).is_file()

    @contextmanager
    def open(self, digest: Digest) -> Iterator[BinaryIO]:
        """The blob, open for reading and at its start, after its bytes were hashed.

        Raises FileNotFoundError where it is missing, and DigestMismatchError where it was changed; it is removed then.
        """
        path = self.path(digest)
        with path.open("rb") as file:
            found = Digest(hashlib.file_digest(file, "sha256").hexdigest())
            if found != digest:
                path.unlink(missing_ok=True)
                raise DigestMismatchError(
                    f"the cached copy of {digest} has the digest {found}; it was removed",
                    where=str(path),
                    hint="run the command again to fetch it anew, and find out who writes to the cache",
                )
            file.seek(0)
            yield file

    def put(self, chunks: Iterable[bytes], *, expected: Digest | None = None) -> Digest:
        """Store bytes as they come and return their digest; where another one was `expected`, nothing is kept."""
        hasher = hashlib.sha256()
        with self.temporary() as file:
            for chunk in chunks:
                hasher.update(chunk)
                file.write(chunk)
            digest = Digest(hasher.hexdigest())
            if expected is not None and digest != expected:
                raise DigestMismatchError(f"expected {expected}, got {digest}")
            self.adopt(file, digest)
        return digest

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """An empty file in `tmp/`, open for reading and writing, gone at the end unless `adopt` took it."""
        folder = self.root / "tmp"
        with full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder)
            try:
                with os.fdopen(descriptor, "w+b") as file:
                    yield _Named(file, Path(name))  # type: ignore[misc]
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108 -- `name` may already be gone

    def adopt(self, file: BinaryIO, digest: Digest) -> None:
        """Make a temporary file, whose bytes the caller hashed as it wrote them, the blob of that digest."""
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), 0o444)
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(file.name).replace(target)

    def record(self, kind: str, key: str) -> Any:
        """The value remembered under that key, or None."""
        try:
            return json.loads(self._record_path(kind, key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, kind: str, key: str, value: Any) -> None:
        """Keep a JSON value. The key must name everything that the value depends on."""
        with self.temporary() as file:
            file.write(json.dumps(value, sort_keys=True).encode())
            file.flush()
            target = self._record_path(kind, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(file.name).replace(target)

    def _record_path(self, kind: str, key: str) -> Path:
        return self.root / "records" / kind / Digest.of(key.encode()).hex


class _Named:
    """A file object that knows its path (os.fdopen calls it by its number)."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self.name = str(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def full_disk(place: Path) -> Iterator[None]:
    """Turn what the operating system says of a disk that is full or not writable into an error with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, FileNotFoundError):
            raise
        raise UnavailableError(
            f"cannot write: {error.strerror}",
            where=error.filename or str(place),
            hint="free some space, or point MLENV_CACHE_DIR at a disk that has some",
        ) from error
