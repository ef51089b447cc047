"""OCI content descriptors (image specification, descriptor.md) and the frame of all OCI documents."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.model.strict_json import parse_json, shown

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
CONFIG_TYPES = (OCI_CONFIG, DOCKER_CONFIG)

# A layer's media type as Docker writes it, and the OCI name of the very same bytes.
LAYER_TYPES: Mapping[str, str] = {
    OCI_LAYER: OCI_LAYER,
    OCI_LAYER_GZIP: OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD: OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": OCI_LAYER_ZSTD,
}

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Field(strict=False)]  # a JSON array; its items stay strict
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*"
MediaType = Annotated[str, Field(max_length=255, pattern=rf"^{_NAME}/{_NAME}$")]  # RFC 6838, section 4.2
Word = Annotated[str, Field(max_length=64, pattern=r"^[\x21-\x7e]*$")]  # names of systems and processors: printable


class Document(BaseModel):
    """A frozen part of an OCI document.

    Reading is strict in types and lenient in fields: an unknown one is skipped, as the specification demands, and a
    null is a field that isn't there, as Docker writes it. Writing leaves out whatever is optional and empty.
    """

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        needed = {
            field.serialization_alias or name for name, field in type(self).model_fields.items() if field.is_required()
        }
        return {
            key: value
            for key, value in handler(self).items()
            if key in needed or value not in (None, "", [], {}, False)
        }

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the JSON of such a document; a ValueError of one line says what is wrong and where."""
        return cls.from_value(parse_json(data))

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """Read it from JSON that was parsed by `parse_json`."""
        try:
            return cls.model_validate(_without_nulls(value))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = shown(".".join(str(part) for part in first["loc"]))
            raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None

    def to_value(self) -> dict[str, Any]:
        """The JSON value, as Python's own types."""
        return self.model_dump(mode="json", by_alias=True)

    def to_bytes(self) -> bytes:
        """The canonical bytes of the document: those that its digest is of."""
        return canonical_json(self.to_value())


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nulls(child) for child in value]
    return value


class ImagePlatform(Document):
    """The `platform` of an entry in an index: the words of Go (`linux`, `amd64`, variant `v8`)."""

    architecture: Word
    os: Word
    variant: Word = ""
    os_version: Annotated[str, Field(alias="os.version")] = ""
    os_features: Annotated[Many[str], Field(alias="os.features")] = ()

    @classmethod
    def of(cls, platform: Platform) -> Self:
        """What mlenv writes for one of its platforms: no variant, which is the oldest one."""
        return cls(architecture=platform.architecture, os=platform.os)

    def runs(self, platform: Platform) -> bool:
        """Whether an image of this platform is what a user of that one asks for: arm64 and its v8 are the same."""
        plain = {"amd64": ("", "v1"), "arm64": ("", "v8")}[platform.architecture]
        return (self.os, self.architecture) == (platform.os, platform.architecture) and self.variant in plain

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Descriptor(Document):
    """What a document says of a blob elsewhere: its kind, its digest and its size in bytes."""

    media_type: MediaType
    digest: Digest
    size: Annotated[int, Field(ge=0, lt=1 << 53)]
    annotations: dict[str, str] = Field(default_factory=dict)
    platform: ImagePlatform | None = None
    artifact_type: str = ""
    urls: Many[str] = ()

    @classmethod
    def of(cls, data: bytes, media_type: str, **more: Any) -> Self:
        """The descriptor of some bytes."""
        return cls(media_type=media_type, digest=Digest.of(data), size=len(data), **more)

    def as_oci_layer(self) -> Self:
        """The same layer under the OCI name of its media type, without annotations and download locations.

        The bytes and so the digest stay; a manifest of OCI's kind that names Docker's layers is refused by some tools.
        """
        return type(self)(media_type=LAYER_TYPES[self.media_type], digest=self.digest, size=self.size)
