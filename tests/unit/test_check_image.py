"""An image against a lock: the right one passes, and each way of being another one is found and named."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.locked_images import (
    LAYER,
    LockedImage,
    check,
    copy_of,
    failures,
    make_locked_image,
    pack,
    replace_by,
    status,
)
from support.made_images import blob, offer, tar_of

from mlenv.errors import MlenvError, Problem, UsageError
from mlenv.layers.image import INDEX_TYPE, MANIFEST_TYPE, index_bytes
from mlenv.model.lock import Lock
from mlenv.model.platform import Platform
from mlenv.model.report import Severity, Status, Trusted
from mlenv.oci import compression
from mlenv.oci.reference import Target
from mlenv.verify.checks.image import check_image
from mlenv.verify.target import look_at

BOTH = (Platform.LINUX_AMD64, Platform.LINUX_ARM64)
Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture
def image(tmp_path: Path) -> LockedImage:
    return make_locked_image(tmp_path / "image")


# The right image


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
@pytest.mark.parametrize("base", [False, True])
def test_the_locked_image_passes_and_every_part_of_it_has_a_finding(tmp_path: Path, transport: str, base: bool) -> None:
    image = make_locked_image(tmp_path / "image", base=base)
    place = image.folder if transport == "oci" else pack(image.folder, tmp_path / "x.tar")
    findings = check(image, target=f"{transport}:{place}")
    assert [one.check for one in findings] == ["image.manifest", "image.config", *["image.layer"] * 4]
    assert {one.status for one in findings} == {Status.PASS}
    assert {one.trusted for one in findings} == {Trusted.MATHEMATICS}
    assert all(one.expected == one.observed != "" and one.source.startswith(f"{transport}:") for one in findings)
    assert [one.message for one in findings][-2:] == [
        "layer 3 (wheels alpha, beta) is as locked",
        "layer 4 (files /app) is as locked",
    ]
    assert status(findings) == 0


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_an_image_of_several_platforms_passes_and_its_findings_say_which(tmp_path: Path, transport: str) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    place = image.folder if transport == "oci" else pack(image.folder, tmp_path / "x.tar")
    findings = check(image, target=f"{transport}:{place}")
    assert status(findings) == 0
    assert [one.check for one in findings[:2]] == ["image.index", "image.platforms"]
    assert sum(one.message.startswith("linux/arm64: layer") for one in findings) == 4


def test_one_platform_of_several_is_right_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    arm64 = image.lock.platforms[1].image
    offer(image.folder, {"mediaType": MANIFEST_TYPE, "digest": str(arm64.manifest), "size": arm64.manifest_size})
    findings = check(image)
    assert status(findings) == 0
    (note,) = [one for one in findings if one.check == "image.platforms"]
    assert (note.status, note.severity) == (Status.SKIPPED, Severity.NOTE)
    assert note.message == "locked, but not in this image: linux/amd64"


def test_a_blob_that_nothing_names_is_only_noted(image: LockedImage) -> None:
    blob(image.folder, b"left over", LAYER)
    (note,) = [one for one in check(image) if one.status is not Status.PASS]
    assert (note.check, note.status, note.severity) == ("image.extra", Status.SKIPPED, Severity.NOTE)
    assert "1 blob that the image does not name" in note.message
    assert status(check(image)) == 0


def test_of_two_images_in_a_layout_one_has_to_be_named(tmp_path: Path, image: LockedImage) -> None:
    other = make_locked_image(tmp_path / "other", seed="other")
    entries = [json.loads((one.folder / "index.json").read_bytes())["manifests"][0] for one in (image, other)]
    for path in (other.folder / "blobs" / "sha256").iterdir():
        path.rename(image.folder / "blobs" / "sha256" / path.name)
    names = [{"org.opencontainers.image.ref.name": name} for name in ("mine", "other")]
    offer(image.folder, *(entry | {"annotations": name} for entry, name in zip(entries, names, strict=True)))
    with pytest.raises(UsageError, match="several images") as caught:
        check(image)
    assert "mine" in caught.value.problems[0].hint
    assert status(check(image, target=f"oci:{image.folder}:mine")) == 0
    assert status(check(image, target=f"oci:{image.folder}:other")) == 1
    with pytest.raises(UsageError, match="no image third"):
        check(image, target=f"oci:{image.folder}:third")


# Bytes that are not what their name says


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_every_blob_that_is_flipped_is_found_and_named(tmp_path: Path, image: LockedImage, transport: str) -> None:
    blobs = sorted((image.folder / "blobs" / "sha256").iterdir())
    assert len(blobs) == 6
    for path in blobs:
        data = path.read_bytes()
        for at in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            place = image.folder if transport == "oci" else pack(image.folder, tmp_path / "x.tar")
            findings = check(image, target=f"{transport}:{place}")
            failed = [one for one in findings if one.status is Status.FAIL]
            assert path.name in failed[0].source, (path.name, at)
            assert status(findings) == 1
        path.write_bytes(data)
    assert status(check(image)) == 0


@pytest.mark.parametrize("kind", ["missing", "empty", "fifo", "directory", "loop", "device"])
def test_every_blob_that_is_no_longer_a_file_is_found_and_named(tmp_path: Path, image: LockedImage, kind: str) -> None:
    for path in sorted((image.folder / "blobs" / "sha256").iterdir()):
        spoilt = copy_of(image, tmp_path / kind / path.name)
        replace_by(spoilt.folder / "blobs" / "sha256" / path.name, kind)
        failed = [one for one in check(spoilt) if one.status is Status.FAIL]
        assert path.name in failed[0].source
        assert status(check(spoilt)) == 1


@pytest.mark.parametrize("broken", ["index.json", "oci-layout"])
@pytest.mark.parametrize("kind", ["missing", "empty", "fifo", "directory", "loop", "device"])
def test_a_layout_whose_list_of_images_cannot_be_read(image: LockedImage, broken: str, kind: str) -> None:
    replace_by(image.folder / broken, kind)
    with pytest.raises(MlenvError):
        check(image)


def test_a_size_that_is_wrong_in_index_json(image: LockedImage) -> None:
    locked = image.lock.platforms[0].image
    offer(image.folder, {"mediaType": MANIFEST_TYPE, "digest": str(locked.manifest), "size": locked.manifest_size + 1})
    assert failures(check(image)) == {
        "image.manifest": [f"the blob has {locked.manifest_size} bytes, its descriptor says {locked.manifest_size + 1}"]
    }


# Another image


def append(image: LockedImage) -> Change:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        layer, diff_id = image.add_layer({"evil": b"1"})
        manifest["layers"].append(layer)
        config["rootfs"]["diff_ids"].append(diff_id)
        config["history"].append({"created_by": "RUN curl \x1b[2Jevil"})

    return change


def test_a_layer_more(image: LockedImage) -> None:
    image.offer_changed(append(image))
    findings = check(image)
    found = failures(findings)
    assert set(found) == {"image.manifest", "image.config", "image.extra"}
    assert found["image.extra"] == ["layer 5 of the image is not in the lock, made by 'RUN curl \\x1b[2Jevil'"]
    assert [one.status for one in findings if one.check == "image.layer"] == [Status.PASS] * 4


def test_a_layer_below_all_others(image: LockedImage) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        layer, diff_id = image.add_layer({"evil": b"1"})
        manifest["layers"].insert(0, layer)
        config["rootfs"]["diff_ids"].insert(0, diff_id)
        config["history"].insert(0, {"created_by": "FROM scratch"})

    image.offer_changed(change)
    findings = check(image)
    assert failures(findings)["image.extra"] == ["layer 1 of the image is not in the lock, made by 'FROM scratch'"]
    assert [one.status for one in findings if one.check == "image.layer"] == [Status.PASS] * 4


def test_a_layer_less(image: LockedImage) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        for steps in (manifest["layers"], config["rootfs"]["diff_ids"], config["history"]):
            del steps[2]

    image.offer_changed(change)
    found = failures(check(image))
    assert found["image.layer"] == ["layer 3 (wheels alpha, beta) is not in the image, which has 3 layers"]
    assert "image.extra" not in found


def test_two_layers_in_each_others_place(image: LockedImage) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        for steps in (manifest["layers"], config["rootfs"]["diff_ids"], config["history"]):
            steps[1], steps[2] = steps[2], steps[1]

    image.offer_changed(change)
    found = failures(check(image))
    assert len(found["image.layer"]) == 1
    assert "stands at another place: it is layer" in found["image.layer"][0]
    assert "image.extra" not in found


def test_another_layer_in_the_place_of_one(image: LockedImage) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        manifest["layers"][3], config["rootfs"]["diff_ids"][3] = image.add_layer({"app/serve.py": b"evil"})

    image.offer_changed(change)
    (finding,) = [one for one in check(image) if one.check == "image.layer" and one.status is Status.FAIL]
    assert finding.message == "layer 4 (files /app) is another one"
    assert finding.expected == str(image.lock.platforms[0].layers[3].digest)
    assert finding.observed == image.add_layer({"app/serve.py": b"evil"})[0]["digest"]


def test_a_layer_that_was_packed_anew(image: LockedImage) -> None:
    locked = image.lock.platforms[0].layers[0]

    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        del config
        tar = gzip.decompress(image.blob_path(str(locked.digest)).read_bytes())
        manifest["layers"][0] = blob(image.folder, gzip.compress(tar, 1, mtime=7), LAYER)

    image.offer_changed(change)
    found = failures(check(image))
    assert found["image.layer"] == ["layer 1 (debian libc6) is packed anew, with the same content"]
    assert "image.manifest" in found


def test_a_config_that_lies_about_a_layer(image: LockedImage) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        del manifest
        config["rootfs"]["diff_ids"][1] = "sha256:" + "0" * 64

    image.offer_changed(change)
    found = failures(check(image))
    assert any("the config says sha256:000" in message for message in found["image.layer"])
    assert "the config's diff_ids is not as locked" in found["image.config"]


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize(
    ("part", "key", "value", "expected"),
    [
        ("config", "User", "0:0", "the config's User is not as locked"),
        ("config", "Cmd", ["/bin/sh"], "the config's Cmd is not as locked"),
        ("config", "Entrypoint", ["/evil"], "the config's Entrypoint is not as locked"),
        ("config", "WorkingDir", "/evil", "the config's WorkingDir is not as locked"),
        ("config", "Env", ["PATH=/evil:/opt/venv/bin"], "the config's Env PATH is not as locked"),
        ("config", "Env", [], "the config's Env PATH is not as locked"),
        ("config", "Labels", {}, "the config's Labels dev.mlenv.inputs is not as locked"),
        ("", "architecture", "arm64", "there is no image here for a platform of the lock"),
        ("", "created", "2030-01-01T00:00:00Z", "the config's created is not as locked"),
        ("", "history", [], "the config's history is not as locked"),
    ],
)
def test_a_field_of_the_config_that_was_changed(
    tmp_path: Path, base: bool, part: str, key: str, value: object, expected: str
) -> None:
    image = make_locked_image(tmp_path / "image", base=base)

    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        del manifest
        (config[part] if part else config)[key] = value

    image.offer_changed(change)
    findings = check(image)
    assert expected in [one.message for one in findings if one.status is Status.FAIL]
    assert status(findings) == 1


def test_a_variable_more_is_a_failure_where_the_lock_says_all_and_else_it_is_listed(tmp_path: Path) -> None:
    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        del manifest
        config["config"]["Env"].append("LD_PRELOAD=/evil.so")

    for base in (False, True):
        image = make_locked_image(tmp_path / str(base), base=base)
        image.offer_changed(change)
        findings = check(image)
        (named,) = [one for one in findings if "Env LD_PRELOAD" in one.message]
        assert named.status is (Status.SKIPPED if base else Status.FAIL)
        assert failures(findings)["image.config"][0] == "the config is not the locked one"
        assert status(findings) == 1


def test_the_same_config_in_other_bytes(image: LockedImage) -> None:
    image.offer_changed(lambda manifest, config: None)  # noqa: ARG005
    findings = check(image)
    assert set(failures(findings)) == {"image.manifest", "image.config"}
    assert "the config says the same in other bytes" in [one.message for one in findings]


@pytest.mark.parametrize(
    "config", [b"[]", b'{"config": 1}', b'{"config": {"Env": 7}}', b"{", b'{"history": 5}', b"\xff"]
)
def test_a_config_that_is_none(image: LockedImage, config: bytes) -> None:
    manifest = image.manifest()
    manifest["config"] = blob(image.folder, config, manifest["config"]["mediaType"])
    offer(image.folder, blob(image.folder, json.dumps(manifest).encode(), MANIFEST_TYPE))
    assert {"image.manifest", "image.config"} <= failures(check(image)).keys()


def test_the_image_of_another_lock(tmp_path: Path, image: LockedImage) -> None:
    other = make_locked_image(tmp_path / "other", seed="other")
    findings = check(image, lock=other.lock)
    found = failures(findings)
    assert len(found["image.layer"]) == 4
    assert {"image.manifest", "image.config"} <= found.keys()
    assert not any(one.status is Status.PASS for one in findings)


# Indexes


def entries(image: LockedImage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = image.read(str(image.lock.index))["manifests"]
    return found


def offer_index(image: LockedImage, manifests: list[dict[str, Any]]) -> None:
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    offer(image.folder, blob(image.folder, json.dumps(index, sort_keys=True).encode(), INDEX_TYPE))


def test_another_architectures_manifest_under_the_index(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    amd64, arm64 = entries(image)
    offer_index(image, [amd64, amd64 | {"platform": arm64["platform"]}])
    found = failures(check(image))
    assert set(found) >= {"image.index", "image.extra"}
    offer_index(image, [amd64 | {"platform": arm64["platform"]}, arm64 | {"platform": amd64["platform"]}])
    found = failures(check(image))
    assert set(found) == {"image.index", "image.format"}
    assert any("the index says linux/arm64" in message for message in found["image.format"])


def test_a_manifest_more_in_the_index(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    other = make_locked_image(tmp_path / "other", seed="other")
    for path in (other.folder / "blobs" / "sha256").iterdir():
        path.rename(image.folder / "blobs" / "sha256" / path.name)
    locked = other.lock.platforms[0].image
    more = {"mediaType": MANIFEST_TYPE, "digest": str(locked.manifest), "size": locked.manifest_size}
    offer_index(image, [*entries(image), more])
    found = failures(check(image))
    assert set(found) == {"image.index", "image.extra"}
    assert found["image.extra"] == ["an image for linux/amd64, which the lock does not name"]


def test_some_of_the_locked_platforms_under_the_index_that_a_build_of_them_makes(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    amd64 = image.lock.platforms[0]
    third = amd64.model_copy(update={"image": amd64.image.model_copy(update={"manifest": amd64.image.config})})
    lock = image.lock.model_copy(update={"platforms": (third, *image.lock.platforms), "index": None})
    offer(image.folder, blob(image.folder, index_bytes(_named(image.lock)), INDEX_TYPE))
    assert "image.index" not in failures(check(image, lock=lock))


def _named(lock: Lock) -> list[Any]:
    return [(one.platform, one.image.manifest, one.image.manifest_size) for one in lock.platforms]


def test_an_index_around_a_single_image_and_an_index_in_an_index(tmp_path: Path, image: LockedImage) -> None:
    locked = image.lock.platforms[0].image
    offer_index(image, [{"mediaType": MANIFEST_TYPE, "digest": str(locked.manifest), "size": locked.manifest_size}])
    assert set(failures(check(image))) == {"image.index"}
    both = make_locked_image(tmp_path / "both", BOTH)
    data = both.blob_path(str(both.lock.index)).read_bytes()
    offer_index(both, [blob(both.folder, data, INDEX_TYPE)])
    assert set(failures(check(both))) == {"image.index", "image.extra"}


def test_an_index_that_was_changed_and_one_that_names_nothing(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    offer_index(image, [])
    assert set(failures(check(image))) == {"image.index", "image.platforms"}
    offer_index(image, entries(image)[::-1])
    assert set(failures(check(image))) == {"image.index"}


def test_an_image_for_another_platform_only(tmp_path: Path, image: LockedImage) -> None:
    arm64 = make_locked_image(tmp_path / "arm64", (Platform.LINUX_ARM64,))
    found = failures(check(arm64, lock=image.lock))
    assert found["image.platforms"] == ["there is no image here for a platform of the lock"]
    assert found["image.extra"] == ["an image for linux/arm64, which the lock does not name"]


# Bombs


def test_a_layer_that_grows_without_end_is_refused_in_flat_memory(
    image: LockedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "_SMALL", 8 << 20)
    tar = tar_of({"zeros": bytes(64 << 20)})
    bomb = gzip.compress(tar, mtime=0)
    del tar

    def change(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        del config
        manifest["layers"][3] = blob(image.folder, bomb, LAYER)

    image.offer_changed(change)
    tracemalloc.start()
    try:
        found = failures(check(image))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert len(found["image.layer"]) == 1


def test_an_index_that_names_a_large_manifest_again_and_again_is_not_read_to_its_end(tmp_path: Path) -> None:
    image = make_locked_image(tmp_path / "image", BOTH)
    manifest = image.manifest() | {"annotations": {"long": "x" * (3 << 20)}}
    described = blob(image.folder, json.dumps(manifest).encode(), MANIFEST_TYPE)
    offer_index(image, [*entries(image), *[described] * 500])
    found = failures(check(image))
    assert found["image.format"] == ["more than 1000 manifests, or 16 MiB of them"]
    assert len(found["image.extra"]) == 6


def test_a_locked_layer_whose_tar_is_another_one(image: LockedImage) -> None:
    one = image.lock.platforms[0]
    layers = (*one.layers[:3], one.layers[3].model_copy(update={"diff_id": one.image.config}))
    lock = image.lock.model_copy(update={"platforms": (one.model_copy(update={"layers": layers}),)})
    found = failures(check(image, lock=lock))
    assert found["image.layer"] == ["layer 4 (files /app) has another tar (diff_id) than is locked"]


# Evidence that is not there


def test_nothing_to_see_is_no_pass(image: LockedImage) -> None:
    evidence = look_at(Target.parse(f"oci:{image.folder}"))
    nothing = replace(evidence, observation=replace(evidence.observation, images=()))
    assert failures(check_image(image.lock, nothing)) == {
        "image.platforms": ["there is no image here for a platform of the lock"]
    }
    without_layers = replace(
        evidence.observation, images=tuple(replace(one, layers=()) for one in evidence.observation.images)
    )
    assert len(failures(check_image(image.lock, replace(evidence, observation=without_layers)))["image.layer"]) == 4


def test_a_blob_that_this_machine_does_not_let_us_read_is_neither_right_nor_wrong(image: LockedImage) -> None:
    evidence = look_at(Target.parse(f"oci:{image.folder}"))
    (seen,) = evidence.observation.images
    problem = Problem("the blob can't be read: Permission denied")
    layer = replace(seen.layers[1], digest=None, size=None, diff_id=None, problems=(problem,), unreadable=True)
    layers = (seen.layers[0], layer, *seen.layers[2:])
    observation = replace(evidence.observation, images=(replace(seen, layers=layers),))
    findings = check_image(image.lock, replace(evidence, observation=observation))
    assert failures(findings) == {"image.layer": ["layer 2 (venv): the blob can't be read: Permission denied"]}
    assert status(findings) == 4
