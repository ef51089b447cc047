"""A locked platform -> the bytes of its image config and manifest (OCI image specification, config.md, manifest.md).

Both are canonical JSON (RFC 8785), and nothing in them comes from the machine: `mlenv lock` computes their digests
with this module before the image exists, and `mlenv build` writes the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.lock import RECIPE_VERSION, LockedLayer, PlatformContents
from mlenv.model.manifest import Container, Environment, Healthcheck
from mlenv.model.platform import Platform

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

VENV = "/opt/venv"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAMES_IN_HISTORY = 8


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An image's config and manifest, and the size of all that the manifest names, itself included."""

    config: bytes
    manifest: bytes
    size: int

    @property
    def config_digest(self) -> Digest:
        """The engines' image id in the classic store."""
        return Digest.of(self.config)

    @property
    def manifest_digest(self) -> Digest:
        """What the image is called."""
        return Digest.of(self.manifest)


def image_bytes(
    environment: Environment, container: Container, platform: PlatformContents, base_config: Mapping[str, Any] | None
) -> ImageBytes:
    """Config and manifest of one platform's image.

    `base_config` is the base image's config as parsed JSON, None for a base made of Debian packages.
    """
    config = canonical_json(_config(environment, container, platform, base_config or {}))
    layers = [_descriptor(layer.media_type, layer.digest, layer.size) for layer in platform.base.layers] + [
        _descriptor(LAYER_TYPE, layer.digest, layer.size) for layer in platform.layers
    ]
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, Digest.of(config), len(config)),
        "layers": layers,
    }
    if platform.base.kind == "image":
        document["annotations"] = {
            "org.opencontainers.image.base.digest": str(platform.base.manifest),
            "org.opencontainers.image.base.name": _without_digest(platform.base.reference or ""),
        }
    manifest = canonical_json(document)
    return ImageBytes(config, manifest, len(manifest) + len(config) + sum(layer["size"] for layer in layers))


def index_bytes(platforms: Sequence[tuple[Platform, Digest, int]]) -> bytes:
    """The image index of several platforms: each with its manifest's digest and size, in the lock's order."""
    manifests = [
        _descriptor(MANIFEST_TYPE, digest, size) | {"platform": {"os": one.os, "architecture": one.architecture}}
        for one, digest, size in platforms
    ]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


def inputs_digest(platform: PlatformContents) -> Digest:
    """What the image was made of, in one digest: a label of the image, so that an image leads back to its lock."""
    parts = platform.model_dump(mode="json", include={"platform", "base", "debs", "wheels", "trees"}, exclude_none=True)
    parts["recipe"] = RECIPE_VERSION
    return Digest.of(canonical_json(parts))


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def _config(
    environment: Environment, container: Container, platform: PlatformContents, base: Mapping[str, Any]
) -> dict[str, Any]:
    created = environment.epoch.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    diff_ids = [layer.diff_id for layer in platform.base.layers] + [layer.diff_id for layer in platform.layers]
    config: dict[str, Any] = {
        "created": created,
        "os": platform.platform.os,
        "architecture": platform.platform.architecture,
        "config": _process(environment, container, platform, base.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [str(one) for one in diff_ids]},
        "history": _base_history(platform, base, created)
        + [{"created": created, "created_by": _history(layer, platform)} for layer in platform.layers],
    }
    if base.get("variant"):
        config["variant"] = base["variant"]
    return config


def _process(
    environment: Environment, container: Container, platform: PlatformContents, base: Mapping[str, Any]
) -> dict[str, Any]:
    """The part that an engine runs: what the manifest says, else what the base says."""
    env = dict(one.partition("=")[::2] for one in base.get("Env") or [])
    env |= container.env
    env["PATH"] = f"{VENV}/bin:" + env.get("PATH", DEFAULT_PATH)
    process: dict[str, Any] = {
        "User": container.user,
        "WorkingDir": container.workdir,
        "Env": [f"{name}={env[name]}" for name in sorted(env)],
        "Labels": dict(sorted(_labels(environment, container, platform, base).items())),
    }
    if container.command or container.entrypoint is not None:
        # A base's entrypoint would get our command as its arguments: whoever names a command names all of it.
        process["Entrypoint"] = list(container.entrypoint or ())
        process["Cmd"] = list(container.command)
    else:
        process["Entrypoint"] = base.get("Entrypoint") or []
        process["Cmd"] = base.get("Cmd") or [f"{VENV}/bin/python"]
    process = {key: value for key, value in process.items() if value}
    ports = {*(base.get("ExposedPorts") or {}), *container.ports}
    volumes = {*(base.get("Volumes") or {}), *container.volumes}
    if ports:
        process["ExposedPorts"] = {port: {} for port in sorted(ports)}
    if volumes:
        process["Volumes"] = {path: {} for path in sorted(volumes)}
    if signal := container.stop_signal or base.get("StopSignal"):
        process["StopSignal"] = signal
    if container.healthcheck is not None:
        process["Healthcheck"] = _healthcheck(container.healthcheck)
    elif base.get("Healthcheck"):
        process["Healthcheck"] = base["Healthcheck"]
    return process


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    """Docker's extension of the OCI config; its times are in nanoseconds."""
    times = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
    }
    document: dict[str, Any] = {"Test": ["CMD", *check.command]}
    document |= {key: value // timedelta(microseconds=1) * 1000 for key, value in times.items() if value is not None}
    if check.retries is not None:
        document["Retries"] = check.retries
    return document


def _labels(
    environment: Environment, container: Container, platform: PlatformContents, base: Mapping[str, Any]
) -> dict[str, str]:
    labels = dict(base.get("Labels") or {}) | container.labels
    labels |= {
        "org.opencontainers.image.title": environment.name,
        "org.opencontainers.image.version": environment.version,
        "dev.mlenv.inputs": str(inputs_digest(platform)),
        "dev.mlenv.recipe": str(RECIPE_VERSION),
    }
    if environment.description:
        labels["org.opencontainers.image.description"] = environment.description
    return labels


def _base_history(platform: PlatformContents, base: Mapping[str, Any], created: str) -> list[dict[str, Any]]:
    """The base's own history where it accounts for each of its layers, else one line a layer."""
    history = [dict(one) for one in base.get("history") or []]
    if sum(not one.get("empty_layer", False) for one in history) == len(platform.base.layers):
        return history
    return [{"created": created, "created_by": f"base layer {layer.diff_id}"} for layer in platform.base.layers]


def _history(layer: LockedLayer, platform: PlatformContents) -> str:
    match layer.kind:
        case "debian":
            return f"mlenv: {len(layer.contents)} Debian packages of {platform.base.suite}"
        case "venv":
            return f"mlenv: virtual environment {VENV}"
        case "files":
            return "mlenv: files " + ", ".join(layer.contents)
        case "wheels":
            wheels = [f"{name} {platform.wheel(name).version}" for name in layer.contents]
            more = len(wheels) - NAMES_IN_HISTORY
            listed = ", ".join(wheels[:NAMES_IN_HISTORY]) + (f" and {more} more" if more > 0 else "")
            return f"mlenv: wheel{'s' if len(wheels) > 1 else ''} {listed}"


def _without_digest(reference: str) -> str:
    return reference.partition("@")[0]
