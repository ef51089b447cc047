"""Debian packages and signed archives that the tests make themselves; only signatures differ from run to run."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path

import pysequoia
import zstandard

NOW = datetime(2026, 6, 15, tzinfo=UTC)
DATE = datetime(2026, 6, 14, tzinfo=UTC)
UNTIL = datetime(2026, 6, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Item:
    """A tar entry: a folder where the path ends in a slash, a symlink where `link` is set, else a file."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""
    kind: bytes = b""


def tar(items: Sequence[Item], style: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        for item in items:
            info = tarfile.TarInfo(item.path)
            info.mode, info.uid, info.gid, info.linkname = item.mode, item.uid, item.gid, item.link
            info.type = item.kind or (b"2" if item.link else b"5" if item.path.endswith("/") else b"0")
            info.size = len(item.data)
            archive.addfile(info, io.BytesIO(item.data))
    return buffer.getvalue()


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@dataclass(frozen=True)
class MadeDeb:
    """A package and its bytes."""

    name: str
    version: str
    architecture: str
    control: str
    data: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return f"pool/main/{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    @property
    def stanza(self) -> str:
        digest = sha256(self.data).hexdigest()
        return f"{self.control}Filename: {self.path}\nSize: {len(self.data)}\nSHA256: {digest}\n"


def make_deb(
    name: str,
    items: Sequence[Item] = (),
    *,
    version: str = "1.0",
    architecture: str = "amd64",
    compression: str = ".xz",
    info: Mapping[str, bytes] | None = None,
    **fields: str,
) -> MadeDeb:
    """A well-formed package. `fields` are further control fields: Depends="libc6", Multi_Arch="same"."""
    lines = {"Package": name, "Version": version, "Architecture": architecture, "Maintainer": "A <a@example.org>"}
    lines |= {key.replace("_", "-"): value for key, value in fields.items()}
    control = "".join(f"{key}: {value}\n" for key, value in lines.items())
    files = {"control": control.encode(), **(info or {})}
    compress = COMPRESS[compression]
    data = ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{compression}", compress(tar([Item(f"./{key}", data) for key, data in files.items()]))),
            (f"data.tar{compression}", compress(tar([Item("./", mode=0o755), *items]))),
        ]
    )
    return MadeDeb(name, version, architecture, control, data)


class Signer:
    """A key, and a keyring with its certificate."""

    def __init__(self) -> None:
        self._key = pysequoia.Tsk.generate("Archive <archive@example.org>")
        self.keyring = bytes(self._key.extract_certificate())

    def sign(self, text: str) -> bytes:
        return bytes(pysequoia.sign(self._key.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR))


def release(
    files: Mapping[str, bytes],
    *,
    suite: str = "trixie",
    date: datetime = DATE,
    until: datetime | None = UNTIL,
    extra: str = "",
) -> str:
    head = f"Origin: Test\nSuite: stable\nCodename: {suite}\nDate: {format_datetime(date, usegmt=True)}\n"
    if until is not None:
        head += f"Valid-Until: {format_datetime(until, usegmt=True)}\n"
    head += f"Architectures: amd64 arm64\nComponents: main\n{extra}SHA256:\n"
    return head + "".join(
        f" {sha256(data).hexdigest()} {len(data):>8} {path}\n" for path, data in sorted(files.items())
    )


@dataclass(frozen=True)
class MadeArchive:
    """An archive in a folder; `url` is its file URL."""

    folder: Path
    signer: Signer

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    @property
    def keyring(self) -> Path:
        return self.folder / "keyring.gpg"

    def publish(
        self,
        debs: Sequence[MadeDeb],
        *,
        suite: str = "trixie",
        date: datetime = DATE,
        until: datetime | None = UNTIL,
        extra: str = "",
    ) -> None:
        """Write a suite with those packages, for both architectures."""
        files = {}
        for architecture in ("amd64", "arm64"):
            text = "\n".join(deb.stanza for deb in debs if deb.architecture in {architecture, "all"})
            files[f"main/binary-{architecture}/Packages.xz"] = lzma.compress(text.encode())
        signed = self.signer.sign(release(files, suite=suite, date=date, until=until, extra=extra))
        self.keyring.parent.mkdir(parents=True, exist_ok=True)
        self.keyring.write_bytes(self.signer.keyring)
        for path, data in {
            **{f"dists/{suite}/{name}": data for name, data in files.items()},
            f"dists/{suite}/InRelease": signed,
            **{deb.path: deb.data for deb in debs},
        }.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(data)
