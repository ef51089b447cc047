"""A tiny image made by hand, to test engines and registries themselves: nothing of mlenv is in it."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

REFERENCE = "mlenv-test/tiny:1"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write_tiny_image(busybox: Path, folder: Path) -> Path:
    """An OCI layout in `folder` with one image of one layer, which holds a static busybox as /bin/sh."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = _layer(busybox)
    diff_id = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh", "-c", "echo tiny"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
    }
    image = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": _blob(blobs, "application/vnd.oci.image.config.v1+json", _json(config)),
        "layers": [_blob(blobs, "application/vnd.oci.image.layer.v1.tar", layer)],
    }
    described = _blob(blobs, IMAGE_MANIFEST, _json(image))
    described["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [described]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return folder


def write_loadable(layout: Path, archive: Path) -> Path:
    """The layout as a tar that every engine loads: with `docker save`'s manifest.json beside the index."""
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0]["annotations"]["io.containerd.image.name"] = f"docker.io/{REFERENCE}"
    manifest = json.loads(_read(layout, index["manifests"][0]["digest"]))
    legacy = {
        "Config": _path(manifest["config"]["digest"]),
        "RepoTags": [REFERENCE],
        "Layers": [_path(layer["digest"]) for layer in manifest["layers"]],
    }
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname=".", filter=lambda member: None if member.name.endswith("index.json") else member)
        _add(tar, "index.json", _json(index))
        _add(tar, "manifest.json", _json([legacy]))
    return archive


def _layer(busybox: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "tmp"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        _add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
        for name in ("sh", "echo", "cat", "uname", "id", "sleep"):
            member = tarfile.TarInfo(f"bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _blob(blobs: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _read(layout: Path, digest: str) -> bytes:
    return (layout / _path(digest)).read_bytes()
