"""What we write is valid by the JSON Schemas of the OCI image specification, and whole by our own measure."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from support.environments import AMD64, BuiltEnvironment

from mlenv.model.digest import Digest
from mlenv.oci.layout import Layout
from mlenv.oci.validate import validate_layout

Schemas = Callable[[str], Draft4Validator]


@pytest.fixture(scope="session")
def schemas(vectors: Path) -> Schemas:
    """`schemas("image-index")` validates by image-index-schema.json. The schemas name one another by file name."""
    folder = vectors / "oci-image-spec"

    def retrieve(uri: str) -> Resource[Any]:
        return DRAFT4.create_resource(json.loads((folder / uri.rpartition("/")[2]).read_text()))

    def get(name: str) -> Draft4Validator:
        schema = json.loads((folder / f"{name}-schema.json").read_text())
        registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]  # mypy sees no fields of attrs
        return Draft4Validator(schema, registry=registry)

    return get


def documents(environment: BuiltEnvironment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON document of the layout, with the name of its schema."""
    yield "image-layout", json.loads((environment.layout / "oci-layout").read_bytes())
    yield "image-index", json.loads((environment.layout / "index.json").read_bytes())
    if environment.lock.index is not None:
        yield "image-index", environment.json(environment.lock.index)
    for platform in environment.lock.platforms:
        yield "image-manifest", environment.json(platform.image.manifest)
        yield "config", environment.json(platform.image.config)


def complaints(schemas: Schemas, name: str, document: object) -> list[str]:
    return [error.message for error in schemas(name).iter_errors(document)]


@pytest.mark.parametrize("name", ["assorted", "computing"])
def test_every_document_is_valid(name: str, environments: Callable[[str], BuiltEnvironment], schemas: Schemas) -> None:
    checked = [(kind, complaints(schemas, kind, document)) for kind, document in documents(environments(name))]
    assert [found for found in checked if found[1]] == []
    assert {kind for kind, _ in checked} == {"image-layout", "image-index", "image-manifest", "config"}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("image-layout", ["imageLayoutVersion"], "2.0.0"),
        ("image-index", ["manifests", 0, "digest"], "sha256"),
        ("image-index", ["manifests", 0, "platform", "os"], 1),
        ("image-manifest", ["layers", 0, "mediaType"], "no type"),
        ("image-manifest", ["config", "size"], "1"),
        ("config", ["config", "Env"], {"A": "B"}),
        ("config", ["config", "Labels", "a"], 1),
        ("config", ["rootfs", "diff_ids"], None),
    ],
)
def test_the_schemas_refuse_a_document_that_is_wrong_in_one_place(
    kind: str, path: list[str | int], value: object, assorted: BuiltEnvironment, schemas: Schemas
) -> None:
    # Of the two indexes it is the one that names the platforms.
    document: Any = [found for name, found in documents(assorted) if name == kind][-1 if kind != "config" else 0]
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert complaints(schemas, kind, document)


@pytest.mark.parametrize("name", ["assorted", "computing"])
def test_our_own_measure_finds_nothing_wrong(name: str, environments: Callable[[str], BuiltEnvironment]) -> None:
    assert validate_layout(Layout(environments(name).layout)) == []


@pytest.fixture(scope="module")
def amd64_layout(assorted: BuiltEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The amd64 image alone."""
    layout = tmp_path_factory.mktemp("amd64") / "layout"
    assorted.build(f"oci:{layout}", AMD64)
    return layout


@pytest.fixture
def damaged(amd64_layout: Path, tmp_path: Path) -> Path:
    """A copy of it, by hard links, that a test may damage: `replace` a file, never write into one."""
    return Path(shutil.copytree(amd64_layout, tmp_path / "layout", copy_function=_link))


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def replace(path: Path, data: bytes) -> None:
    """Other bytes under the same name; the copy's original keeps its own."""
    path.unlink()
    path.write_bytes(data)


def found_in(layout: Path) -> list[str]:
    return [problem.message for problem in validate_layout(Layout(layout))]


def files_layer(environment: BuiltEnvironment) -> Digest:
    return next(layer.digest for layer in environment.platform(AMD64).layers if layer.kind == "files")


def blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / "sha256" / digest.hex


def rewrite(layout: Path, digest: Digest, edit: Callable[[Any], None]) -> Digest:
    """The same JSON with a change, under the digest that it then has."""
    document = json.loads(blob(layout, digest).read_bytes())
    edit(document)
    data = json.dumps(document).encode()
    blob(layout, Digest.of(data)).write_bytes(data)
    return Digest.of(data)


def point_index_at(layout: Path, manifest: Digest) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    entry = index["manifests"][0]
    entry["digest"], entry["size"] = str(manifest), blob(layout, manifest).stat().st_size
    replace(layout / "index.json", json.dumps(index).encode())


def test_a_flipped_bit_in_a_layer_is_found(damaged: Path, assorted: BuiltEnvironment) -> None:
    path = blob(damaged, files_layer(assorted))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    replace(path, bytes(data))
    (message,) = found_in(damaged)
    assert "has the digest" in message


def test_a_missing_layer_is_found(damaged: Path, assorted: BuiltEnvironment) -> None:
    blob(damaged, files_layer(assorted)).unlink()
    assert found_in(damaged) == ["the blob is missing"]


def test_a_layer_with_another_tar_under_a_true_digest_is_found(damaged: Path, assorted: BuiltEnvironment) -> None:
    """Manifest and layer agree, only the config knows what the tar should be."""
    tar = gzip.decompress(blob(damaged, files_layer(assorted)).read_bytes())
    forged = gzip.compress(tar.replace(b"import os", b"import sh"))
    blob(damaged, Digest.of(forged)).write_bytes(forged)

    def exchange(manifest: Any) -> None:
        manifest["layers"][-1] |= {"digest": str(Digest.of(forged)), "size": len(forged)}

    point_index_at(damaged, rewrite(damaged, assorted.platform(AMD64).image.manifest, exchange))
    (message,) = found_in(damaged)
    assert message.startswith("the layer's diff_id is")


def test_a_layer_that_is_listed_and_has_no_diff_id_is_found(damaged: Path, assorted: BuiltEnvironment) -> None:
    def repeat(manifest: Any) -> None:
        manifest["layers"].append(manifest["layers"][-1])

    point_index_at(damaged, rewrite(damaged, assorted.platform(AMD64).image.manifest, repeat))
    count = len(assorted.platform(AMD64).layers)
    assert found_in(damaged) == [
        f"the config has {count} diff_ids for {count + 1} layers",
        f"the history has {count} steps with a layer for {count + 1} layers",
    ]


def test_a_wrong_size_is_found(damaged: Path, assorted: BuiltEnvironment) -> None:
    def shrink(manifest: Any) -> None:
        manifest["config"]["size"] -= 1

    point_index_at(damaged, rewrite(damaged, assorted.platform(AMD64).image.manifest, shrink))
    (message,) = found_in(damaged)
    assert "its descriptor says" in message


def test_a_config_of_another_platform_is_found(damaged: Path) -> None:
    index = json.loads((damaged / "index.json").read_bytes())
    index["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64"}
    replace(damaged / "index.json", json.dumps(index).encode())
    assert found_in(damaged) == ["the config is for linux/amd64, the index says linux/arm64"]
