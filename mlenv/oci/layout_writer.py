"""OCI image layouts to write: one image at a time, all or nothing, beside whoever else writes there."""

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mlenv.errors import UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor
from mlenv.oci.disk import is_full, synchronise
from mlenv.oci.image import ImageIndex
from mlenv.oci.layout import LAYOUT_FILE, Layout, other_bytes
from mlenv.oci.reference import Reference

_CHUNK = 1 << 20
_TEMPORARY = ".mlenv-"


class BlobSink:
    """A blob that is being written. `LayoutWriter.commit` gives it its name."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self.path = path
        self.committed = False

    def write(self, data: bytes) -> int:
        """Append some bytes; how many. They come about a mebibyte at a time, so that nothing is gathered here."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)


class LayoutWriter(Layout):
    """Writes one image into a layout, new or not, all or nothing.

    A context manager. Blobs appear under their names when they are whole; index.json, which makes them reachable, is
    replaced last. Where the block ends without `finish`, what this writer created is removed again.

    Each blob is synchronised to the disk by a thread of its own while others are being written, so that nobody waits
    for the disk's latency; `finish` waits for all of them before index.json is replaced. Until then nothing names
    the new blobs, and `has` hashes what it finds, so that a power cut can leave a truncated blob but nothing that
    trusts it. `durable=False` leaves it out, for a scratch layout.

    Blob methods may be called from several threads. Another process that writes into the same layout waits.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        super().__init__(path)
        self._durable = durable
        self._made: list[Path] = []  # directories and blobs that were not there before, in the order of making
        self._disk = ThreadPoolExecutor(1, "synchronise") if durable else None
        self._synchronised: list[Future[None]] = []
        self._mutex = threading.Lock()
        self._lock = -1
        self._finished = False

    def __enter__(self) -> Self:
        with _disk(self.path):
            try:
                self._claim()
                for leftover in self.blobs.glob(f"{_TEMPORARY}*"):  # of a killed process: no other one holds the lock
                    leftover.unlink(missing_ok=True)
            except BaseException:
                self._undo()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._disk is not None:
            self._disk.shutdown(cancel_futures=True)
        if not self._finished:
            self._undo()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def blobs(self) -> Path:
        """The folder of the blobs."""
        return self.path / "blobs" / "sha256"

    @contextmanager
    def blob_writer(self) -> Iterator[BlobSink]:
        """A new blob. What isn't committed inside the block is dropped."""
        with _disk(self.path):
            descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=self.blobs)
            sink = BlobSink(os.fdopen(descriptor, "wb", buffering=0), Path(name))
            try:
                yield sink
            finally:
                try:
                    sink._file.close()  # noqa: SLF001 -- the two classes are one thing
                finally:
                    if not sink.committed:
                        sink.path.unlink(missing_ok=True)

    def commit(self, sink: BlobSink, digest: Digest) -> None:
        """Name the blob: `digest` is that of all bytes given to the sink, which the caller hashed as they passed."""
        with _disk(self.path):
            sink.path.chmod(0o644)
            target = self.blob_path(digest)
            with self._mutex:
                if not target.exists():
                    self._made.append(target)
                sink.path.replace(target)
                sink.committed = True
                if self._disk is not None:
                    self._synchronised.append(self._disk.submit(synchronise, target))

    def add_blob(self, data: bytes) -> Digest:
        """A small blob: a manifest, a config."""
        digest = Digest.of(data)
        if not self.has(digest, len(data)):
            with self.blob_writer() as sink:
                sink.write(data)
                self.commit(sink, digest)
        return digest

    def copy_blob(self, file: BinaryIO, digest: Digest) -> int:
        """Copy an open file from where it stands, hashing what is copied; its size. Raises DigestMismatchError."""
        hasher, size = hashlib.sha256(), 0
        with self.blob_writer() as sink:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
                size += sink.write(chunk)
            if hasher.hexdigest() != digest.hex:
                raise other_bytes(digest, Digest(hasher.hexdigest()), self.path)
            self.commit(sink, digest)
        return size

    def finish(self, descriptor: Descriptor, name: str = "", *, tag: str = "") -> Descriptor:
        """Make the image reachable, under a name; returns the entry as index.json has it.

        `name` is an image name such as `sentiment:1.4.0`; its tag becomes `org.opencontainers.image.ref.name` unless
        `tag` says otherwise, and the whole of it `io.containerd.image.name`. An entry of the same ref name gives way,
        and so does one of the same digest without a name; others stay.
        """
        annotations = dict(descriptor.annotations)
        if name:
            reference = Reference.parse(name).with_default_tag()
            annotations[CONTAINERD_NAME] = f"{reference.name}:{reference.tag}"
            annotations[REF_NAME] = tag or reference.tag
        elif tag:
            annotations[REF_NAME] = tag
        entry = descriptor.model_copy(update={"annotations": annotations})
        with _disk(self.path):
            for blob in self._synchronised:
                blob.result()
            if self._durable:
                synchronise(self.blobs)
                synchronise(self.path / "blobs")
            kept = [other for other in self._entries() if not _gives_way(other, entry)]
            index = ImageIndex(manifests=(*kept, entry)).to_bytes()
            self._replace("oci-layout", LAYOUT_FILE)
            self._replace("index.json", index)
            self._finished = True
        return entry

    def _entries(self) -> tuple[Descriptor, ...]:
        return self.index().manifests if (self.path / "index.json").exists() else ()

    def _claim(self) -> None:
        """Make the directory, and hold it alone. Somebody who gives up may remove it while we wait: then again."""
        while True:
            for folder in (*reversed(self.path.parents), self.path, self.path / "blobs", self.blobs):
                with suppress(FileExistsError):
                    folder.mkdir()
                    self._made.append(folder)
            if (self.path / "index.json").exists():
                self.index()  # not a layout of ours to break
            elif foreign := next(
                (item for item in self.path.iterdir() if item.name not in ("blobs", "oci-layout")), None
            ):
                raise UsageError(
                    f"the directory is not empty and not an OCI layout: it holds {foreign.name!r}",
                    where=str(self.path),
                    hint="name a new directory, or an OCI layout to add to",
                )
            lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(self.path)) and self.blobs.is_dir():  # noqa: PTH116
                    self._lock = lock
                    return
            os.close(lock)

    def _replace(self, name: str, data: bytes) -> None:
        target = self.path / name
        if not target.exists():
            self._made.append(target)
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self.blobs)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                if self._durable:
                    os.fsync(file.fileno())
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _undo(self) -> None:
        for path in reversed(self._made):
            with suppress(OSError):  # a folder in which somebody else put something stays
                path.rmdir() if path.is_dir() else path.unlink()
        self._made.clear()


def _gives_way(other: Descriptor, entry: Descriptor) -> bool:
    name = other.annotations.get(REF_NAME)
    return name == entry.annotations.get(REF_NAME) or (name is None and other.digest == entry.digest)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """What the operating system says of a disk that is full or not writable, as an error with a remedy."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"cannot write the OCI layout: {error.strerror or error}",
            where=str(error.filename or place),
            hint="free some space, or choose another directory"
            if is_full(error)
            else "choose a directory that you can write to",
        ) from error
