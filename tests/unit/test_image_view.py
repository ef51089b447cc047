"""What `mlenv inspect` shows of an image in a layout or an archive."""

import json
from pathlib import Path

import pytest
from support.locked_images import make_locked_image, pack
from support.made_images import blob, offer

from mlenv.errors import MlenvError, RefusedError, UnavailableError, UsageError
from mlenv.layers.image import MANIFEST_TYPE
from mlenv.model.platform import Platform
from mlenv.oci.reference import Target
from mlenv.sources.image_view import view_image


def test_a_layout_and_an_archive_of_it_look_the_same(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", (Platform.LINUX_AMD64, Platform.LINUX_ARM64))
    archive = pack(image.folder, tmp_path / "x.tar")
    amd64, arm64 = view_image(Target.parse(f"oci:{image.folder}"))
    assert view_image(Target.parse(f"oci-archive:{archive}")) == [amd64, arm64]
    assert (amd64.platform, arm64.platform) == ("linux/amd64", "linux/arm64")
    assert amd64.digest == image.lock.platforms[0].image.manifest
    assert [one.digest for one in amd64.layers] == [one.digest for one in image.lock.platforms[0].layers]
    assert amd64.layers[-1].what == "mlenv: files /app"


def test_what_is_broken_is_refused_in_words(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image")
    locked = image.lock.platforms[0].image
    whole = pack(image.folder, tmp_path / "x.tar").read_bytes()
    with pytest.raises(UnavailableError, match="cannot read"):
        view_image(Target.parse(f"oci-archive:{tmp_path}/absent.tar"))
    with pytest.raises(UsageError, match="cannot look into"):
        view_image(Target.parse("docker-daemon:app:1"))
    (tmp_path / "x.tar").write_bytes(whole + b"more")
    with pytest.raises(RefusedError, match="goes on after its end"):
        view_image(Target.parse(f"oci-archive:{tmp_path}/x.tar"))
    image.blob_path(str(locked.config)).write_bytes(b"{}")
    with pytest.raises(RefusedError, match="has the digest"):
        view_image(Target.parse(f"oci:{image.folder}"))
    image.blob_path(str(locked.config)).unlink()
    with pytest.raises(UnavailableError, match="cannot read") as caught:
        view_image(Target.parse(f"oci:{image.folder}"))
    assert locked.config.hex in caught.value.problems[0].message
    offer(image.folder, blob(image.folder, b"{}", MANIFEST_TYPE))
    with pytest.raises(RefusedError, match="not an image"):
        view_image(Target.parse(f"oci:{image.folder}"))


def test_a_manifest_whose_config_is_none(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image")
    manifest = image.manifest() | {"config": blob(image.folder, b"[]", "application/vnd.oci.image.config.v1+json")}
    offer(image.folder, blob(image.folder, json.dumps(manifest).encode(), MANIFEST_TYPE))
    with pytest.raises(MlenvError, match="not an image"):
        view_image(Target.parse(f"oci:{image.folder}"))
