"""EnvironmentManifest -> Lock: a dry build that ends with the digest of the image.

What an earlier lock answers is not asked again: while the request for a base or for packages stays the same, so do
base, packages and plan, and only what really changed is laid out anew.
"""

from collections.abc import Collection

from mlenv.layers.image import ImageBytes, image_bytes, index_bytes
from mlenv.layers.layer import measure_layer
from mlenv.layers.tree import private_keys, tree_digest
from mlenv.model.digest import Digest
from mlenv.model.lock import (
    Lock,
    LockedImage,
    LockedLayer,
    LockedPlatform,
    LockedRequirements,
    LockedTree,
    PlatformContents,
)
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.platform import Platform
from mlenv.model.progress import SILENT, Progress
from mlenv.model.tags import PythonTarget
from mlenv.resolve.base import resolve_base
from mlenv.resolve.measure import locked_layer
from mlenv.resolve.packages import plan_layers, resolve_wheels, wheel_layers
from mlenv.sources.contents import Contents
from mlenv.sources.project_files import requirements_digests
from mlenv.sources.requested import package_request_digest
from mlenv.sources.surroundings import Surroundings

Requirements = tuple[tuple[str, Digest], ...]


def resolve_lock(
    manifest: EnvironmentManifest,
    around: Surroundings,
    previous: Lock | None = None,
    *,
    upgrade: bool | Collection[str] = False,
) -> Lock:
    """The lock of a manifest.

    `previous` is the lock that there was; its pins and its plan are kept. `upgrade` lets go of all of them, or of the
    versions of the packages named. Raises ResolutionError where nothing fits, UnavailableError where a source cannot
    be reached, RefusedError where bytes are not what they should be, SignatureError where an archive is not signed as
    it must be.
    """
    requirements = requirements_digests(manifest, around.project)
    platforms = tuple(
        _platform(
            manifest,
            platform,
            around,
            previous.of(platform) if previous else None,
            requirements=requirements,
            upgrade=upgrade,
        )
        for platform in manifest.environment.platforms
    )
    images = [(one.platform, one.image.manifest, one.image.manifest_size) for one in platforms]
    return Lock(
        manifest=manifest.digest,
        index=Digest.of(index_bytes(images)) if len(images) > 1 else None,
        requirements=tuple(LockedRequirements(path=path, digest=digest) for path, digest in requirements),
        environment=manifest.environment,
        container=manifest.container,
        resources=manifest.resources,
        cuda=manifest.cuda,
        models=manifest.models,
        platforms=platforms,
    )


def _platform(
    manifest: EnvironmentManifest,
    platform: Platform,
    around: Surroundings,
    previous: LockedPlatform | None,
    *,
    requirements: Requirements,
    upgrade: bool | Collection[str],
) -> LockedPlatform:
    everything = upgrade is True
    base = resolve_base(manifest, platform, around, previous, upgrade=everything)
    facts = base.base.facts
    contents = Contents(around.cache, around.project, around.jobs)

    target = PythonTarget.of(platform, facts)
    request = package_request_digest(manifest, requirements, target)
    wheels = resolve_wheels(manifest, target, around, previous, request=request, upgrade=upgrade)
    first = platform == manifest.environment.platforms[0]  # the trees are the same for all of them
    trees, tree_layers = _trees(manifest, contents, around.progress if first else SILENT)

    venv = measure_layer(contents.venv(facts))
    ours = ([base.layer] if base.layer else []) + [locked_layer("venv", (), venv)]
    groups = plan_layers(wheels, previous, len(base.base.layers) + len(ours) + len(tree_layers), fresh=everything)
    made = PlatformContents(
        platform=platform,
        base_request=base.request,
        package_request=request,
        base=base.base,
        debs=base.debs,
        wheels=wheels,
        trees=trees,
        layers=(*ours, *wheel_layers(manifest, groups, facts, target, around, previous), *tree_layers),
    )
    return _with_image(made, image_bytes(manifest.environment, manifest.container, made, base.config))


def _trees(
    manifest: EnvironmentManifest, contents: Contents, progress: Progress
) -> tuple[tuple[LockedTree, ...], list[LockedLayer]]:
    trees, layers = [], []
    for tree in manifest.files:
        entries = contents.tree(tree)
        for path in private_keys(entries):
            progress.note(f"warning: {path} holds a private key, which goes into the image: exclude it in [[files]]")
        trees.append(
            LockedTree(
                source=tree.source,
                target=tree.target,
                exclude=tree.exclude,
                owner=tree.owner,
                digest=tree_digest(entries),
            )
        )
        layers.append(locked_layer("files", (tree.target,), measure_layer(entries)))
    return tuple(trees), layers


def _with_image(made: PlatformContents, image: ImageBytes) -> LockedPlatform:
    locked = LockedImage(
        manifest=image.manifest_digest,
        manifest_size=len(image.manifest),
        config=image.config_digest,
        size=image.size,
    )
    fields = {name: getattr(made, name) for name in PlatformContents.model_fields}
    return LockedPlatform(**fields, image=locked)
