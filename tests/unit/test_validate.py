import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.made_images import DOCKER, OCI, ROOT, blob, make_image, make_index, offer, tar_of

from mlenv.oci import compression
from mlenv.oci.layout import Layout
from mlenv.oci.validate import validate_layout


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def _either_library_inflates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setattr(compression, "_gzip", gzip)


def messages(layout: Path) -> list[str]:
    return [problem.message for problem in validate_layout(Layout(layout))]


@pytest.mark.parametrize("compression", ["gzip", "members", "zstd", "tar"])
@pytest.mark.parametrize("family", [OCI, DOCKER])
def test_an_image_in_which_everything_agrees_has_no_problem(tmp_path: Path, compression: str, family: str) -> None:
    make_image(tmp_path, [tar_of(ROOT), tar_of({"a": b"x" * 5000})], compression=compression, family=family)
    assert messages(tmp_path) == []


def test_an_index_is_validated_down_to_its_layers(tmp_path: Path) -> None:
    amd64, arm64 = make_image(tmp_path), make_image(tmp_path, [tar_of({"a": b"1"})], architecture="arm64", tag="2")
    make_index(tmp_path, [(amd64, "amd64"), (arm64, "arm64/v8")])
    assert messages(tmp_path) == []
    layer = Layout(tmp_path).path / "blobs" / arm64.layers[0].replace(":", "/")
    layer.write_bytes(layer.read_bytes()[:-1] + b"x")
    assert any("has the digest" in message for message in messages(tmp_path))


def test_an_index_that_contradicts_a_config_or_itself(tmp_path: Path) -> None:
    made = make_image(tmp_path)
    make_index(tmp_path, [(made, "arm64"), (made, "arm64")])
    found = messages(tmp_path)
    assert "the index names linux/arm64 more than once" in found
    assert "the config is for linux/amd64, the index says linux/arm64" in found


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}, "the layer's diff_id is"),
        ({"rootfs": {"type": "layers", "diff_ids": []}}, "the config has 0 diff_ids for 1 layers"),
        ({"rootfs": {"type": "other", "diff_ids": []}}, "the config can't be read: rootfs.type"),
        ({"history": [{"empty_layer": True}]}, "the history has 0 steps with a layer for 1 layers"),
    ],
)
def test_a_config_that_contradicts_its_layers(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    make_image(tmp_path, config=config)
    (found,) = messages(tmp_path)
    assert found.startswith(expected)


def test_all_problems_are_reported_each_with_its_place(tmp_path: Path) -> None:
    made = make_image(tmp_path, [tar_of({"a": b"1"}), tar_of({"b": b"2"}), tar_of({"c": b"3"})])
    paths = [tmp_path / "blobs" / digest.replace(":", "/") for digest in (*made.layers, made.config)]
    paths[0].unlink()
    paths[1].write_bytes(b"")
    paths[3].write_bytes(b"{}")
    problems = validate_layout(Layout(tmp_path))
    assert len(problems) == 3
    assert {problem.where.rpartition(" ")[2] for problem in problems} == {made.layers[0], made.layers[1], made.config}


@pytest.mark.parametrize(
    ("layer", "media", "expected"),
    [
        (gzip.compress(tar_of({"a": b"1"})), "tar", "the layer is gzip, its media type says"),
        (tar_of({"a": b"1"}), "tar+gzip", "the layer is tar, its media type says"),
        (gzip.compress(tar_of({"a": b"1"}))[:-4], "tar+gzip", "the layer's compression is broken"),
        (gzip.compress(tar_of({"a": b"1"})) + b"junk", "tar+gzip", "the layer's compression is broken"),
        (gzip.compress(tar_of({"a": b"1"})[:700]), "tar+gzip", "the tar is truncated"),
        (gzip.compress(tar_of({"a": b"1"}) + b"hidden"), "tar+gzip", "the layer goes on after the end"),
        (gzip.compress(b"\1" * 512), "tar+gzip", "the tar has a"),
        (gzip.compress(tar_of({"a": b"1"})), "exotic", "the layer is of an unknown kind"),
    ],
)
def test_a_layer_that_is_not_what_it_is_called(tmp_path: Path, layer: bytes, media: str, expected: str) -> None:
    described = blob(tmp_path, layer, f"{OCI}.layer.v1.{media}")
    make_image(tmp_path, manifest={"layers": [described]}, config={"rootfs": {"type": "layers", "diff_ids": []}})
    assert any(message.startswith(expected) for message in messages(tmp_path)), messages(tmp_path)


def test_a_wrong_size_in_a_descriptor(tmp_path: Path) -> None:
    made = make_image(tmp_path)
    offer(tmp_path, made.descriptor | {"size": 1})
    assert messages(tmp_path) == [f"the blob has {made.descriptor['size']} bytes, its descriptor says 1"]


def test_an_index_that_names_itself_through_others_ends(tmp_path: Path) -> None:
    inner = blob(tmp_path, json.dumps({"schemaVersion": 2, "manifests": []}).encode(), f"{OCI}.index.v1+json")
    for _ in range(6):
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [inner]}
        inner = blob(tmp_path, json.dumps(document).encode(), f"{OCI}.index.v1+json")
    offer(tmp_path, inner)
    assert messages(tmp_path) == ["indexes are nested too deeply"]


def test_an_artifact_is_no_image_but_its_blobs_must_be_right_too(tmp_path: Path) -> None:
    config = blob(tmp_path, b"{}", "application/vnd.oci.empty.v1+json")
    data = blob(tmp_path, b"weights", "application/x")
    made = make_image(tmp_path, manifest={"config": config, "layers": [data]})
    assert messages(tmp_path) == []
    (tmp_path / "blobs" / data["digest"].replace(":", "/")).write_bytes(b"weight!")
    assert [one.where.rpartition(" ")[2] for one in validate_layout(Layout(made.layout))] == [data["digest"]]


def test_a_folder_that_is_no_layout(tmp_path: Path) -> None:
    assert messages(tmp_path) == ["not an OCI layout: oci-layout is missing"]


def test_a_manifest_that_is_none(tmp_path: Path) -> None:
    offer(tmp_path, blob(tmp_path, b"{}", f"{OCI}.manifest.v1+json"))
    assert messages(tmp_path) == ["schemaVersion: it must be there and be 2"]
