"""`mlenv verify oci:… | oci-archive:…` as its users run it: what it says and how it ends."""

import gzip
import json
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.hostile_registry import Answer, Request, hostile
from support.refusals import Project, Result, assert_refused
from support.small_projects import copy_project

UNSIGNED = "--no-signature"


@pytest.fixture(scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory, _locked: Project) -> Project:
    project = copy_project(_locked, tmp_path_factory.mktemp("built"))
    for output in ("oci:out", "oci-archive:out.tar"):
        result = project.run("build", "--output", output)
        assert result.status == 0, result.err
    return project


@pytest.fixture
def built(_built: Project, tmp_path: Path) -> Project:
    """A project that was locked and built, as a layout and as an archive."""
    return copy_project(_built, tmp_path / "built")


def blobs(project: Project) -> list[Path]:
    return sorted((project.root / "out" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def assert_differs(result: Result, *says: str) -> None:
    assert result.status == 1, result.err
    for text in ("FAILED", *says):
        assert text in " ".join(result.out.split())  # the report breaks long lines
    assert "Traceback" not in result.out + result.err


@pytest.mark.parametrize("target", ["oci:out", "oci:out:1", "oci-archive:out.tar", "oci-archive:out.tar:1"])
def test_what_was_built_is_what_was_locked(built: Project, target: str) -> None:
    result = built.run("verify", target, UNSIGNED)
    assert result.status == 0, result.out
    assert "image.manifest  the manifest is as locked" in result.out
    assert "4 layers agree" in result.out
    assert result.changed == ()


def test_the_report_of_a_right_image_as_json(built: Project) -> None:
    report = json.loads(built.run("verify", "oci:out", UNSIGNED, "--json").out)
    assert (report["ok"], report["exit_status"]) == (True, 0)
    layers = [one for one in report["findings"] if one["check"] == "image.layer"]
    assert len(layers) == 4
    assert all(one["expected"] == one["observed"] and one["trusted"] == "mathematics" for one in layers)
    assert all(one["source"] == f"oci:out {one['observed']}" for one in layers)


def test_a_flipped_bit_in_any_blob(built: Project) -> None:
    for path in blobs(built):
        flip(path, path.stat().st_size // 2)
        assert_differs(built.run("verify", "oci:out", UNSIGNED), path.name, "has other bytes than its name says")
        flip(path, path.stat().st_size // 2)
    assert built.run("verify", "oci:out", UNSIGNED).status == 0


def test_a_blob_that_is_missing_and_a_flipped_bit_in_an_archive(built: Project) -> None:
    archive = built.root / "out.tar"
    with tarfile.open(archive) as tar:
        largest = max(tar, key=lambda member: member.size)
    flip(archive, largest.offset_data + largest.size // 2)
    assert_differs(built.run("verify", "oci-archive:out.tar", UNSIGNED), Path(largest.name).name, "other bytes")
    blobs(built)[-1].unlink()
    assert_differs(built.run("verify", "oci:out", UNSIGNED), "the blob is missing")


def test_the_image_of_another_lock(built: Project) -> None:
    built.edit("print(1)", "print(2)", "app/main.py")
    assert built.run("lock").status == 0
    result = built.run("verify", "oci:out", UNSIGNED)
    assert_differs(result, "the manifest is not the locked one", "layer 4 (files /app) is another one")
    assert_differs(result, "the config's Labels dev.mlenv.inputs is not as locked")
    assert "layer 1 (base image) is as locked" in result.out


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("oci:absent", 2, ["absent", "there is no such folder"]),
        ("oci:out:2", 2, ["no image 2", "choose one of: 1 sha256:"]),
        ("oci:app", 2, ["app", "not an OCI layout"]),
        ("oci-archive:absent.tar", 6, ["oci-archive:absent.tar", "No such file"]),
        ("oci-archive:mlenv.toml", 7, ["mlenv.toml", "not an archive to rely on"]),
        ("oci-archive:app", 7, ["app", "not a plain file"]),
        ("docker-archive:out.tar", 2, ["cannot verify docker-archive:out.tar", "oci-archive:FILE"]),
        ("docker://example.com/small:1", 2, ["`skopeo copy docker://example.com/small:1 oci:copy`"]),
        ("out", 2, ["'out' does not name an image"]),
        ("docker-daemon:small:1", 6, ["the engine does not answer", "DOCKER_HOST"]),
    ],
)
def test_what_cannot_be_looked_at(built: Project, target: str, status: int, says: list[str]) -> None:
    built.environ["DOCKER_HOST"] = f"unix://{built.root}/no.sock"
    assert_refused(built.run("verify", target, UNSIGNED), status=status, says=says)


def test_two_images_in_a_layout(built: Project) -> None:
    assert built.run("build", "--output", "oci:out:mine").status == 0
    assert built.run("verify", "oci:out", UNSIGNED).status == 0  # two names of one image
    built.edit("print(1)", "print(2)", "app/main.py")
    assert built.run("lock").status == 0
    assert built.run("build", "--output", "oci:out:new").status == 0
    assert_refused(built.run("verify", "oci:out", UNSIGNED), status=2, says=["several images", "new sha256:"])
    result = built.run("verify", "oci:out:new", UNSIGNED)
    assert result.status == 0
    assert "that the image does not name" in " ".join(result.out.split())
    assert_differs(built.run("verify", "oci:out:mine", UNSIGNED))


def test_a_layer_that_grows_without_end_stays_out_of_memory(built: Project) -> None:
    """The manifest is replaced, too: nothing but the unpacking itself could notice."""
    folder = built.root / "out"
    bomb = folder / "bomb"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(1100):
            file.write(bytes(1 << 20))
    layer = blobs(built)[-1]
    bomb.replace(layer)
    limited = built.run("verify", "oci:out", UNSIGNED, before=["prlimit", "--data=300000000"])
    assert_differs(limited, layer.name)


def engine(identity: str, saved: bytes, status: int = 200) -> Callable[[Request], Answer]:
    """Enough of an engine's API to ask it for one image, of which it says and hands out what it likes."""

    def answer(request: Request) -> Answer:
        json_ = {"Content-Type": "application/json"}
        if request.path.endswith("/version"):
            return Answer(body=b'{"ApiVersion": "1.41"}', headers=json_)
        if request.path.endswith("/get"):
            return Answer(status=status, body=saved, headers={"Content-Type": "application/x-tar"})
        return Answer(body=json.dumps({"Id": identity, "RepoTags": ["small:1"]}).encode(), headers=json_)

    return answer


@pytest.mark.parametrize(
    ("identity", "spoil", "status", "says"),
    [
        ("manifest", lambda tar: tar, 0, "the manifest is as locked"),
        ("sha256:" + "0" * 64, lambda tar: tar, 4, "manifest.json does not name one image"),
        ("config", lambda tar: tar, 4, "manifest.json does not name one image"),
        ("manifest", lambda tar: tar[:4000], 4, "not an archive to rely on: the tar is truncated"),
        ("manifest", lambda _: b"", 4, "does not name one image"),
        ("manifest", lambda _: b"garbage" * 100, 4, "not an archive to rely on"),
        ("manifest", lambda tar: tar + b'{"errorDetail":{"message":"x"},"error":"disk gone"}\r\n', 4, "disk gone"),
        ("manifest", gzip.compress, 4, "compressed with gzip"),
        ("not a digest", lambda tar: tar, 6, "the engine's id of the image"),
    ],
)
def test_an_engine_that_lies_or_breaks_off(
    built: Project, identity: str, spoil: Callable[[bytes], bytes], status: int, says: str
) -> None:
    locked = tomllib.loads(built.lock.read_text())["platforms"][0]["image"]
    saved = spoil((built.root / "out.tar").read_bytes())
    with hostile(engine(locked.get(identity, identity), saved)) as served:
        environ = {"DOCKER_HOST": f"tcp://{served.host}"}
        result = built.run("verify", "docker-daemon:small:1", UNSIGNED, environ=environ)
    assert result.status == status, result
    assert says in " ".join((result.out + result.err).split())
    assert "Traceback" not in result.out + result.err


def test_an_engine_whose_id_is_not_that_of_the_config_that_it_hands_out(built: Project) -> None:
    """What it hands out is measured all the same: its id counts for nothing."""
    assert built.run("build", "--output", "docker-archive:saved.tar").status == 0
    with hostile(engine("sha256:" + "0" * 64, (built.root / "saved.tar").read_bytes())) as served:
        environ = {"DOCKER_HOST": f"tcp://{served.host}"}
        result = built.run("verify", "docker-daemon:small:1", UNSIGNED, environ=environ)
    assert_differs(result, "the engine calls the image sha256:000", "and its config has the digest")


def test_an_engine_that_answers_with_an_error(built: Project) -> None:
    answer = engine("sha256:" + "0" * 64, b'{"message": "no space left on device"}', status=500)
    with hostile(answer) as served:
        environ = {"DOCKER_HOST": f"tcp://{served.host}"}
        result = built.run("verify", "docker-daemon:small:1", UNSIGNED, environ=environ)
    assert result.status == 4
    assert "the engine did not hand the image out" in result.out
