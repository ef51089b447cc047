"""Image manifests, indexes and configs (OCI image specification 1.1; Docker's schema 2 is read as well)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from mlenv.model.digest import Digest
from mlenv.model.strict_json import parse_json
from mlenv.oci.descriptor import (
    CONFIG_TYPES,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Document,
    Many,
    Word,
)


class Healthcheck(Document):
    """Docker's health check; durations are in nanoseconds, 0 is the engine's own default."""

    test: Annotated[Many[str], Field(alias="Test")] = ()
    interval: Annotated[int, Field(alias="Interval", ge=0)] = 0
    timeout: Annotated[int, Field(alias="Timeout", ge=0)] = 0
    start_period: Annotated[int, Field(alias="StartPeriod", ge=0)] = 0
    retries: Annotated[int, Field(alias="Retries", ge=0)] = 0


class ContainerConfig(Document):
    """`config` of an image config: what a container gets unless it is told otherwise.

    `env` holds `NAME=value` in the order that is written; of two with one name the later one counts.
    """

    user: Annotated[str, Field(alias="User")] = ""
    exposed_ports: Annotated[dict[str, dict[str, str]], Field(alias="ExposedPorts")] = Field(default_factory=dict)
    env: Annotated[Many[str], Field(alias="Env")] = ()
    entrypoint: Annotated[Many[str], Field(alias="Entrypoint")] = ()
    cmd: Annotated[Many[str], Field(alias="Cmd")] = ()
    volumes: Annotated[dict[str, dict[str, str]], Field(alias="Volumes")] = Field(default_factory=dict)
    working_dir: Annotated[str, Field(alias="WorkingDir")] = ""
    labels: Annotated[dict[str, str], Field(alias="Labels")] = Field(default_factory=dict)
    stop_signal: Annotated[str, Field(alias="StopSignal")] = ""
    healthcheck: Annotated[Healthcheck | None, Field(alias="Healthcheck")] = None
    shell: Annotated[Many[str], Field(alias="Shell")] = ()

    @property
    def environment(self) -> dict[str, str]:
        """`env` as a dictionary; a line without `=` is a variable without a value."""
        return {name: value for name, _, value in (line.partition("=") for line in self.env)}


class RootFs(Document):
    """`rootfs` of an image config: the digests of the uncompressed layers, the lowest first."""

    type: Literal["layers"]
    diff_ids: Annotated[Many[Digest], Field(alias="diff_ids")]


class History(Document):
    """One step that made the image. A step without a layer has `empty_layer`."""

    created: str = ""
    created_by: Annotated[str, Field(alias="created_by")] = ""
    author: str = ""
    comment: str = ""
    empty_layer: Annotated[bool, Field(alias="empty_layer")] = False


class ImageConfig(Document):
    """An image config (config.md). `created` is RFC 3339."""

    architecture: Word
    os: Word
    rootfs: RootFs
    created: str = ""
    author: str = ""
    variant: Word = ""
    config: ContainerConfig = ContainerConfig()
    history: Many[History] = ()

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the uncompressed layers, the lowest first."""
        return self.rootfs.diff_ids


class ImageManifest(Document):
    """An image manifest (manifest.md): one platform's config and layers, the lowest layer first."""

    schema_version: Literal[2] = 2
    media_type: Literal[
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
    ] = OCI_MANIFEST
    config: Descriptor
    layers: Many[Descriptor]
    annotations: dict[str, str] = Field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Refuses a document that could be read as an index as well (CVE-2021-41190), and what is not an image."""
        _only(value, "an image manifest", absent=("manifests", "fsLayers", "signatures"))
        return super().from_value(value)

    @property
    def is_image(self) -> bool:
        """Whether the config is that of a container image, not of some other artifact."""
        return self.config.media_type in CONFIG_TYPES


class ImageIndex(Document):
    """An image index (image-index.md): the manifests of several platforms, or the entries of a layout."""

    schema_version: Literal[2] = 2
    media_type: Literal[
        "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"
    ] = OCI_INDEX
    manifests: Many[Descriptor]
    annotations: dict[str, str] = Field(default_factory=dict)
    artifact_type: str = ""
    subject: Descriptor | None = None

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Refuses a document that could be read as a manifest as well (CVE-2021-41190)."""
        _only(value, "an image index", absent=("config", "layers", "fsLayers"))
        return super().from_value(value)


def _only(value: Any, kind: str, *, absent: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"not {kind}: not a JSON object")  # noqa: TRY004 -- bad bytes, not a bad call
    if value.get("schemaVersion") == 1:
        raise ValueError("schemaVersion: a manifest of Docker's schema 1, which names no config digest")
    if value.get("schemaVersion") != 2:
        raise ValueError("schemaVersion: it must be there and be 2")
    for key in absent:
        if key in value:
            raise ValueError(f"{key}: {kind} has no such field; the document could be read as something else")


def parse_manifest(data: bytes, media_type: str = "") -> ImageManifest | ImageIndex:
    """Read a manifest or an index, whichever it is.

    `media_type` is what the descriptor or the registry called it; empty where nobody said. What the document says of
    itself must agree with it. Raises ValueError.
    """
    value = parse_json(data)
    stated = value.get("mediaType") if isinstance(value, dict) else None
    if stated and media_type and stated != media_type:
        raise ValueError(f"mediaType: the document says {stated!r:.80}, whoever named it says {media_type!r:.80}")
    if not stated and media_type in (DOCKER_MANIFEST, DOCKER_INDEX):
        raise ValueError("mediaType: a manifest of Docker's kind must state it")
    kind = stated or media_type or (OCI_INDEX if isinstance(value, dict) and "manifests" in value else OCI_MANIFEST)
    if kind in INDEX_TYPES:
        return ImageIndex.from_value(value)
    if kind in MANIFEST_TYPES:
        return ImageManifest.from_value(value)
    raise ValueError(f"mediaType: {kind!r:.80} is neither an image manifest nor an image index")
