"""Bases out of layouts and a real registry: right ones, and ones that lie in one place."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.hostile_registry import Answer, Request, hostile
from support.made_images import DOCKER, OCI, ROOT, MadeImage, blob, make_image, make_index, offer, tar_of
from support.registry import Registry

from mlenv.errors import (
    DigestMismatchError,
    ManifestError,
    RefusedError,
    ResolutionError,
    UnavailableError,
    UsageError,
)
from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.oci import compression
from mlenv.registry import client
from mlenv.sources.bases.images import BaseImage, fetch_layers, image_facts, latest_digest, open_base, open_layer
from mlenv.sources.cache import Cache

Finder = Callable[[str], Path]
AMD64, ARM64 = Platform.LINUX_AMD64, Platform.LINUX_ARM64


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSES", (0.0, 0.0))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def push(skopeo: Path, layout: Path, tag: str, to: str) -> None:
    subprocess.run(
        [
            skopeo,
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
            f"oci:{layout}:{tag}",
            f"docker://{to}",
        ],
        check=True,
        capture_output=True,
    )


def base(tmp_path: Path, cache: Cache, digest: str, platform: Platform = AMD64) -> BaseImage:
    return open_base(f"oci:base@{digest}", platform, cache, project=tmp_path)


def read_all(found: BaseImage) -> None:
    fetch_layers(found)
    for layer in found.layers:
        with open_layer(found, layer) as file:
            assert Digest.of(file.read()) == layer.digest


def check(found: BaseImage, made: MadeImage, cache: Cache) -> None:
    """Whether every part of a base is the image that was made, bytes included."""
    assert str(found.manifest_digest) == made.manifest
    assert hashlib.sha256(found.config_bytes).hexdigest() == made.config.removeprefix("sha256:")
    assert tuple(str(layer.digest) for layer in found.layers) == made.layers
    read_all(found)
    facts = image_facts(found, cache)
    assert (facts.python, facts.libc_version) == ("3.12.4", "2.36")


@pytest.mark.parametrize("compression", ["gzip", "members", "zstd", "tar"])
@pytest.mark.parametrize("family", [OCI, DOCKER])
def test_a_base_in_a_layout_is_used_in_place(tmp_path: Path, cache: Cache, compression: str, family: str) -> None:
    made = make_image(tmp_path / "base", compression=compression, family=family)
    found = base(tmp_path, cache, made.manifest)
    check(found, made, cache)
    assert found.index is None
    assert all(layer.media_type.startswith("application/vnd.oci.image.layer.v1.tar") for layer in found.layers)
    assert not (cache.root / "blobs").exists()


@pytest.mark.parametrize("variant", ["arm64", "arm64/v8"])
def test_an_index_picks_the_platform(tmp_path: Path, cache: Cache, variant: str) -> None:
    amd64 = make_image(tmp_path / "base")
    arm64 = make_image(tmp_path / "base", [tar_of({"arm": b""})], architecture="arm64", tag="2")
    index = make_index(tmp_path / "base", [(amd64, "unknown"), (arm64, variant), (amd64, "amd64")])
    for platform, made in ((AMD64, amd64), (ARM64, arm64)):
        found = base(tmp_path, cache, index, platform)
        assert str(found.index) == index
        assert str(found.manifest_digest) == made.manifest
        assert found.platform is platform


def test_a_base_in_a_registry_is_fetched_once_and_then_needs_no_network(
    tmp_path: Path, cache: Cache, registry: Registry, require_tool: Finder
) -> None:
    made = make_image(tmp_path / "base", [tar_of(ROOT), tar_of({"more": b"x" * 3_000_000})])
    arm64 = make_image(tmp_path / "base", [tar_of({"arm": b""})], architecture="arm64", tag="2")
    index = make_index(tmp_path / "base", [(made, "amd64"), (arm64, "arm64")])
    push(require_tool("skopeo"), tmp_path / "base", "all", f"{registry.host}/bases/index:1")
    assert str(latest_digest(f"{registry.host}/bases/index:1", project=tmp_path)) == index
    reference = f"{registry.host}/bases/index:1@{index}"
    for _ in range(2):
        check(open_base(reference, AMD64, cache, project=tmp_path), made, cache)
    elsewhere = reference.replace(registry.host, "registry.invalid")
    check(open_base(elsewhere, AMD64, cache, project=tmp_path, offline=True), made, cache)
    with pytest.raises(UnavailableError, match="not in the cache"):
        open_base(elsewhere, ARM64, cache, project=tmp_path, offline=True)


def test_dockers_own_kind_of_manifest_in_a_registry(
    tmp_path: Path, cache: Cache, registry: Registry, require_tool: Finder
) -> None:
    made = make_image(tmp_path / "base")
    to = f"docker://{registry.host}/bases/schema2:1"
    copy = [str(require_tool("skopeo")), "copy", "--format=v2s2", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{tmp_path / 'base'}:1", to], check=True, capture_output=True)
    digest = latest_digest(f"{registry.host}/bases/schema2:1", project=tmp_path)
    found = open_base(f"{registry.host}/bases/schema2@{digest}", AMD64, cache, project=tmp_path)
    assert str(found.manifest_digest) == str(digest) != made.manifest
    assert image_facts(found, cache).python == "3.12.4"


def test_a_reference_without_digest_says_which_digest_it_has_now(
    tmp_path: Path, cache: Cache, registry: Registry, require_tool: Finder
) -> None:
    made = make_image(tmp_path / "base")
    push(require_tool("skopeo"), tmp_path / "base", "1", f"{registry.host}/bases/unpinned:1")
    for reference in (f"{registry.host}/bases/unpinned:1", "oci:base:1", "oci:base"):
        with pytest.raises(ManifestError, match=f"it is {made.manifest} now") as caught:
            open_base(reference, AMD64, cache, project=tmp_path)
        hint = caught.value.problems[0].hint
        assert f'image = "{reference}@{made.manifest}"' in hint
        pinned = re.findall('"(.*)"', hint)[0]
        assert str(open_base(pinned, AMD64, cache, project=tmp_path).manifest_digest) == made.manifest


def test_a_reference_without_digest_and_without_network(tmp_path: Path, cache: Cache) -> None:
    for offline in (False, True):
        with pytest.raises(ManifestError, match=r"has no digest$"):
            open_base("127.0.0.1:1/x:1", AMD64, cache, project=tmp_path, offline=offline)


@pytest.mark.parametrize(
    "reference", ["", "Python", "oci:", "oci:@sha256:" + "0" * 64, "oci:base@sha256:0", "python@md5:0", "oci-archive:x"]
)
def test_what_names_no_base(tmp_path: Path, cache: Cache, reference: str) -> None:
    with pytest.raises(ManifestError, match="does not name a base image"):
        open_base(reference, AMD64, cache, project=tmp_path)


# A base that isn't for us


def test_a_base_of_another_platform(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base", architecture="arm64")
    with pytest.raises(ResolutionError, match="the base is for linux/arm64, not linux/amd64"):
        base(tmp_path, cache, made.manifest)


def test_an_index_without_the_platform_says_what_it_has(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base")
    index = make_index(tmp_path / "base", [(made, "s390x"), (made, "arm64/v9"), (made, "amd64/v4")])
    with pytest.raises(ResolutionError, match="no image for linux/amd64") as caught:
        base(tmp_path, cache, index)
    assert caught.value.problems[0].hint == "it has linux/amd64/v4, linux/arm64/v9, linux/s390x"


def test_another_architectures_manifest_under_the_index(tmp_path: Path, cache: Cache) -> None:
    arm64 = make_image(tmp_path / "base", architecture="arm64")
    index = make_index(tmp_path / "base", [(arm64, "amd64")])
    with pytest.raises(RefusedError, match="another architecture's manifest under the index"):
        base(tmp_path, cache, index)


def test_more_layers_than_an_image_of_ours_may_have(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base", [tar_of({str(number): b""}) for number in range(65)])
    with pytest.raises(ResolutionError, match="65 layers; 64 is the limit"):
        base(tmp_path, cache, made.manifest)


LAYER = {"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": "sha256:" + "0" * 64, "size": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"urls": ["https://example.com/layer"]}, "non-distributable"),
        ({"mediaType": f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip"}, "non-distributable"),
        ({"mediaType": f"{OCI}.layer.nondistributable.v1.tar+gzip"}, "non-distributable"),
        ({"mediaType": f"{OCI}.layer.v1.tar+gzip+encrypted"}, "unknown kind"),
        ({"mediaType": "application/vnd.in-toto+json"}, "unknown kind"),
    ],
)
def test_layers_that_cannot_be_copied(tmp_path: Path, cache: Cache, change: dict[str, Any], message: str) -> None:
    made = make_image(tmp_path / "base", manifest={"layers": [LAYER | change]})
    with pytest.raises(ResolutionError, match=message):
        base(tmp_path, cache, made.manifest)


def test_an_artifact_that_is_no_image(tmp_path: Path, cache: Cache) -> None:
    config = blob(tmp_path / "base", b"{}", "application/vnd.oci.empty.v1+json")
    made = make_image(tmp_path / "base", manifest={"config": config})
    with pytest.raises(ResolutionError, match="not a container image"):
        base(tmp_path, cache, made.manifest)


# A base that lies


def test_a_config_with_another_number_of_layers(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base", config={"rootfs": {"type": "layers", "diff_ids": []}})
    with pytest.raises(RefusedError, match="0 diff_ids for 1 layers"):
        base(tmp_path, cache, made.manifest)


def test_a_layer_whose_tar_is_not_the_one_of_the_config(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base", config={"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}})
    with pytest.raises(DigestMismatchError, match="the base's config says sha256:0000"):
        image_facts(base(tmp_path, cache, made.manifest), cache)


def test_an_index_in_an_index(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base")
    inner = make_index(tmp_path / "base", [(made, "amd64")])
    size = (tmp_path / "base" / "blobs" / inner.replace(":", "/")).stat().st_size
    descriptor = {"mediaType": f"{OCI}.index.v1+json", "digest": inner, "size": size}
    outer = make_index(tmp_path / "base", [(MadeImage(made.layout, inner, "", (), descriptor), "amd64")])
    with pytest.raises(RefusedError, match="another index"):
        base(tmp_path, cache, outer)


def test_an_index_that_lies_about_a_manifests_size(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base")
    made.descriptor["size"] += 1
    with pytest.raises(RefusedError, match="its index says"):
        base(tmp_path, cache, make_index(tmp_path / "base", [(made, "amd64")]))


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schemaVersion": 1}', b'{"a": 1, "a": 2}', b"\xff", b"{}"])
def test_a_manifest_that_is_none(tmp_path: Path, cache: Cache, content: bytes) -> None:
    described = blob(tmp_path / "base", content, f"{OCI}.manifest.v1+json")
    offer(tmp_path / "base", described)
    with pytest.raises(RefusedError, match="can't be read"):
        base(tmp_path, cache, described["digest"])


def test_a_changed_blob_of_a_layout_is_refused_when_it_is_used(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base")
    for digest in (made.layers[0], made.config, made.manifest):
        path = tmp_path / "base" / "blobs" / digest.replace(":", "/")
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DigestMismatchError):
            image_facts(base(tmp_path, cache, made.manifest), cache)
        path.unlink()
        with pytest.raises(UnavailableError, match="has no blob"):
            image_facts(base(tmp_path, cache, made.manifest), cache)
        path.write_bytes(content)


def test_a_layout_that_is_not_there(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        base(tmp_path, cache, "sha256:" + "0" * 64)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_registry_that_lies_about_one_part(tmp_path: Path, cache: Cache, part: str) -> None:
    made = make_image(tmp_path / "base", [tar_of(ROOT | {"padding": os.urandom(100_000)})])
    lie = {"manifest": made.manifest, "config": made.config, "layer": made.layers[0]}[part]

    def answer(request: Request) -> Answer:
        digest = request.path.rpartition("/")[2]
        content = (tmp_path / "base" / "blobs" / digest.replace(":", "/")).read_bytes()
        return Answer(body=content[:-1] + b" " if digest == lie else content)

    def use(host: str) -> None:
        image_facts(open_base(f"{host}/x@{made.manifest}", AMD64, cache, project=tmp_path), cache)

    with hostile(answer) as server:
        with pytest.raises(DigestMismatchError):
            use(server.host)
        assert not cache.has(Digest.parse(lie))
        lie = ""
        use(server.host)


def test_a_poisoned_cache_is_not_believed(tmp_path: Path, cache: Cache) -> None:
    made = make_image(tmp_path / "base")

    def answer(request: Request) -> Answer:
        return Answer(
            body=(tmp_path / "base" / "blobs" / request.path.rpartition("/")[2].replace(":", "/")).read_bytes()
        )

    with hostile(answer) as server:
        reference = f"{server.host}/x@{made.manifest}"
        fetch_layers(open_base(reference, AMD64, cache, project=tmp_path))
        for digest in (made.manifest, made.config, made.layers[0]):
            path = cache.path(Digest.parse(digest))
            path.chmod(0o644)
            path.write_bytes(b"poison")
            with pytest.raises(DigestMismatchError, match="cached copy"):
                read_all(open_base(reference, AMD64, cache, project=tmp_path))
            check(open_base(reference, AMD64, cache, project=tmp_path), made, cache)


def test_a_decompression_bomb_is_stopped(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_SMALL", 1 << 20)
    for kind in ("gzip", "zstd"):
        made = make_image(tmp_path / "base", [tar_of({"bomb": bytes(20 << 20)})], compression=kind)
        with pytest.raises(RefusedError, match="decompression bomb"):
            image_facts(base(tmp_path, cache, made.manifest), cache)


def _this_python(tmp_path: Path) -> bytes:
    """This machine's interpreter, C library and what they link to, as the tar of a layer."""
    root = tmp_path / "root"
    interpreter = Path(sys.executable).resolve()
    wanted = [interpreter]
    if library := sysconfig.get_config_var("INSTSONAME"):
        candidates = [Path(str(sysconfig.get_config_var("LIBDIR"))) / library, *Path("/usr/lib").glob(f"*/{library}")]
        wanted += [path for path in candidates if path.is_file()][:1]
    linked = subprocess.run(["ldd", interpreter], capture_output=True, text=True, check=True).stdout
    wanted += [Path(path) for path in re.findall(r"(/\S*/libc\.so\.6)", linked)]
    for path in wanted:
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), target)
    return subprocess.run(["tar", "-C", root, "-cf-", "."], capture_output=True, check=True).stdout


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="this machine's own interpreter is put into an amd64 image")
def test_the_facts_of_a_real_python(tmp_path: Path, cache: Cache) -> None:
    interpreter = Path(sys.executable).resolve()
    made = make_image(
        tmp_path / "base", [_this_python(tmp_path)], compression="tar", env=[f"PATH={interpreter.parent}"]
    )
    facts = image_facts(base(tmp_path, cache, made.manifest), cache)
    assert facts.interpreter == str(interpreter)
    assert facts.python == sys.version.split()[0].rstrip("+")
    assert ("glibc", facts.libc_version) == tuple(os.confstr("CS_GNU_LIBC_VERSION").split())  # type: ignore[union-attr]


def test_facts_are_remembered_for_what_they_depend_on(tmp_path: Path, cache: Cache) -> None:
    two = ROOT | {"usr/bin/python3.11": ROOT["usr/local/bin/python3.12"]}
    made = make_image(tmp_path / "base", [tar_of(two)])
    found = base(tmp_path, cache, made.manifest)
    first = image_facts(found, cache)
    (tmp_path / "base" / "blobs" / made.layers[0].replace(":", "/")).unlink()
    assert image_facts(found, cache) == first
    with pytest.raises(UnavailableError):
        image_facts(found, cache, wanted="3.11")
    assert json.loads(json.dumps(first.model_dump())) == first.model_dump()
