"""Images in archives, those of users and those that an engine hands out: read where they lie, and never differently."""

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard
from support.locked_images import LockedImage, check, failures, make_locked_image, pack, replace_by, status
from support.made_images import tar_of

from mlenv.errors import MlenvError, RefusedError
from mlenv.model.report import Finding, Status, Trusted
from mlenv.oci import archive_layout
from mlenv.oci.archive_layout import ArchiveLayout
from mlenv.oci.docker_archive import observe_docker_archive
from mlenv.verify.checks.image import check_image
from mlenv.verify.evidence.image import ImageEvidence


@pytest.fixture
def image(tmp_path: Path) -> LockedImage:
    return make_locked_image(tmp_path / "image")


def member(name: str, data: bytes = b"", **fields: Any) -> bytes:
    """One entry of a tar, to stand before a whole one."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def pax(record: bytes) -> bytes:
    return member("././@PaxHeader", record, type=tarfile.XHDTYPE)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda tar: member("index.json", b"{}") + tar, "names 'index.json' twice"),
        (lambda tar: member(".//./index.json", b"{}") + tar, "names 'index.json' twice"),
        (lambda tar: member("/index.json", b"{}") + tar, "names 'index.json' twice"),
        (lambda tar: pax(b"19 path=index.json\n") + member("a", b"{}") + tar, "names 'index.json' twice"),
        (lambda tar: member("index.json", type=tarfile.SYMTYPE, linkname="x") + tar, "names 'index.json' twice"),
        (lambda tar: member("a/../index.json", b"{}") + tar, "leaves the root"),
        (lambda tar: member("sparse", b"", type=tarfile.GNUTYPE_SPARSE) + tar, "sparse"),
        (lambda tar: member("long", bytes(2 << 20), type=tarfile.GNUTYPE_LONGNAME) + tar, "extended header"),
        (lambda tar: member("huge", b"")[:124] + b"77777777777\0" + member("huge", b"")[136:] + tar, "checksum"),
        (lambda tar: tar[:3000], "truncated"),
        (lambda tar: tar[:-10240] + b"evil", "the tar"),
        (lambda tar: tar + b"evil", "goes on after its end"),
        (lambda tar: tar + bytes(2 << 20), "goes on after its end"),
        (gzip.compress, "compressed with gzip"),
        (zstandard.compress, "compressed with zstd"),
        (lambda tar: b"not a tar" * 500, "the tar has"),  # noqa: ARG005
    ],
)
def test_an_archive_that_two_readers_could_read_differently_is_refused(
    tmp_path: Path, image: LockedImage, spoil: Callable[[bytes], bytes], says: str
) -> None:
    archive = pack(image.folder, tmp_path / "x.tar")
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.raises(RefusedError, match=says) as caught:
        check(image, target=f"oci-archive:{archive}")
    assert str(archive) in caught.value.problems[0].where


def test_an_archive_of_more_entries_than_any_image_has(
    tmp_path: Path, image: LockedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_layout, "_FILES", 5)
    with pytest.raises(RefusedError, match="more than 5 entries"):
        check(image, target=f"oci-archive:{pack(image.folder, tmp_path / 'x.tar')}")


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "loop", "empty"])
def test_an_archive_that_is_no_file(tmp_path: Path, image: LockedImage, kind: str) -> None:
    archive = pack(image.folder, tmp_path / "x.tar")
    replace_by(archive, kind)
    with pytest.raises(MlenvError) as caught:
        check(image, target=f"oci-archive:{archive}")
    assert caught.value.problems[0].message


def test_a_link_in_an_archive_leads_to_another_file_of_it_and_nowhere_else(tmp_path: Path, image: LockedImage) -> None:
    layer = image.blob_path(str(image.lock.platforms[0].layers[0].digest))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(layer.read_bytes())
    for target in (str(elsewhere), "../../../elsewhere", layer.name, "/etc/passwd"):
        layer.unlink()
        layer.symlink_to(target)
        found = failures(check(image, target=f"oci-archive:{pack(image.folder, tmp_path / 'x.tar')}"))
        assert found == {"image.layer": ["layer 1 (debian libc6): the blob is missing"]}
    (image.folder / "other").write_bytes(elsewhere.read_bytes())
    layer.unlink()
    layer.symlink_to("../../other")
    assert status(check(image, target=f"oci-archive:{pack(image.folder, tmp_path / 'x.tar')}")) == 0


def test_an_archive_may_grow_to_any_length_and_is_read_where_it_lies(tmp_path: Path, image: LockedImage) -> None:
    """A sparse file: a tar whose one member claims a terabyte of zeros takes no time to list."""
    archive = pack(image.folder, tmp_path / "x.tar")
    whole = archive.read_bytes()
    with archive.open("wb") as file:
        info = tarfile.TarInfo("zeros")
        info.size = 1 << 40
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(1 << 40, os.SEEK_CUR)
        file.write(whole)
    assert status(check(image, target=f"oci-archive:{archive}")) == 0


def test_a_flipped_bit_anywhere_in_an_archive_ends_in_words(tmp_path: Path, image: LockedImage) -> None:
    archive = pack(image.folder, tmp_path / "x.tar")
    whole = archive.read_bytes()
    random = Random(3)
    wrong = 0
    for _ in range(150):
        at = random.randrange(len(whole))
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << random.randrange(8))]) + whole[at + 1 :])
        try:
            wrong += status(check(image, target=f"oci-archive:{archive}")) != 0
        except MlenvError:
            wrong += 1
    assert wrong > 10


# What `docker save` writes of a classic store


def saved(image: LockedImage, archive: Path, *, files: dict[str, bytes] | None = None, **entry: Any) -> list[Finding]:
    """The findings on the locked image as an engine would hand it out, with other files or another list of them."""
    config = image.blob_path(str(image.lock.platforms[0].image.config)).read_bytes()
    tars = {
        f"{number}/layer.tar": gzip.decompress(image.blob_path(str(layer.digest)).read_bytes())
        for number, layer in enumerate(image.lock.platforms[0].layers)
    }
    listed = [{"Config": "config.json", "Layers": list(tars)} | entry]
    every = {"config.json": config, **tars, "manifest.json": json.dumps(listed).encode()} | (files or {})
    archive.write_bytes(b"".join(member(name, data) for name, data in every.items()) + bytes(1024))
    with ArchiveLayout.open(archive) as opened:
        observation = observe_docker_archive(opened)
    return check_image(image.lock, ImageEvidence("docker-daemon:app:1", observation, Trusted.ENGINE))


def test_a_saved_image_has_no_manifest_but_all_that_one_would_name(tmp_path: Path, image: LockedImage) -> None:
    findings = saved(image, tmp_path / "x.tar")
    assert [one.check for one in findings] == ["image.manifest", "image.config", *["image.layer"] * 4]
    assert [one.status for one in findings] == [Status.SKIPPED, *[Status.PASS] * 5]
    assert "the engine keeps no manifest" in findings[0].message
    assert {one.trusted for one in findings} == {Trusted.ENGINE}
    assert status(findings) == 0


def test_a_saved_image_that_was_changed(tmp_path: Path, image: LockedImage) -> None:
    archive = tmp_path / "x.tar"
    other = saved(image, archive, files={"2/layer.tar": tar_of({"evil": b"1"})})
    assert failures(other)["image.layer"] == ["layer 3 (wheels alpha, beta) has another tar (diff_id) than is locked"]
    assert failures(other)["image.format"] == ["the config names other layers than the archive has"]
    broken = saved(image, archive, files={"2/layer.tar": b"no tar"})
    assert "layer 3 (wheels alpha, beta): the tar is truncated" in failures(broken)["image.layer"]
    fewer = saved(image, archive, Layers=["0/layer.tar", "1/layer.tar", "3/layer.tar"])
    assert failures(fewer)["image.layer"] == ["layer 3 (wheels alpha, beta) is not in the image, which has 3 layers"]
    gone = saved(image, archive, Layers=["0/layer.tar", "1/layer.tar", "9/layer.tar", "3/layer.tar"])
    assert failures(gone)["image.layer"] == ["layer 3 (wheels alpha, beta): the blob is missing"]
    config = saved(image, archive, files={"config.json": json.dumps(image.config()).encode()})
    assert failures(config) == {"image.config": ["the config is not the locked one"]}
    assert "image.config" in failures(saved(image, archive, Config="nowhere.json"))
    assert "image.config" in failures(saved(image, archive, files={"config.json": b"{}"}))


@pytest.mark.parametrize(
    "listed", [b"", b"[]", b"{}", b"[1, 2]", b'[{"Config": 1, "Layers": []}]', b'[{"Layers": [3]}]']
)
def test_a_saved_image_whose_list_names_nothing(tmp_path: Path, image: LockedImage, listed: bytes) -> None:
    with pytest.raises(RefusedError, match="does not name one image"):
        saved(image, tmp_path / "x.tar", files={"manifest.json": listed})
