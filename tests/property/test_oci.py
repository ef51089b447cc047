"""What must hold for any input: nothing from outside gets past the readers in two meanings, or ends in a traceback."""

import io
import json
import string
import tarfile
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlenv.errors import RefusedError, UsageError
from mlenv.model.canonical import canonical_json
from mlenv.model.digest import Digest
from mlenv.model.platform import Platform
from mlenv.model.strict_json import parse_json
from mlenv.oci.descriptor import OCI_CONFIG, OCI_LAYER_GZIP, Descriptor
from mlenv.oci.image import ContainerConfig, ImageConfig, ImageManifest, RootFs, parse_manifest
from mlenv.oci.reference import Reference, Target
from mlenv.oci.tar_reader import TarKind, TarReader
from mlenv.registry.authorization import Challenge
from mlenv.sources.bases.facts import read_facts, tar_files
from mlenv.sources.bases.root_tree import Link, RootTree

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(Digest)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
DESCRIPTORS = st.tuples(DIGESTS, st.integers(0, 2**53 - 1), st.dictionaries(TEXT, TEXT, max_size=3)).map(
    lambda drawn: Descriptor(media_type=OCI_LAYER_GZIP, digest=drawn[0], size=drawn[1], annotations=drawn[2])
)
Kind = TypeVar("Kind")


def refused(read: Callable[[Any], Kind], value: Any, error: type[Exception] = ValueError) -> Kind | None:
    """What `read` makes of a value; None where it refuses it, which it does in one line and with this error only."""
    try:
        return read(value)
    except error as raised:
        if "\n" in str(raised):
            pytest.fail(f"more than one line: {raised}")
        return None


@given(JSON)
def test_canonical_json_is_read_back_and_has_one_form(value: Any) -> None:
    data = canonical_json(value)
    assert parse_json(data) == value
    assert canonical_json(parse_json(json.dumps(value, indent=1).encode())) == data


@given(st.binary(max_size=200) | TEXT.map(str.encode) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_manifest_or_a_value_error_of_one_line(data: bytes) -> None:
    readers: tuple[Callable[[bytes], object], ...] = (parse_json, parse_manifest, Descriptor.parse, ImageConfig.parse)
    for read in readers:
        refused(read, data)


@given(DESCRIPTORS, st.lists(DESCRIPTORS, max_size=4))
def test_a_manifest_survives_writing_and_reading(config: Descriptor, layers: list[Descriptor]) -> None:
    manifest = ImageManifest(config=config.model_copy(update={"media_type": OCI_CONFIG}), layers=tuple(layers))
    assert parse_manifest(manifest.to_bytes()) == manifest
    assert ImageManifest.parse(manifest.to_bytes()).to_bytes() == manifest.to_bytes()


@given(st.lists(TEXT, max_size=4), st.dictionaries(TEXT, TEXT, max_size=3), st.lists(DIGESTS, max_size=3))
def test_a_config_survives_writing_and_reading(env: list[str], labels: dict[str, str], diff_ids: list[Digest]) -> None:
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        rootfs=RootFs(type="layers", diff_ids=tuple(diff_ids)),
        config=ContainerConfig(env=tuple(env), labels=labels),
    )
    assert ImageConfig.parse(config.to_bytes()) == config


@given(st.text(string.ascii_letters + string.digits + ".:/@_-", max_size=40) | TEXT)
def test_a_reference_is_stable_or_refused(text: str) -> None:
    if reference := refused(Reference.parse, text):
        assert Reference.parse(str(reference)) == reference
        assert Reference.parse(reference.familiar) == reference


@given(
    st.sampled_from(["oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "docker://", "docker:", ""]),
    st.text(string.ascii_letters + ".:/@_-", max_size=30) | TEXT,
)
def test_a_target_is_stable_or_a_usage_error(prefix: str, rest: str) -> None:
    if target := refused(Target.parse, prefix + rest, UsageError):
        assert Target.parse(str(target)) == target


@given(TEXT)
def test_any_challenge_is_read(header: str) -> None:
    Challenge.parse(header)
    assert Challenge.parse(f'Bearer realm="https://a/b",x={header!r}').parameters["realm"] == "https://a/b"


NAMES = st.lists(st.sampled_from(["a", "b", "usr", "bin", "python3", "x" * 120, "é"]), min_size=1, max_size=4).map(
    "/".join
)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=1500) | NAMES | st.none()), max_size=12),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_a_tar_is_read_as_pythons_own_reader_reads_it(entries: list[tuple[str, Any]], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            try:
                tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
            except ValueError:  # ustar can't hold the name
                return
    buffer.seek(0)
    reader = TarReader(buffer)
    found = [(entry.path, entry.kind, entry.link, b"".join(reader.chunks())) for entry in reader]
    kinds = {tarfile.DIRTYPE: TarKind.DIRECTORY, tarfile.SYMTYPE: TarKind.SYMLINK, tarfile.REGTYPE: TarKind.FILE}
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
        expected = []
        for member in tar:
            file = tar.extractfile(member) if member.isreg() else None
            expected.append((member.name, kinds[member.type], member.linkname, file.read() if file else b""))
    assert found == expected


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(st.tuples(NAMES, NAMES), max_size=6), st.integers(0, 20_000), st.integers(0, 255))
def test_a_damaged_tar_is_refused_or_read_and_never_crashes(links: list[tuple[str, str]], at: int, byte: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    data = bytearray(buffer.getvalue())
    data[at % len(data)] = byte
    for entry in refused(lambda tar: list(TarReader(tar)), io.BytesIO(data[: max(at, 512)]), RefusedError) or ():
        assert ".." not in entry.path.split("/")


PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4).map("/".join)


@given(st.lists(st.tuples(PATHS, st.sampled_from(["file", "link", "directory", "gone", "layer"]), PATHS), max_size=25))
def test_no_names_and_no_links_lead_out_of_the_tree_or_into_a_circle(steps: list[tuple[str, str, str]]) -> None:
    tree = RootTree()
    tree.begin_layer()
    for path, step, target in steps:
        match step:
            case "file":
                tree.put(path, "content")
            case "link":
                tree.put(path, Link(target))
            case "directory":
                tree.directory(path)
            case "gone":
                tree.put(f"{path}/.wh.{target[:1]}", None)
            case _:
                tree.begin_layer()
    tree.end()
    for path, _, _ in steps:
        resolved = tree.resolve(path)
        if resolved is not None:
            assert resolved.startswith("/")
            assert ".." not in resolved.split("/")
            assert tree.resolve(resolved) == resolved


def test_facts_of_no_layers_is_a_resolution_error() -> None:
    with pytest.raises(Exception, match="no Python 3"):
        read_facts([tar_files(io.BytesIO(bytes(1024)))], {}, Platform.LINUX_AMD64)
