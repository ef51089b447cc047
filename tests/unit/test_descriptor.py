import json
from typing import Any

import pytest

from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.oci.descriptor import OCI_LAYER_GZIP, Descriptor, ImagePlatform

RIGHT: dict[str, Any] = {"mediaType": OCI_LAYER_GZIP, "digest": "sha256:" + "a" * 64, "size": 7}


def test_a_descriptor_survives_reading_and_writing() -> None:
    full = RIGHT | {
        "annotations": {"b": "2", "a": "1"},
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1"},
        "artifactType": "application/x",
    }
    descriptor = Descriptor.parse(json.dumps(full).encode())
    assert descriptor.to_value() == full
    assert descriptor.to_bytes().startswith(b'{"annotations":{"a":"1","b":"2"},"artifactType"')


def test_what_is_empty_is_not_written_and_what_is_unknown_not_kept() -> None:
    descriptor = Descriptor.parse(json.dumps(RIGHT | {"annotations": {}, "urls": None, "data": "AA=="}).encode())
    assert descriptor.to_value() == RIGHT


def test_the_descriptor_of_bytes() -> None:
    descriptor = Descriptor.of(b"abc", "text/plain")
    assert (descriptor.digest, descriptor.size) == (Digest.of(b"abc"), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": -1}, "size"),
        ({"size": "7"}, "size"),
        ({"size": 7.0}, "size"),
        ({"size": True}, "size"),
        ({"size": None}, "size"),
        ({"digest": "sha256:" + "A" * 64}, "digest"),
        ({"digest": "sha512:" + "a" * 128}, "digest"),
        ({"digest": "sha256:" + "a" * 63 + "/"}, "digest"),
        ({"mediaType": ""}, "mediaType"),
        ({"mediaType": "no slash"}, "mediaType"),
        ({"mediaType": "a/b\n"}, "mediaType"),
        ({"annotations": {"a": 1}}, "annotations"),
        ({"annotations": []}, "annotations"),
        ({"platform": {"os": "linux"}}, "platform.architecture"),
        ({"urls": "https://example.com"}, "urls"),
        ({"annotations": {"a\nb": 1}}, "annotations"),
        ({"platform": {"os": "linux", "architecture": "amd64\x1b[31m"}}, "platform.architecture"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Descriptor.parse(json.dumps(RIGHT | change).encode())
    assert "\n" not in str(caught.value)


def test_dockers_layers_get_their_oci_names_and_keep_their_bytes() -> None:
    docker = Descriptor.parse(
        json.dumps(
            RIGHT | {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "annotations": {"x": "y"}}
        ).encode()
    )
    assert docker.as_oci_layer().to_value() == RIGHT


@pytest.mark.parametrize(
    ("platform", "text", "runs"),
    [
        (Platform.LINUX_AMD64, "linux/amd64", True),
        (Platform.LINUX_ARM64, "linux/arm64", True),
        (Platform.LINUX_ARM64, "linux/arm64/v8", True),
        (Platform.LINUX_ARM64, "linux/arm64/v9", False),
        (Platform.LINUX_AMD64, "linux/amd64/v3", False),
        (Platform.LINUX_AMD64, "linux/arm64", False),
        (Platform.LINUX_AMD64, "windows/amd64", False),
        (Platform.LINUX_AMD64, "unknown/unknown", False),
    ],
)
def test_which_platform_of_an_index_is_meant(platform: Platform, text: str, runs: bool) -> None:
    system, architecture, *variant = text.split("/")
    entry = ImagePlatform(os=system, architecture=architecture, variant="".join(variant))
    assert entry.runs(platform) is runs
    assert str(entry) == text
