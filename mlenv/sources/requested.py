"""What the manifest asks of the outside world, in the words of the sources that answer."""

from mlenv.errors import UsageError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.manifest import DebianBase, EnvironmentManifest
from mlenv.model.platform import Platform
from mlenv.model.tags import PythonTarget
from mlenv.sources.debian.request import DebianRequest
from mlenv.sources.packages.uv_project import BoundIndex, PackageRequest
from mlenv.sources.surroundings import Surroundings


def debian_request(manifest: EnvironmentManifest, platform: Platform, around: Surroundings) -> DebianRequest:
    """The packages of the base and of [system], which make one root file system."""
    debian = manifest.base.debian or DebianBase()
    return DebianRequest(
        suite=debian.suite,
        packages=tuple(sorted({*debian.packages, *manifest.system.packages})),
        platform=platform,
        mirror=debian.mirror,
        security_mirror=debian.security_mirror,
        snapshot=debian.snapshot,
        keyring=around.project / debian.keyring if debian.keyring else None,
    )


def package_request(manifest: EnvironmentManifest, around: Surroundings) -> PackageRequest:
    """The Python packages and the indexes that they may come from.

    Paths are absolute, because uv runs in a folder of its own.
    """
    python, project = manifest.python, around.project.absolute()
    return PackageRequest(
        packages=python.packages,
        requirements=tuple(project / path for path in python.requirements),
        indexes=tuple(BoundIndex(index.name, index.url, index.packages) for index in python.indexes),
        find_links=tuple(project / path for path in python.find_links),
        exclude_newer=python.exclude_newer,
        offline=around.offline,
    )


def base_request_digest(manifest: EnvironmentManifest, platform: Platform) -> Digest:
    """While this stays, the base stays. Where an archive is mirrored is no part of it."""
    base = manifest.base
    if base.image is not None:
        if manifest.system.packages:
            raise UsageError(
                "system.packages needs a base made of Debian packages; this one is an image",
                where="mlenv.toml system.packages",
                hint="put them into `base.debian.packages`, or use an image that has them",
            )
        asked: dict[str, object] = {"image": base.image}
    else:
        debian = base.debian or DebianBase()
        asked = debian.model_dump(mode="json", include={"suite", "packages", "snapshot"}, exclude_none=True)
        asked["system"] = list(manifest.system.packages)
    return Digest.of(canonical_json(asked | {"platform": str(platform), "python": manifest.python.version or ""}))


def package_request_digest(
    manifest: EnvironmentManifest, requirements: tuple[tuple[str, Digest], ...], target: PythonTarget
) -> Digest:
    """While this stays, the wheels stay: what is asked for, the bytes of the files that ask, and for which Python."""
    asked = manifest.python.model_dump(mode="json", by_alias=True, exclude_none=True)
    asked["requirements"] = [[path, str(digest)] for path, digest in requirements]
    asked["target"] = str(target)
    return Digest.of(canonical_json(asked))
