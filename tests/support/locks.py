"""A small complete lock made of nothing real, for tests of pure code."""

from typing import Any

from mlenv.layers.image import image_bytes, index_bytes
from mlenv.model.digest import Digest
from mlenv.model.facts import BaseFacts
from mlenv.model.lock import (
    Lock,
    LockedBase,
    LockedDeb,
    LockedImage,
    LockedLayer,
    LockedPlatform,
    LockedTree,
    LockedWheel,
    PlatformContents,
)
from mlenv.model.manifest import Container, Environment
from mlenv.model.platform import Platform

FACTS = BaseFacts(
    libc="glibc", libc_version="2.41", interpreter="/usr/bin/python3.13", python="3.13.5", distribution="debian 13"
)


def digest(text: str) -> Digest:
    return Digest.of(text.encode())


def wheel(name: str, version: str = "1.0", *, size: int = 1000, requested: bool = False) -> LockedWheel:
    filename = f"{name}-{version}-py3-none-any.whl"
    return LockedWheel(
        name=name, version=version, filename=filename, digest=digest(filename), size=size, requested=requested
    )


def layer(kind: str, *contents: str) -> LockedLayer:
    seed = f"{kind} {contents}"
    return LockedLayer.model_validate(
        {
            "kind": kind,
            "contents": contents,
            "digest": digest(seed),
            "size": 10_000,
            "diff-id": digest(seed + "tar"),
            "mtree": digest(seed + "mtree"),
        }
    )


def contents(platform: Platform = Platform.LINUX_AMD64, **changes: Any) -> PlatformContents:
    fields: dict[str, Any] = {
        "platform": platform,
        "base_request": digest("base"),
        "package_request": digest("packages"),
        "base": LockedBase(kind="debian", suite="trixie", facts=FACTS),
        "debs": (LockedDeb(name="libc6", version="2.41-12", architecture="amd64", digest=digest("libc6"), size=7),),
        "wheels": (wheel("alpha", requested=True), wheel("beta")),
        "trees": (LockedTree(source="app", target="/app", digest=digest("app")),),
        "layers": (layer("debian", "libc6"), layer("venv"), layer("wheels", "alpha", "beta"), layer("files", "/app")),
    }
    return PlatformContents(**(fields | changes))


def lock(
    *platforms: PlatformContents, container: Container | None = None, environment: Environment | None = None
) -> Lock:
    """A lock whose image digests are true."""
    platforms = platforms or (contents(),)
    container = container or Container(command=("python", "serve.py"))
    environment = environment or Environment(
        name="small", version="1.0", platforms=tuple(p.platform for p in platforms)
    )
    locked = []
    for one in platforms:
        image = image_bytes(environment, container, one, None)
        fields = {name: getattr(one, name) for name in PlatformContents.model_fields}
        made = LockedImage(
            manifest=image.manifest_digest,
            manifest_size=len(image.manifest),
            config=image.config_digest,
            size=image.size,
        )
        locked.append(LockedPlatform(**fields, image=made))
    images = [(one.platform, one.image.manifest, one.image.manifest_size) for one in locked]
    return Lock(
        manifest=digest("manifest"),
        index=Digest.of(index_bytes(images)) if len(images) > 1 else None,
        environment=environment,
        container=container,
        platforms=tuple(locked),
    )
