"""A small lock and the image that it locks, both made at once and without any network."""

import gzip
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.locks import FACTS, contents, digest, lock
from support.made_images import OCI, blob, offer, tar_of

from mlenv.layers.image import INDEX_TYPE, MANIFEST_TYPE, image_bytes, index_bytes
from mlenv.model.digest import Digest
from mlenv.model.lock import BaseLayer, Lock, LockedBase, LockedLayer, PlatformContents
from mlenv.model.platform import Platform
from mlenv.model.report import Finding, Report, Status
from mlenv.oci.reference import Target
from mlenv.verify.checks.image import check_image
from mlenv.verify.target import look_at

LAYER = f"{OCI}.layer.v1.tar+gzip"
CONFIG = f"{OCI}.config.v1+json"


class LockedImage:
    """A lock, and the folder of an OCI layout that holds its image and nothing else."""

    def __init__(self, lock: Lock, folder: Path) -> None:
        self.lock = lock
        self.folder = folder

    def blob_path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")

    def read(self, digest: str) -> Any:
        return json.loads(self.blob_path(digest).read_bytes())

    def manifest(self, at: int = 0) -> dict[str, Any]:
        """The manifest of one of the platforms."""
        found: dict[str, Any] = self.read(str(self.lock.platforms[at].image.manifest))
        return found

    def config(self, at: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.read(str(self.lock.platforms[at].image.config))
        return found

    def offer_changed(self, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
        """Another image in its place: the same with a manifest and a config that `change` was given."""
        manifest, config = self.manifest(), self.config()
        change(manifest, config)
        manifest["config"] = blob(self.folder, json.dumps(config).encode(), CONFIG)
        offer(self.folder, blob(self.folder, json.dumps(manifest).encode(), MANIFEST_TYPE))

    def add_layer(self, files: dict[str, bytes]) -> tuple[dict[str, Any], str]:
        """One more layer among the blobs: its descriptor and its diff_id."""
        tar = tar_of(files)
        return blob(self.folder, gzip.compress(tar, mtime=0), LAYER), str(Digest.of(tar))


def make_locked_image(
    folder: Path, platforms: Sequence[Platform] = (Platform.LINUX_AMD64,), *, base: bool = False, seed: str = ""
) -> LockedImage:
    """An image on Debian packages for each platform, or on a base image of one layer; `seed` makes another one."""
    made = lock(*(_contents(folder, platform, base=base, seed=seed) for platform in platforms))
    images = []
    for one in made.platforms:
        image = image_bytes(made.environment, made.container, one, None)
        blob(folder, image.config, CONFIG)
        platform = {"os": one.platform.os, "architecture": one.platform.architecture}
        images.append(blob(folder, image.manifest, MANIFEST_TYPE, platform=platform))
    if len(images) > 1:
        index = index_bytes([(one.platform, one.image.manifest, one.image.manifest_size) for one in made.platforms])
        images = [blob(folder, index, INDEX_TYPE)]
    offer(folder, *images)
    return LockedImage(made, folder)


def _contents(folder: Path, platform: Platform, *, base: bool, seed: str) -> PlatformContents:
    def layer(kind: str, *names: str) -> LockedLayer:
        tar = tar_of({kind: f"{seed}{platform}{kind}".encode() * 40})
        packed = gzip.compress(tar, mtime=0)
        described = blob(folder, packed, LAYER)
        return LockedLayer.model_validate(
            {
                "kind": kind,
                "contents": names,
                "digest": described["digest"],
                "size": len(packed),
                "diff-id": f"sha256:{hashlib.sha256(tar).hexdigest()}",
                "mtree": digest("mtree"),
            }
        )

    own = (layer("venv"), layer("wheels", "alpha", "beta"), layer("files", "/app"))
    if not base:
        return contents(platform, layers=(layer("debian", "libc6"), *own))
    below = layer("debian", "base")
    standing_on = LockedBase(
        kind="image",
        reference="example.com/base:1@" + str(digest("base")),
        manifest=digest("base"),
        config=digest("base config"),
        facts=FACTS,
        layers=(BaseLayer(media_type=LAYER, digest=below.digest, size=below.size, diff_id=below.diff_id),),
    )
    return contents(platform, base=standing_on, debs=(), layers=own)


def pack(folder: Path, archive: Path) -> Path:
    """The layout as a tar, whatever lies in it."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False)
    return archive


def replace_by(path: Path, kind: str) -> None:
    """Something else where a file was: `missing`, `empty`, `fifo`, `directory`, `loop` or `device`."""
    path.unlink()
    match kind:
        case "empty":
            path.touch()
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "device":
            path.symlink_to("/dev/zero")


def copy_of(image: LockedImage, folder: Path) -> LockedImage:
    """The same, to be spoilt."""
    shutil.copytree(image.folder, folder, symlinks=True)
    return LockedImage(image.lock, folder)


def check(image: LockedImage, lock: Lock | None = None, target: str = "") -> list[Finding]:
    """What `mlenv verify` finds in the image, at its own place or another one."""
    return check_image(lock or image.lock, look_at(Target.parse(target or f"oci:{image.folder}")))


def failures(findings: list[Finding]) -> dict[str, list[str]]:
    """The messages of what failed or could not be read, by check."""
    found: dict[str, list[str]] = {}
    for one in findings:
        if one.status in (Status.FAIL, Status.UNVERIFIABLE):
            found.setdefault(one.check, []).append(one.message)
    return found


def status(findings: list[Finding]) -> int:
    """What `mlenv verify` would exit with."""
    return Report("oci:x", {}, tuple(findings)).exit_status
