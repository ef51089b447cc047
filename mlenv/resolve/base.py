"""The base of one platform: an image by digest, or Debian packages that become a layer.

What asks a registry or an archive is imported only where one is asked: a lock that stays as it is takes a moment.
"""
# ruff: noqa: PLC0415 -- as the docstring says

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlenv.layers.layer import MeasuredLayer
from mlenv.model.digest import Digest
from mlenv.model.lock import LockedBase, LockedDeb, LockedLayer, LockedPlatform
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.platform import Platform
from mlenv.resolve.measure import deb_key, locked_layer, measure, recall, remember
from mlenv.sources.contents import Contents
from mlenv.sources.requested import base_request_digest, debian_request
from mlenv.sources.surroundings import Surroundings
from mlenv.sources.threads import Stop


@dataclass(frozen=True, slots=True)
class ResolvedBase:
    """A base as the lock names it, the layer that Debian packages make, and a base image's config as parsed JSON."""

    request: Digest
    base: LockedBase
    debs: tuple[LockedDeb, ...] = ()
    layer: LockedLayer | None = None
    config: Mapping[str, Any] | None = None


def resolve_base(
    manifest: EnvironmentManifest,
    platform: Platform,
    around: Surroundings,
    previous: LockedPlatform | None,
    *,
    upgrade: bool,
) -> ResolvedBase:
    """What the manifest asks for; what an earlier lock says already is kept while the same is asked for."""
    request = base_request_digest(manifest, platform)
    if manifest.base.image is not None:
        return _image(manifest, platform, around, request)
    kept = previous is not None and previous.base_request == request and not upgrade
    if kept and previous is not None:
        layer = next(layer for layer in previous.layers if layer.kind == "debian")
        return ResolvedBase(request, previous.base, previous.debs, layer)
    return _debian(manifest, platform, around, request, {} if upgrade or previous is None else _pins(previous))


def _pins(previous: LockedPlatform) -> dict[str, str]:
    return {deb.name: deb.version for deb in previous.debs}


def _image(manifest: EnvironmentManifest, platform: Platform, around: Surroundings, request: Digest) -> ResolvedBase:
    """An image by digest is what it is: there is nothing to upgrade."""
    from mlenv.sources.bases.images import image_facts, open_base

    image = open_base(
        manifest.base.image or "",
        platform,
        around.cache,
        project=around.project,
        progress=around.progress,
        offline=around.offline,
    )
    base = LockedBase.model_validate(
        {
            "kind": "image",
            "reference": manifest.base.image,
            "manifest": image.manifest_digest,
            "config": image.manifest.config.digest,
            "facts": image_facts(image, around.cache, wanted=manifest.python.version),
            "layers": tuple(
                {
                    "media-type": layer.as_oci_layer().media_type,
                    "digest": layer.digest,
                    "size": layer.size,
                    "diff-id": diff_id,
                }
                for layer, diff_id in zip(image.layers, image.diff_ids, strict=True)
            ),
        }
    )
    return ResolvedBase(request, base, config=image.config.to_value())


def _debian(
    manifest: EnvironmentManifest, platform: Platform, around: Surroundings, request: Digest, pins: Mapping[str, str]
) -> ResolvedBase:
    from mlenv.sources.bases.facts import entry_files, read_facts
    from mlenv.sources.debian.fetch import fetch_debs
    from mlenv.sources.debian.resolve import resolve_debian

    wanted = replace(debian_request(manifest, platform, around), pins=pins)
    resolved = resolve_debian(
        wanted,
        cache=around.cache,
        now=around.now,
        environ=around.environ,
        offline=around.offline,
        progress=around.progress,
    )
    fetch_debs(resolved, cache=around.cache, progress=around.progress)
    debs = tuple(
        LockedDeb(name=d.name, version=d.version, architecture=d.architecture, digest=d.sha256, size=d.size)
        for d in resolved
    )
    contents = Contents(around.cache, around.project, around.jobs)
    key = deb_key(debs)
    with contents.debian(debs) as entries:
        facts = read_facts([entry_files(entries)], {}, platform, wanted=manifest.python.version)
        measured: MeasuredLayer | None = recall(contents, key)
        if measured is None:
            task = around.progress.task("Laying out Debian packages")
            measured = remember(contents, key, measure(entries, Stop(), task))
            task.finish()
    base = LockedBase(kind="debian", suite=wanted.suite, snapshot=wanted.snapshot, facts=facts)
    return ResolvedBase(request, base, debs, locked_layer("debian", [deb.name for deb in debs], measured))
