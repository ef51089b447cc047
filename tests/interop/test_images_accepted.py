"""Engines, registries and the tools of others take our images, call them as the lock does, and run them."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from support.engines import Engine
from support.environments import AMD64, ARM64, BuiltEnvironment
from support.images import IMAGE_MANIFEST
from support.programs import require_root
from support.registry import Registry

from mlenv.model.digest import Digest

Finder = Callable[[str], Path]

# Everything is printed as one JSON document. $1 is an ONNX model in hexadecimal.
COMPUTE = """
import json, os, ssl, sys, zoneinfo, datetime
import jax, numpy, onnxruntime, sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

a = numpy.arange(6.0).reshape(2, 3)
x, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=500).fit(x, y)
gradient = jax.jit(jax.grad(lambda v: (v**3).sum()))(jax.numpy.array([1.0, 2.0, 3.0]))
session = onnxruntime.InferenceSession(bytes.fromhex(sys.argv[1]), providers=["CPUExecutionProvider"])
(product,) = session.run(None, {"x": numpy.array([[1, 2]], numpy.float32)})
summer = datetime.datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
try:
    open("/opt/venv/written", "w")
except OSError as error:
    refused = error.strerror
print(json.dumps({
    "matmul": (a @ a.T).tolist(),
    "score": model.score(x, y),
    "gradient": gradient.tolist(),
    "onnx": product.tolist(),
    "versions": [numpy.__version__, sklearn.__version__, jax.__version__, onnxruntime.__version__],
    "certificates": len(ssl.create_default_context().get_ca_certs()),
    "offset": summer.utcoffset().total_seconds(),
    "prefix": sys.prefix,
    "executable": sys.executable,
    "user": [os.getuid(), os.getgid()],
    "interfaces": [name for name in os.listdir("/sys/class/net") if name == "eth0"],
    "refused": refused,
}))
"""


def run(*command: str | Path) -> str:
    """What a program prints; a status other than 0 fails the test with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def varint(number: int) -> bytes:
    """A number as Protocol Buffers write it."""
    head = bytes([number & 0x7F | 0x80]) if number > 0x7F else bytes([number])
    return head + (varint(number >> 7) if number > 0x7F else b"")


def part(number: int, value: int | str | bytes) -> bytes:
    """A field of a Protocol Buffers message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_model() -> bytes:
    """The model z = x + x, for x of shape (1, 2) and type float (onnx.proto: ModelProto)."""
    shape = part(1, part(1, 1)) + part(1, part(1, 2))
    tensor = part(1, part(1, 1) + part(2, shape))
    node = part(1, "x") + part(1, "x") + part(2, "z") + part(4, "Add")
    graph = part(1, node) + part(2, "g")
    graph += part(11, part(1, "x") + part(2, tensor)) + part(12, part(1, "z") + part(2, tensor))
    return part(1, 8) + part(7, graph) + part(8, part(2, 13))


def expected_id(engine: Engine, environment: BuiltEnvironment) -> str:
    """What an engine calls the amd64 image: by its config in the classic store, by its manifest in containerd's."""
    image = environment.platform(AMD64).image
    return str(image.manifest if engine.store == "containerd" else image.config)


@pytest.fixture
def without_image(all_engines: Engine, assorted: BuiltEnvironment) -> Iterator[Engine]:
    """An engine that does not have the assorted image, before and after."""
    yield all_engines
    for tag in (assorted.name, "example.com/team/assorted:other"):
        if any(tag in image.tags for image in all_engines.client().images.list()):
            all_engines.client().images.remove(tag, force=True)


def test_numpy_scikit_learn_jax_and_onnxruntime_compute_in_every_engine(
    all_engines: Engine, computing: BuiltEnvironment
) -> None:
    digest = computing.build("docker-daemon:computing:engine", DOCKER_HOST=all_engines.url)
    assert digest == computing.lock.image_digest
    image = all_engines.client().images.get("computing:engine")
    assert image.id == expected_id(all_engines, computing)

    command = ["python", "-c", COMPUTE, onnx_model().hex()]
    said = json.loads(all_engines.run("computing:engine", *command, read_only=True, cap_drop=["ALL"]))

    assert said["score"] > 0.95
    assert said["certificates"] > 100
    assert said == {
        "matmul": [[5.0, 14.0], [14.0, 50.0]],
        "score": said["score"],
        "gradient": [3.0, 12.0, 27.0],
        "onnx": [[2.0, 4.0]],
        "versions": ["2.5.5", "1.9.1", "0.12.0.1", "1.32.0"],
        "certificates": said["certificates"],
        "offset": 7200.0,
        "prefix": "/opt/venv",
        "executable": "/opt/venv/bin/python",
        "user": [10001, 10001],
        "interfaces": [],
        "refused": "Read-only file system",
    }


def test_docker_load_takes_our_docker_archive(
    without_image: Engine, assorted: BuiltEnvironment, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    assert assorted.build(f"docker-archive:{archive}", AMD64) == assorted.platform(AMD64).image.manifest
    without_image.load(archive)
    assert_runs(without_image, assorted.name, assorted)


def test_docker_load_takes_our_oci_archive_into_the_store_that_reads_layouts(
    without_image: Engine, assorted: BuiltEnvironment, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    assert assorted.build(f"oci-archive:{archive}", AMD64) == assorted.platform(AMD64).image.manifest
    if without_image.store == "classic":
        # It looks for a manifest.json, in Engine 28 as in 20.
        with pytest.raises(docker.errors.ImageLoadError):
            without_image.load(archive)
        return
    without_image.load(archive)
    assert_runs(without_image, assorted.name, assorted)


def test_a_build_goes_straight_into_an_engine_under_another_name(
    without_image: Engine, assorted: BuiltEnvironment
) -> None:
    name = "example.com/team/assorted:other"
    assorted.build(f"docker-daemon:{name}", AMD64, DOCKER_HOST=without_image.url)
    assert_runs(without_image, name, assorted)


def test_an_engine_pulls_the_platform_that_it_needs_by_the_locked_digest(
    all_engines: Engine, published: str, assorted: BuiltEnvironment
) -> None:
    images, index = all_engines.client().images, assorted.lock.index
    by_manifest = f"{published}@{assorted.platform(AMD64).image.manifest}"
    by_index = f"{published}@{index}"
    try:
        for name in (by_manifest, by_index):
            images.pull(name)
            assert all_engines.run(name, read_only=True) == "grüß dich 30\n"
        assert images.get(by_manifest).id == expected_id(all_engines, assorted)
        # The containerd store calls an image by what was pulled, and the classic one by what it chose from it.
        chosen = expected_id(all_engines, assorted)
        assert images.get(by_index).id == (str(index) if all_engines.store == "containerd" else chosen)
    finally:
        for image in images.list():
            if any(name.startswith(published) for name in image.attrs["RepoDigests"] or ()):
                images.remove(str(image.id), force=True)


def assert_runs(engine: Engine, name: str, environment: BuiltEnvironment) -> None:
    """The engine has the assorted image under that name, as what the lock says, and runs it."""
    image = engine.client().images.get(name)
    assert image.id == expected_id(engine, environment)
    assert name in image.tags
    settings = image.attrs["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["WorkingDir"] == "/srv/app"
    assert settings["Labels"]["org.example.team"] == "tests"
    assert list(settings["ExposedPorts"]) == ["8000/tcp"]
    assert list(settings["Volumes"]) == ["/data"]
    assert settings["Healthcheck"]["Interval"] == 30_000_000_000
    assert engine.run(name, read_only=True, cap_drop=["ALL"]) == "grüß dich 30\n"


def digests_of(document: dict[str, Any]) -> list[str]:
    """Everything that a manifest names, in order."""
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


def test_skopeo_reads_the_locked_digests(assorted: BuiltEnvironment, require_tool: Finder) -> None:
    skopeo, layout = require_tool("skopeo"), f"oci:{assorted.layout}:{assorted.lock.environment.version}"
    raw = run(skopeo, "inspect", "--raw", layout)
    assert Digest.of(raw.encode()) == assorted.lock.index
    for platform in (AMD64, ARM64):
        override = f"--override-arch={platform.architecture}"
        seen = json.loads(run(skopeo, override, "inspect", layout))
        locked = assorted.platform(platform)
        # Of an index, skopeo prints the digest of the index; the layers are the chosen platform's.
        assert seen["Architecture"] == platform.architecture
        assert seen["Layers"] == [str(layer.digest) for layer in locked.layers]
        config = run(skopeo, override, "inspect", "--config", "--raw", layout)
        assert Digest.of(config.encode()) == locked.image.config


@pytest.fixture(scope="module")
def one_platform(assorted: BuiltEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The amd64 image alone, as an OCI layout."""
    layout = tmp_path_factory.mktemp("one") / "layout"
    assert assorted.build(f"oci:{layout}", AMD64) == assorted.platform(AMD64).image.manifest
    return layout


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "dir"])
def test_skopeo_copies_there_and_back_and_keeps_every_byte(
    transport: str, one_platform: Path, assorted: BuiltEnvironment, require_tool: Finder, tmp_path: Path
) -> None:
    skopeo, tag = require_tool("skopeo"), assorted.lock.environment.version
    suffix = "" if transport == "dir" else f":{tag}"
    there = f"{transport}:{tmp_path}/there{suffix}"
    run(skopeo, "copy", "--quiet", f"oci:{one_platform}:{tag}", there)
    run(skopeo, "copy", "--quiet", there, f"oci:{tmp_path}/back:{tag}")

    raw = run(skopeo, "inspect", "--raw", f"oci:{tmp_path}/back:{tag}")
    locked = assorted.platform(AMD64)
    assert Digest.of(raw.encode()) == locked.image.manifest
    for name in digests_of(json.loads(raw)):
        blob = Path("blobs", *name.split(":"))
        assert (tmp_path / "back" / blob).read_bytes() == (one_platform / blob).read_bytes()


def test_skopeo_makes_a_docker_archive_of_our_layout_and_reads_ours(
    one_platform: Path, assorted: BuiltEnvironment, require_tool: Finder, tmp_path: Path
) -> None:
    skopeo, locked = require_tool("skopeo"), assorted.platform(AMD64)
    tag = assorted.lock.environment.version
    theirs, ours = tmp_path / "theirs.tar", tmp_path / "ours.tar"
    run(skopeo, "copy", "--quiet", f"oci:{one_platform}:{tag}", f"docker-archive:{theirs}:{assorted.name}")
    assorted.build(f"docker-archive:{ours}", AMD64)

    for archive in (theirs, ours):
        seen = json.loads(run(skopeo, "inspect", "--config", "--raw", f"docker-archive:{archive}"))
        # A docker-archive holds the config as it is, and plain tars: their digests are the diff_ids.
        assert seen == assorted.json(locked.image.config)
        assert seen["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in locked.layers]


@pytest.fixture(scope="module")
def published(registry: Registry, assorted: BuiltEnvironment, require_tool: Finder) -> str:
    """`HOST/interop/assorted`: both platforms, copied into the registry by skopeo under the tag `all`."""
    repository = f"{registry.host}/interop/assorted"
    source = f"oci:{assorted.layout}:{assorted.lock.environment.version}"
    copy: list[str | Path] = [require_tool("skopeo"), "copy", "--all", "--quiet", "--dest-tls-verify=false"]
    run(*copy, source, f"docker://{repository}:all")
    return repository


def test_a_registry_knows_the_image_by_the_locked_digests(
    published: str, assorted: BuiltEnvironment, peer: Finder
) -> None:
    crane = peer("crane")
    assert run(crane, "digest", "--insecure", f"{published}:all").strip() == str(assorted.lock.index)
    for platform in (AMD64, ARM64):
        found = run(crane, "digest", "--insecure", f"--platform={platform}", f"{published}:all").strip()
        assert found == str(assorted.platform(platform).image.manifest)


def test_crane_finds_the_image_whole(published: str, assorted: BuiltEnvironment, peer: Finder, tmp_path: Path) -> None:
    crane, archive = peer("crane"), tmp_path / "image.tar"
    assert "PASS" in run(crane, "validate", "--insecure", "--remote", f"{published}:all")
    assorted.build(f"docker-archive:{archive}", AMD64)
    assert "PASS" in run(crane, "validate", "--tarball", archive)


def test_oras_reads_and_copies_the_layout(registry: Registry, assorted: BuiltEnvironment, peer: Finder) -> None:
    oras, tag = peer("oras"), assorted.lock.environment.version
    described = json.loads(run(oras, "manifest", "fetch", "--descriptor", "--oci-layout", f"{assorted.layout}:{tag}"))
    assert described["digest"] == str(assorted.lock.index)

    target = f"{registry.host}/interop/oras:1"
    run(oras, "copy", "--from-oci-layout", "--to-plain-http", f"{assorted.layout}:{tag}", target)

    raw = run(oras, "manifest", "fetch", "--plain-http", target)
    assert Digest.of(raw.encode()) == assorted.lock.index


@pytest.fixture
def storage(require_tool: Finder) -> Iterator[list[str]]:
    """Options that give podman and buildah a storage of their own."""
    require_root("podman and buildah mount layers")
    folder = tempfile.mkdtemp(prefix="mlenv-podman-", dir="/var/tmp")  # podman takes no path of more than 50 characters
    options = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--storage-driver", "overlay"]
    yield options
    run(require_tool("podman"), *options, "rmi", "--all", "--force")
    shutil.rmtree(folder)


def test_podman_and_buildah_pull_the_layout(
    one_platform: Path, assorted: BuiltEnvironment, storage: list[str], require_tool: Finder
) -> None:
    podman, buildah, locked = require_tool("podman"), require_tool("buildah"), assorted.platform(AMD64)
    source = f"oci:{one_platform}:{assorted.lock.environment.version}"

    identity = run(podman, *storage, "pull", "--quiet", source).strip()

    assert identity == locked.image.config.hex
    (image,) = json.loads(run(podman, *storage, "image", "inspect", identity))
    assert image["Digest"] == str(locked.image.manifest)
    assert image["ManifestType"] == IMAGE_MANIFEST
    # The limits, because podman's own defaults are more than a confined root may set.
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=none", "--read-only"]
    said = run(podman, *storage, "--cgroup-manager=cgroupfs", "run", "--rm", *limits, identity)
    assert said == "grüß dich 30\n"

    container = run(buildah, *storage, "from", "--pull-never", identity).strip()
    seen = json.loads(run(buildah, *storage, "inspect", container))
    assert seen["FromImageDigest"] == str(locked.image.manifest)
    run(buildah, *storage, "rm", container)
