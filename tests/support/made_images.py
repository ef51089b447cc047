"""Small images made by hand, right or wrong in one place, for tests of whoever reads images."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


@dataclass(frozen=True)
class Link:
    """A symlink in `tar_of`."""

    target: str


@dataclass(frozen=True)
class HardLink:
    """A hard link in `tar_of`."""

    target: str


DIRECTORY = None
File = bytes | Link | HardLink | None


def tar_of(files: Mapping[str, File], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 -- tarfile's own word
    """A tar with these entries in this order: bytes for a file, None for a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, Link):
                member.type, member.linkname = tarfile.SYMTYPE, content.target
            elif isinstance(content, HardLink):
                member.type, member.linkname = tarfile.LNKTYPE, content.target
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def elf(*strings: bytes, machine: int = 62, loader: str = "/lib64/ld-linux-x86-64.so.2") -> bytes:
    """A file with an ELF header, a PT_INTERP and these strings: all that is read of a real one."""
    text = loader.encode() + b"\0"
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + (3).to_bytes(2, "little") + machine.to_bytes(2, "little")
    header = header.ljust(32, b"\0") + (64).to_bytes(8, "little")
    header = header.ljust(54, b"\0") + (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
    segment = (3).to_bytes(4, "little") + bytes(4) + (120).to_bytes(8, "little") + bytes(16)
    segment += len(text).to_bytes(8, "little")
    return header.ljust(64, b"\0") + segment.ljust(56, b"\0") + text + b"\0" + b"\0".join(strings) + b"\0"


GLIBC = elf(b"GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\nCopyright")
PYTHON = elf(b"3.12.4", b"3.2.0", b"Python 3.12.4 (main)")
OS_RELEASE = b'PRETTY_NAME="Some Linux"\nID=debian\nVERSION_ID="12"\n'
ROOT: dict[str, File] = {
    "lib64": Link("usr/lib64"),
    "usr/local/bin/python3": Link("python3.12"),
    "usr/local/bin/python3.12": PYTHON,
    "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
    "etc/os-release": Link("../usr/lib/os-release"),
    "usr/lib/os-release": OS_RELEASE,
}


@dataclass
class MadeImage:
    """An image in a layout: the digests of what it consists of, as `sha256:…`."""

    layout: Path
    manifest: str
    config: str
    layers: tuple[str, ...]
    descriptor: dict[str, Any]


def blob(layout: Path, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Put a blob into a layout and return its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)} | more


def offer(layout: Path, *descriptors: dict[str, Any]) -> None:
    """Write oci-layout and index.json."""
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}))


def make_image(
    layout: Path,
    tars: Sequence[bytes] = (tar_of(ROOT),),
    *,
    architecture: str = "amd64",
    env: Sequence[str] = ("PATH=/usr/local/bin:/usr/bin",),
    compression: str = "gzip",
    family: str = OCI,
    tag: str = "1",
    config: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> MadeImage:
    """An image as some other tool would write it; `config` and `manifest` override fields of the two documents."""
    pack = {
        "gzip": lambda tar: gzip.compress(tar, mtime=0),
        "members": lambda tar: b"".join(gzip.compress(tar[at : at + 700], mtime=0) for at in range(0, len(tar), 700)),
        "zstd": zstandard.ZstdCompressor().compress,
        "tar": bytes,
    }[compression]
    suffix = {"gzip": "gzip", "members": "gzip", "zstd": "zstd", "tar": ""}[compression]
    if family == OCI:
        kinds = (
            f"{OCI}.manifest.v1+json",
            f"{OCI}.config.v1+json",
            f"{OCI}.layer.v1.tar{'+' if suffix else ''}{suffix}",
        )
    else:
        kinds = (
            f"{DOCKER}.distribution.manifest.v2+json",
            f"{DOCKER}.container.image.v1+json",
            f"{DOCKER}.image.rootfs.diff.tar{'.' if suffix else ''}{suffix}",
        )
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": list(env), "Entrypoint": None, "Volumes": None},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]},
    }
    settings = blob(layout, json.dumps(document | dict(config or {})).encode(), kinds[1])
    layers = [blob(layout, pack(tar), kinds[2]) for tar in tars]
    image = {"schemaVersion": 2, "mediaType": kinds[0], "config": settings, "layers": layers}
    described = blob(
        layout,
        json.dumps(image | dict(manifest or {})).encode(),
        kinds[0],
        annotations={"org.opencontainers.image.ref.name": tag},
    )
    offer(layout, described)
    return MadeImage(
        layout, described["digest"], settings["digest"], tuple(layer["digest"] for layer in layers), described
    )


def make_index(layout: Path, entries: Sequence[tuple[MadeImage, str]], tag: str = "all") -> str:
    """An index over images of one layout, each with its architecture; the index's digest."""
    manifests = [
        {key: value for key, value in made.descriptor.items() if key != "annotations"}
        | {
            "platform": {"os": "linux", "architecture": architecture.split("/")[0]}
            | ({"variant": architecture.split("/")[1]} if "/" in architecture else {})
        }
        for made, architecture in entries
    ]
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    described = blob(
        layout,
        json.dumps(index).encode(),
        f"{OCI}.index.v1+json",
        annotations={"org.opencontainers.image.ref.name": tag},
    )
    offer(layout, *(made.descriptor for made, _ in entries), described)
    return str(described["digest"])
