"""An arm64 image that is locked and built on amd64 has arm64 programs only, and the digest that was locked."""

import gzip
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.environments import AMD64, ARM64, BuiltEnvironment

from mlenv.model.digest import Digest
from mlenv.model.platform import Platform

Finder = Callable[[str], Path]


def machines(environment: BuiltEnvironment, platform: Platform) -> dict[str, int]:
    """Path of every ELF file in the layers of a platform -> its e_machine (System V ABI, ELF header, offset 18)."""
    found: dict[str, int] = {}
    for layer in environment.platform(platform).layers:
        with (
            gzip.open(environment.blob(layer.digest)) as stream,
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                head = content.read(20) if content is not None else b""
                if head[:4] == b"\x7fELF":
                    found[member.name] = int.from_bytes(head[18:20], "little")
    return found


@pytest.mark.parametrize("platform", [ARM64, AMD64])
def test_every_program_and_library_is_for_the_platform(platform: Platform, assorted: BuiltEnvironment) -> None:
    found = machines(assorted, platform)

    assert {path for path, machine in found.items() if machine != platform.elf_machine} == set()
    assert len(found) > 50
    assert "usr/bin/python3.13" in found
    assert sum("/numpy/" in path and path.endswith(f"-{platform.multiarch}.so") for path in found) > 10
    assert any(path.startswith(f"usr/lib/{platform.multiarch}/libc.so") for path in found)


def test_the_index_is_the_locked_one_and_names_both_platforms(assorted: BuiltEnvironment) -> None:
    (entry,) = json.loads((assorted.layout / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == str(assorted.lock.index) == str(assorted.lock.image_digest)
    index = assorted.json(Digest.parse(entry["digest"]))
    assert [(one["platform"], one["digest"]) for one in index["manifests"]] == [
        ({"os": "linux", "architecture": platform.architecture}, str(assorted.platform(platform).image.manifest))
        for platform in (AMD64, ARM64)
    ]
    for platform in (AMD64, ARM64):
        config = assorted.json(assorted.platform(platform).image.config)
        assert (config["os"], config["architecture"]) == ("linux", platform.architecture)


def test_the_platforms_share_what_is_the_same_for_both(assorted: BuiltEnvironment) -> None:
    kinds = [
        {layer.kind for layer in assorted.platform(AMD64).layers if layer.digest == other.digest}
        for other in assorted.platform(ARM64).layers
    ]
    assert set().union(*kinds) == {"venv", "files"}


@pytest.mark.parametrize("platform", [ARM64, AMD64])
def test_one_platform_alone_has_the_digest_that_the_index_gives_it(
    platform: Platform, assorted: BuiltEnvironment, require_tool: Finder, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    assert assorted.build(f"oci:{layout}", platform) == assorted.platform(platform).image.manifest

    command: list[str | Path] = [require_tool("skopeo"), f"--override-arch={platform.architecture}", "inspect"]
    target = f"oci:{layout}:{assorted.lock.environment.version}"
    seen = json.loads(subprocess.run([*command, target], capture_output=True, check=True).stdout)

    assert seen["Digest"] == str(assorted.platform(platform).image.manifest)
    assert (seen["Os"], seen["Architecture"]) == ("linux", platform.architecture)


def test_another_platform_beside_it_changes_nothing_in_the_first(
    assorted: BuiltEnvironment, environments: Callable[[str], BuiltEnvironment]
) -> None:
    alone = environments("assorted-amd64")
    assert alone.lock.image_digest == alone.platform(AMD64).image.manifest
    assert alone.platform(AMD64).image == assorted.platform(AMD64).image
    assert alone.platform(AMD64).layers == assorted.platform(AMD64).layers
