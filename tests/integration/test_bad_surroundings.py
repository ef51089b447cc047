"""Disks that are full, networks that are gone, caches that somebody wrote to."""

import hashlib
import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from support import programs
from support.index import serve, write_pages
from support.refusals import Project, Result, assert_refused, assert_whole_blobs
from support.registry import Registry
from support.small_projects import make_wheel

BUILD = ("build", "--output", "oci:out")
UNREACHABLE = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple/", "UV_HTTP_RETRIES": "0"}


def cached(project: Project) -> list[Path]:
    return sorted((project.cache / "blobs" / "sha256").iterdir())


def assert_clean(cache: Path) -> None:
    """Nothing half written is in a cache, and nothing under a name that is not its own."""
    assert list((cache / "tmp").glob("*")) == []
    assert_whole_blobs(cache / "blobs" / "sha256")


# A full disk


@pytest.fixture
def large(project: Project) -> Project:
    """A project with a wheel of eight megabytes, twice what the full disk holds."""
    make_wheel(project.root / "wheels", "large", files={"large.bin": os.urandom(8 << 20)})
    project.edit('"demo"', '"large"')
    return project


def test_the_cache_is_on_a_full_disk(large: Project, full_disk: Path) -> None:
    result = large.run("lock", environ={"MLENV_CACHE_DIR": str(full_disk / "cache")})
    assert_refused(result, status=6, says=["No space left on device", "MLENV_CACHE_DIR"])
    assert_clean(full_disk / "cache")


@pytest.mark.parametrize("output", ["oci:{}/out", "oci-archive:{}/out.tar", "docker-archive:{}/out.tar"])
def test_the_output_is_on_a_full_disk(large: Project, full_disk: Path, output: str) -> None:
    assert large.run("lock").status == 0
    result = large.run("build", "--output", output.format(full_disk))
    assert_refused(result, status=6, says=["No space left on device", str(full_disk), "free some space"])
    assert list(full_disk.rglob("*")) == []
    assert_clean(large.cache)


def test_the_project_is_on_a_full_disk(locked: Project, full_disk: Path) -> None:
    for path in ("mlenv.toml", "base", "wheels", "app", "more.txt"):
        subprocess.run(["cp", "-r", str(locked.root / path), full_disk], check=True)
    filler = os.open(full_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(filler, bytes(4096)):
            pass
    os.close(filler)
    full = Project(full_disk, locked.cache, locked.environment())
    assert_refused(full.run("lock"), status=6, says=["No space left on device"])


# No network


def test_a_cold_cache_without_an_index(project: Project) -> None:
    project.edit('find-links = ["wheels"]\n', "")
    result = project.run("lock", environ=UNREACHABLE)
    assert_refused(result, status=6, says=["the package index could not be read", "check the network"])


def test_a_cold_cache_offline(locked: Project) -> None:
    for blob in cached(locked):
        blob.unlink()
    assert_refused(locked.run(*BUILD, "--offline"), status=6, says=["not in the cache", "without --offline"])


def test_a_new_lock_offline_from_what_an_index_said_once(project: Project, tmp_path: Path) -> None:
    make_wheel(tmp_path / "index" / "demo", "demo")
    write_pages(tmp_path / "index")
    project.edit('find-links = ["wheels"]\n', "")
    with serve(tmp_path / "index") as index:
        project.environ["UV_DEFAULT_INDEX"] = index.url
        first = project.run("lock")
        assert first.status == 0, first.err
    project.lock.unlink()
    assert project.run("lock", "--offline").out == first.out
    result = project.run(*BUILD, "--offline")
    assert (result.status, project.image_digest()) == (0, first.out.strip()), result.err


def test_a_warm_cache_needs_no_network(locked: Project, netless: Callable[..., object]) -> None:
    del netless  # skips where no network namespace can be made
    unshare = ("unshare", "--net")
    was = locked.lock.read_bytes()
    assert locked.run("lock", before=unshare, environ=UNREACHABLE).status == 0
    assert locked.lock.read_bytes() == was
    result = locked.run(*BUILD, before=unshare, environ=UNREACHABLE)
    assert (result.status, locked.image_digest()) == (0, locked.locked_digest()), result.err


# A cache that somebody wrote to: healed, or refused and then healed; never a wrong image


def poison(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def assert_heals(project: Project, first: Result, says: Sequence[str]) -> None:
    """What was refused once works the next time, and the image is the locked one."""
    assert_refused(first, status=7, says=says)
    again = project.run(*BUILD)
    assert again.status == 0, again.err
    assert project.image_digest() == project.locked_digest()


def test_a_poisoned_wheel(locked: Project) -> None:
    victim = cached(locked)[0]
    poison(victim)
    assert_heals(locked, locked.run(*BUILD), [victim.name, "it was removed", "run the command again"])


@pytest.mark.parametrize("kind", ["truncated", "empty", "link", "folder", "pipe"])
def test_something_else_in_a_wheels_place(locked: Project, kind: str) -> None:
    victim = cached(locked)[0]
    data = victim.read_bytes()
    victim.unlink()
    if kind in {"truncated", "empty"}:
        victim.write_bytes(data[: len(data) // 2] if kind == "truncated" else b"")
    elif kind == "link":
        elsewhere = locked.cache / "elsewhere"
        elsewhere.write_bytes(data)
        victim.symlink_to(elsewhere)
    elif kind == "folder":
        victim.mkdir()
    else:
        os.mkfifo(victim)
    assert_heals(locked, locked.run(*BUILD), [victim.name, "it was removed"])


@pytest.fixture
def pulled(project: Project, registry: Registry, require_tool: Callable[[str], Path]) -> Project:
    """A locked project whose base came from a registry, and lies in the cache."""
    name = f"{registry.host}/bad-surroundings/base"
    source = f"oci:{project.root / 'base'}:1"
    copy = [str(require_tool("skopeo")), "copy", "--preserve-digests", "--dest-tls-verify=false"]
    subprocess.run([*copy, source, f"docker://{name}:1"], check=True, capture_output=True)
    project.edit("oci:base@", f"{name}@")
    result = project.run("lock")
    assert result.status == 0, result.err
    return project


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_poisoned_blob_of_a_base(pulled: Project, which: str) -> None:
    base = tomllib.loads(pulled.lock.read_text())["platforms"][0]["base"]
    digest = base["layers"][0]["digest"] if which == "layer" else base[which]
    victim = pulled.cache / "blobs" / "sha256" / digest.removeprefix("sha256:")
    poison(victim)
    result = pulled.run(*BUILD)
    if result.status:
        assert_heals(pulled, result, [victim.name])
    else:
        assert pulled.image_digest() == pulled.locked_digest()
    assert_whole_blobs(pulled.cache / "blobs" / "sha256")


def records(project: Project, kind: str) -> list[Path]:
    return sorted((project.cache / "records" / kind).iterdir())


def test_a_forged_record_of_a_layer_is_found_by_the_build(locked: Project) -> None:
    """With a checksum that is right: only who makes the layer again can know better."""
    true = locked.lock.read_text()
    (path,) = records(locked, "layers")
    stored = json.loads(path.read_bytes())
    stored["value"]["digest"] = "sha256:" + "0" * 64
    stored["sha256"] = hashlib.sha256(json.dumps(stored["value"], sort_keys=True).encode()).hexdigest()
    path.chmod(0o644)
    path.write_text(json.dumps(stored))
    locked.lock.unlink()
    assert locked.run("lock").status == 0
    assert locked.lock.read_text() != true
    assert_refused(locked.run(*BUILD), status=7, says=["mlenv.lock", "0000000"])


@pytest.mark.parametrize("content", [b"", b'{"key": 1, "sha256": "", "value": null}', b"\xff" * 64])
def test_a_damaged_record_counts_as_absent(locked: Project, content: bytes) -> None:
    true = locked.lock.read_text()
    for path in (*records(locked, "layers"), *records(locked, "base-facts")):
        path.chmod(0o644)
        path.write_bytes(content)
    locked.lock.unlink()
    result = locked.run("lock")
    assert result.status == 0, result.err
    assert locked.lock.read_text() == true


def test_a_cache_of_somebody_else(locked: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for blob in cached(locked):
        blob.unlink()
    result = locked.run(*BUILD, environ={"MLENV_CACHE_DIR": str(tmp_path / "file")})
    assert_refused(result, status=6, says=[str(tmp_path / "file"), "MLENV_CACHE_DIR"])


# Ordinary users


@pytest.fixture
def nobody(locked: Project) -> Callable[..., Result]:
    """Runs mlenv as a user to whom the project belongs to somebody else, and who may read everything."""
    programs.require_root("another user is needed")
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    capabilities = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    return lambda *arguments: locked.run(*arguments, before=(*user, *capabilities))


@pytest.mark.parametrize("command", [BUILD, ("build", "--output", "oci-archive:out.tar"), ("init",), ("pin",)])
def test_a_folder_that_may_not_be_written(
    locked: Project, nobody: Callable[..., Result], command: tuple[str, ...]
) -> None:
    for folder in (locked.root, *locked.root.parents):
        if str(folder) in {"/tmp", "/"}:
            break
        folder.chmod(0o755)
    subprocess.run(["chown", "-R", "65534", locked.cache], check=True)
    if command == ("init",):
        locked.manifest.unlink()
    if command == ("pin",):
        text = locked.manifest.read_text()
        digest = text.partition("oci:base@")[2].partition('"')[0]
        locked.edit(f"oci:base@{digest}", "oci:base:1")
    result = nobody(*command)
    assert_refused(result, status=6, says=["Permission denied"])
