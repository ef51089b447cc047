import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema

from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.oci.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, ImagePlatform
from mlenv.oci.image import (
    ContainerConfig,
    Healthcheck,
    History,
    ImageConfig,
    ImageIndex,
    ImageManifest,
    RootFs,
    parse_manifest,
)

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": OCI_LAYER_GZIP, "digest": DIGEST, "size": 3}
MANIFEST: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def a_config() -> ImageConfig:
    return ImageConfig(
        architecture="amd64",
        os="linux",
        created="1980-01-01T00:00:00Z",
        rootfs=RootFs(type="layers", diff_ids=(Digest("b" * 64),)),
        config=ContainerConfig(
            user="10001:10001",
            env=("PATH=/opt/venv/bin:/usr/bin", "EMPTY="),
            cmd=("python", "serve.py"),
            exposed_ports={"8000/tcp": {}},
            volumes={"/data": {}},
            working_dir="/app",
            labels={"org.opencontainers.image.title": "x"},
            stop_signal="SIGINT",
            healthcheck=Healthcheck(test=("CMD", "true"), interval=30_000_000_000, retries=3),
        ),
        history=(History(created_by="mlenv", created="1980-01-01T00:00:00Z"), History(empty_layer=True)),
    )


def test_a_config_survives_reading_and_writing_health_check_included() -> None:
    config = a_config()
    assert ImageConfig.parse(config.to_bytes()) == config
    assert config.to_value()["config"]["Healthcheck"] == {
        "Test": ["CMD", "true"],
        "Interval": 30_000_000_000,
        "Retries": 3,
    }
    assert config.config.environment == {"PATH": "/opt/venv/bin:/usr/bin", "EMPTY": ""}


def test_a_config_as_docker_writes_it_is_read() -> None:
    config = ImageConfig.parse(
        json.dumps(
            {
                "architecture": "arm64",
                "os": "linux",
                "variant": "v8",
                "container_config": {"Hostname": "x"},
                "docker_version": "20.10",
                "config": {"Env": None, "Cmd": ["a"], "Entrypoint": None, "OnBuild": None, "ArgsEscaped": True},
                "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
                "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "ADD", "empty_layer": True}],
            }
        ).encode()
    )
    assert (config.variant, config.config.cmd, config.config.env) == ("v8", ("a",), ())
    assert config.diff_ids == (Digest("a" * 64),)


@pytest.mark.parametrize("kind", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_manifest_of_either_kind_is_read(kind: str) -> None:
    data = json.dumps(MANIFEST | {"mediaType": kind}).encode()
    for stated in ("", kind):
        document = parse_manifest(data, stated)
        assert isinstance(document, ImageManifest)
        assert document.media_type == kind


def test_a_document_without_a_media_type_is_what_its_fields_say() -> None:
    manifest = {key: value for key, value in MANIFEST.items() if key != "mediaType"}
    assert isinstance(parse_manifest(json.dumps(manifest).encode()), ImageManifest)
    assert isinstance(parse_manifest(b'{"schemaVersion": 2, "manifests": []}'), ImageIndex)


@pytest.mark.parametrize(
    ("document", "stated", "message"),
    [
        (MANIFEST | {"manifests": []}, "", "read as something else"),
        (INDEX | {"layers": []}, "", "read as something else"),
        (INDEX | {"config": CONFIG}, "", "read as something else"),
        (MANIFEST, OCI_INDEX, "the document says"),
        (INDEX, OCI_MANIFEST, "the document says"),
        (MANIFEST | {"mediaType": "application/json"}, "", "neither"),
        (MANIFEST | {"schemaVersion": 1}, "", "schema 1"),
        ({"schemaVersion": 1, "fsLayers": [], "signatures": []}, "", "schema 1"),
        (MANIFEST | {"schemaVersion": 3}, "", "schemaVersion"),
        (MANIFEST | {"config": None}, "", "config"),
        (MANIFEST | {"layers": {}}, "", "layers"),
        (MANIFEST | {"layers": [LAYER | {"size": "3"}]}, "", r"layers\.0\.size"),
        ([], OCI_MANIFEST, "not a JSON object"),
        ("manifest", "", "not a JSON object"),
        ({key: MANIFEST[key] for key in ("schemaVersion", "config", "layers")}, DOCKER_MANIFEST, "must state it"),
    ],
)
def test_an_ambiguous_or_wrong_manifest_is_refused(document: object, stated: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_manifest(json.dumps(document).encode(), stated)


def test_what_we_write_is_valid_by_the_specifications_schemas(vectors: Path) -> None:
    folder = vectors / "oci-image-spec"

    def retrieve(uri: str) -> "referencing.Resource[Any]":
        contents = json.loads((folder / uri.rpartition("/")[2]).read_text())
        return referencing.jsonschema.DRAFT4.create_resource(contents)

    registry: Any = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]
    config = a_config()
    manifest = ImageManifest(
        config=Descriptor.of(config.to_bytes(), OCI_CONFIG),
        layers=(Descriptor(media_type=OCI_LAYER_GZIP, digest=Digest("c" * 64), size=1),),
        annotations={"a": "b"},
    )
    entry = Descriptor.of(manifest.to_bytes(), OCI_MANIFEST, platform=ImagePlatform.of(Platform.LINUX_ARM64))
    index = ImageIndex(manifests=(entry,))
    for name, value in (("config", config), ("image-manifest", manifest), ("image-index", index)):
        schema = json.loads((folder / f"{name}-schema.json").read_text())
        jsonschema.Draft4Validator(schema, registry=registry).validate(value.to_value())
