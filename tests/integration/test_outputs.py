"""Where a finished image can be written, and whether others find it there: skopeo, podman, engines old and new."""

import gc
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import Engine
from support.hostile_registry import Answer, Request, hostile
from support.made_images import make_image, make_index, tar_of
from support.tars import extract

from mlenv.build.outputs import check_output, write_output
from mlenv.errors import DigestMismatchError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.reference import Output
from mlenv.oci.validate import validate_layout

Finder = Callable[[str], Path]
NAME = "sentiment:1.4.0"


@pytest.fixture
def image(tmp_path: Path) -> Descriptor:
    """An image of two layers in `tmp_path/staging`."""
    make_image(tmp_path / "staging", [tar_of({"etc": None, "etc/a": b"1"}), tar_of({"b": b"2" * 100_000})])
    return Layout(tmp_path / "staging").find().model_copy(update={"annotations": {}})


def write(tmp_path: Path, image: Descriptor, output: str) -> None:
    write_output(tmp_path / "staging", image, NAME, Output.parse(output))


def skopeo_digest(skopeo: Path, source: str) -> str:
    """The digest that skopeo sees, once it has copied the whole image and so read every blob."""
    inspected = subprocess.run([skopeo, "inspect", "--raw", source], check=True, capture_output=True).stdout
    return "sha256:" + hashlib.sha256(inspected).hexdigest()


def unpacked(archive: Path, folder: Path) -> Layout:
    with tarfile.open(archive) as tar:
        extract(tar, folder)
    return Layout(folder)


def test_a_layout(tmp_path: Path, image: Descriptor, require_tool: Finder) -> None:
    out = tmp_path / "out"
    write(tmp_path, image, f"oci:{out}")
    assert validate_layout(Layout(out)) == []
    assert Layout(out).find("1.4.0").annotations[CONTAINERD_NAME] == "docker.io/library/sentiment:1.4.0"
    write(tmp_path, image, f"oci:{out}:other")
    for source in (f"oci:{out}:1.4.0", f"oci:{out}:other"):
        assert skopeo_digest(require_tool("skopeo"), source) == str(image.digest)


def test_a_layout_keeps_what_others_put_there(tmp_path: Path, image: Descriptor, require_tool: Finder) -> None:
    made = make_image(tmp_path / "theirs", [tar_of({"c": b"3"})], tag="theirs")
    skopeo = require_tool("skopeo")
    copy = [str(skopeo), "copy", f"oci:{tmp_path / 'theirs'}:theirs", f"oci:{tmp_path / 'out'}:theirs"]
    subprocess.run(copy, check=True, capture_output=True)
    write(tmp_path, image, f"oci:{tmp_path / 'out'}")
    assert skopeo_digest(skopeo, f"oci:{tmp_path / 'out'}:theirs") == made.manifest
    assert skopeo_digest(skopeo, f"oci:{tmp_path / 'out'}:1.4.0") == str(image.digest)


def test_an_oci_archive(tmp_path: Path, image: Descriptor, require_tool: Finder) -> None:
    write(tmp_path, image, f"oci-archive:{tmp_path / 'x.tar'}")
    assert skopeo_digest(require_tool("skopeo"), f"oci-archive:{tmp_path / 'x.tar'}:1.4.0") == str(image.digest)
    layout = unpacked(tmp_path / "x.tar", tmp_path / "x")
    assert validate_layout(layout) == []
    write(tmp_path, image, f"oci-archive:{tmp_path / 'y.tar'}:mine")
    assert unpacked(tmp_path / "y.tar", tmp_path / "y").find("mine").digest == image.digest


def test_an_archive_is_the_same_whenever_and_wherever_it_is_written(tmp_path: Path, image: Descriptor) -> None:
    previous = os.umask(0o077)
    try:
        write(tmp_path, image, f"oci-archive:{tmp_path / 'x.tar'}")
    finally:
        os.umask(previous)
    os.utime(tmp_path / "staging" / "index.json", (0, 0))
    write(tmp_path, image, f"oci-archive:{tmp_path / 'y.tar'}")
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert {(member.uid, member.gid, member.uname, member.mtime) for member in tar} == {(0, 0, "", 315532800)}
    assert (tmp_path / "x.tar").stat().st_mode & 0o777 == 0o644


def test_only_what_belongs_to_the_image_is_in_its_archive(tmp_path: Path, image: Descriptor) -> None:
    (tmp_path / "staging" / "blobs" / "sha256" / ("f" * 64)).write_bytes(b"something else")
    write(tmp_path, image, f"oci-archive:{tmp_path / 'x.tar'}")
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert not any("f" * 64 in name for name in tar.getnames())


def test_a_docker_archive(tmp_path: Path, image: Descriptor, require_tool: Finder) -> None:
    write(tmp_path, image, f"docker-archive:{tmp_path / 'x.tar'}:team/app:2")
    inspect = [str(require_tool("skopeo")), "inspect", "--config", f"docker-archive:{tmp_path / 'x.tar'}:team/app:2"]
    config = json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)
    assert len(config["rootfs"]["diff_ids"]) == 2
    layout = unpacked(tmp_path / "x.tar", tmp_path / "x")
    assert validate_layout(layout) == []
    assert layout.find("2").annotations[CONTAINERD_NAME] == "docker.io/team/app:2"
    write(tmp_path, image, f"docker-archive:{tmp_path / 'y.tar'}")
    (entry,) = json.loads(unpacked(tmp_path / "y.tar", tmp_path / "y").path.joinpath("manifest.json").read_text())
    assert entry["RepoTags"] == [NAME]
    assert all((tmp_path / "y" / layer).is_file() for layer in (entry["Config"], *entry["Layers"]))


def test_several_platforms_in_one_layout_and_one_archive(tmp_path: Path, require_tool: Finder) -> None:
    staging = tmp_path / "staging"
    amd64, arm64 = make_image(staging), make_image(staging, [tar_of({"a": b"1"})], architecture="arm64", tag="2")
    digest = Digest.parse(make_index(staging, [(amd64, "amd64"), (arm64, "arm64")]))
    index = Layout(staging).find(digest=digest).model_copy(update={"annotations": {}})
    for output in (f"oci:{tmp_path / 'out'}", f"oci-archive:{tmp_path / 'x.tar'}"):
        write(tmp_path, index, output)
        assert skopeo_digest(require_tool("skopeo"), f"{output}:1.4.0") == str(digest)
    assert validate_layout(Layout(tmp_path / "out")) == []
    for output in (f"docker-archive:{tmp_path / 'y.tar'}", "docker-daemon:app:1"):
        with pytest.raises(UsageError, match="holds one platform") as caught:
            write(tmp_path, index, output)
        assert "--platform" in caught.value.problems[0].hint
    assert not (tmp_path / "y.tar").exists()


def test_a_registry_is_no_output_yet() -> None:
    with pytest.raises(UsageError, match="registry") as caught:
        check_output(Output.parse("docker://example.com/app:1"), platforms=1)
    assert "skopeo copy" in caught.value.problems[0].hint


# Failures leave what was there


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_a_blob_that_was_changed_leaves_the_old_file(tmp_path: Path, image: Descriptor, kind: str) -> None:
    target = tmp_path / "x.tar"
    target.write_bytes(b"old")
    layer = max((tmp_path / "staging" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(bytes(layer.stat().st_size))
    with pytest.raises(DigestMismatchError):
        write(tmp_path, image, f"{kind}:{target}")
    assert target.read_bytes() == b"old"
    with pytest.raises(DigestMismatchError):
        write(tmp_path, image, f"oci:{tmp_path / 'out'}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["staging", "x.tar"]


def test_a_full_disk_leaves_no_half_of_an_archive(tmp_path: Path, full_disk: Path) -> None:
    make_image(tmp_path / "staging", [tar_of({"big": os.urandom(8 << 20)})], compression="tar")
    image = Layout(tmp_path / "staging").find()
    for output in (f"oci-archive:{full_disk}/x.tar", f"oci:{full_disk}/out"):
        with pytest.raises(UnavailableError, match="No space left"):
            write(tmp_path, image, output)
        assert list(full_disk.iterdir()) == []


@pytest.mark.parametrize("output", ["oci-archive:{}/missing/x.tar", "docker-archive:{}", "oci:{}/file/out"])
def test_a_place_that_cannot_be_written(tmp_path: Path, image: Descriptor, output: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnavailableError, match="cannot write"):
        write(tmp_path, image, output.format(tmp_path))
    assert (tmp_path / "file").read_text() == "mine"


# Engines


def test_an_engine_has_the_image_under_its_name_and_it_is_the_one(
    all_engines: Engine, tiny_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", all_engines.url)
    image = Layout(tiny_image).find()
    name = "mlenv-test/outputs:1"
    write_output(tiny_image, image, NAME, Output.parse(f"docker-daemon:{name}"))
    found = all_engines.client().images.get(name)
    config = json.loads(Layout(tiny_image).read_blob(image.digest))["config"]["digest"]
    assert found.id == (str(image.digest) if all_engines.store == "containerd" else config)
    assert all_engines.run(name) == "tiny\n"


def test_every_engine_loads_the_archive_under_its_name(tmp_path: Path, all_engines: Engine, tiny_image: Path) -> None:
    write_output(
        tiny_image,
        Layout(tiny_image).find(),
        NAME,
        Output.parse(f"docker-archive:{tmp_path / 'x.tar'}:mlenv-test/archive:1"),
    )
    all_engines.load(tmp_path / "x.tar")
    assert all_engines.run("mlenv-test/archive:1") == "tiny\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker-py leaves its socket open
def test_an_engine_that_is_not_there(tmp_path: Path, image: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in (f"unix://{tmp_path}/no.sock", "tcp://127.0.0.1:1"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(UnavailableError, match="does not answer") as caught:
            write(tmp_path, image, "docker-daemon:app:1")
        assert "DOCKER_HOST" in caught.value.problems[0].hint
        del caught
        gc.collect()


def engine_answers(load: bytes, identifier: str) -> Callable[[Request], Answer]:
    """Enough of an engine's API for one image to be loaded, and to lie about it."""

    def answer(request: Request) -> Answer:
        if request.path.endswith("/version"):
            return Answer(body=b'{"ApiVersion": "1.41"}', headers={"Content-Type": "application/json"})
        if "/images/load" in request.path:
            return Answer(body=load, headers={"Content-Type": "application/json"}, chunked=True)
        body = json.dumps({"Id": identifier, "RepoTags": ["app:1"]}).encode()
        return Answer(body=body, headers={"Content-Type": "application/json"})

    return answer


def test_an_engine_that_reports_an_error_in_its_stream(
    tmp_path: Path, image: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = b'{"status": "Loading"}\n{"errorDetail": {"message": "no space left on device"}, "error": "no space"}\n'
    with hostile(engine_answers(stream, "sha256:" + "0" * 64)) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{engine.host}")
        with pytest.raises(UnavailableError, match="did not load the image: no space left on device"):
            write(tmp_path, image, "docker-daemon:app:1")


def test_an_engine_that_has_something_else_under_the_name(
    tmp_path: Path, image: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile(engine_answers(b'{"stream": "Loaded image: app:1"}\n', "sha256:" + "0" * 64)) as engine:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{engine.host}")
        with pytest.raises(DigestMismatchError, match="neither the image's config nor its manifest"):
            write(tmp_path, image, "docker-daemon:app:1")


def test_podman_takes_the_archives(
    tmp_path: Path, image: Descriptor, require_tool: Finder, request: pytest.FixtureRequest
) -> None:
    short = tempfile.TemporaryDirectory(prefix="podman")  # podman refuses a longer path
    request.addfinalizer(short.cleanup)
    podman = [
        str(require_tool("podman")),
        f"--root={short.name}/p",
        f"--runroot={short.name}/r",
        "--storage-driver=vfs",
    ]
    write(tmp_path, image, f"docker-archive:{tmp_path / 'd.tar'}:team/app:2")
    write(tmp_path, image, f"oci-archive:{tmp_path / 'o.tar'}")
    for archive in ("d.tar", "o.tar"):
        loaded = subprocess.run(
            [*podman, "load", "-i", tmp_path / archive], check=False, capture_output=True, text=True
        )
        assert loaded.returncode == 0, loaded.stderr
    listed = subprocess.run(
        [*podman, "images", "--format={{.Names}}"], check=True, capture_output=True, text=True
    ).stdout
    assert "docker.io/team/app:2" in listed
    assert REF_NAME not in listed
