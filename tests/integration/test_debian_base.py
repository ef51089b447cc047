"""A base made of Debian packages from the machine's own mirror: it runs, and dpkg agrees with it."""

import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import home, programs

from mlenv.errors import SignatureError
from mlenv.layers.complete import complete
from mlenv.layers.debian.deb import Deb, open_deb
from mlenv.layers.debian.root import rootfs_entries
from mlenv.layers.entry import Entry, EntryType, Inline, Stored
from mlenv.layers.layer import MeasuredLayer, measure_layer
from mlenv.model.platform import Platform
from mlenv.sources.cache import Cache
from mlenv.sources.debian.fetch import fetch_debs
from mlenv.sources.debian.release import parse_release, verified_payload
from mlenv.sources.debian.request import DebianRequest, ResolvedDeb
from mlenv.sources.debian.resolve import resolve_debian

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("debian_mirror")]

PACKAGES = ("python3", "ca-certificates", "libgomp1", "libstdc++6", "tzdata")
PROBE = """
import bz2, ctypes, curses, hashlib, json, lzma, pwd, readline, socket, sqlite3, ssl, sys, tempfile, zlib, zoneinfo
libraries = [ctypes.CDLL(name) for name in ("libgomp.so.1", "libstdc++.so.6", "libm.so.6")]
print(json.dumps({
    "python": sys.version_info[:2],
    "certificates": len(ssl.create_default_context().get_ca_certs()),
    "root": pwd.getpwuid(0).pw_name,
    "nobody": pwd.getpwnam("nobody").pw_uid,
    "http": socket.getservbyname("http"),
    "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")),
    "sqlite": sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0],
    "tmp": tempfile.gettempdir(),
    "encoding": sys.getfilesystemencoding(),
}))
"""


@dataclass(frozen=True)
class Base:
    """A resolved, opened base; what it holds can be read while it is open."""

    resolved: tuple[ResolvedDeb, ...]
    debs: list[Deb]
    entries: list[Entry]


def cache() -> Cache:
    return Cache(home.test_home() / "debian-cache")


@functools.cache
def resolved_of(suite: str, platform: Platform = Platform.LINUX_AMD64) -> tuple[ResolvedDeb, ...]:
    """The default base of a suite; where the mirror's indexes have expired, as of the time when all were valid."""
    request = DebianRequest(suite, PACKAGES, platform)
    for _ in range(3):
        try:
            return resolve_debian(request, cache=cache(), now=datetime.now(UTC), environ={})
        except SignatureError as error:
            (problem,) = error.problems
            if not problem.message.startswith("the index was valid until "):
                raise
            until = problem.message.removeprefix("the index was valid until ").partition(",")[0]
            request = replace(request, snapshot=datetime.fromisoformat(until))
    pytest.fail(f"the indexes of {suite} were never valid together")


@contextmanager
def opened(suite: str, platform: Platform = Platform.LINUX_AMD64) -> Iterator[Base]:
    resolved = resolved_of(suite, platform)
    fetch_debs(resolved, cache=cache())
    debs = []
    with tempfile.TemporaryFile() as spool:
        for deb in resolved:
            with cache().open(deb.sha256) as file:
                debs.append(open_deb(file, f"{deb.name} {deb.version} {deb.architecture}", spool))
        yield Base(resolved, debs, complete(rootfs_entries(debs)))


def content(entry: Entry) -> bytes:
    if isinstance(entry.content, Inline):
        return entry.content.data
    assert isinstance(entry.content, Stored)
    return os.pread(entry.content.fd, entry.content.size, entry.content.offset)


def write(base: Base, target: Path) -> MeasuredLayer:
    archive = target.with_suffix(".tar.gz")
    with archive.open("wb") as file:
        layer = measure_layer(base.entries, file.write)
    target.mkdir()
    subprocess.run(["tar", "-xzpf", archive, "-C", target, "--numeric-owner"], check=True)
    archive.unlink()
    return layer


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "forky"])
def test_python_runs_in_the_root_file_system(suite: str, tmp_path: Path) -> None:
    programs.require_root("a tree is entered with chroot")
    with opened(suite) as base:
        write(base, tmp_path / "root")
        paths = {entry.path for entry in base.entries}
    command = ["unshare", "--net", "chroot", str(tmp_path / "root"), "/usr/bin/python3", "-I", "-c", PROBE]
    run = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    python = ".".join(map(str, found.pop("python")))
    assert f"usr/bin/python{python}" in paths
    assert {"bookworm": "3.11", "trixie": "3.13"}.get(suite, python) == python
    assert found.pop("certificates") > 100
    assert found == {
        "root": "root", "nobody": 65534, "http": 80, "zone": "Europe/Berlin", "sqlite": 42, "tmp": "/tmp",
        "encoding": "utf-8",
    }  # fmt: skip


def test_the_default_base_is_small_and_has_no_shell() -> None:
    with opened("trixie") as base:
        assert len(base.resolved) < 60
        assert sum(deb.size for deb in base.resolved) < 30_000_000
        paths = {entry.path for entry in base.entries}
    assert "usr/bin/python3.13" in paths
    assert not {"usr/bin/sh", "usr/bin/bash", "usr/bin/dash"} & paths


def test_dpkg_agrees_with_the_root_file_system(tmp_path: Path) -> None:
    programs.require_root("files of other owners are written")
    programs.find_tool("dpkg")
    with opened("trixie") as base:
        write(base, tmp_path / "root")
        wanted = {f"{deb.name} {deb.version} {deb.architecture} installed" for deb in base.resolved}
    dpkg = ["dpkg", f"--root={tmp_path / 'root'}"]
    form = "${Package} ${Version} ${Architecture} ${db:Status-Status}\\n"
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={tmp_path / 'root/var/lib/dpkg'}", "-W", "-f", form],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(listed.stdout.splitlines()) == wanted
    verified = subprocess.run([*dpkg, "--verify"], capture_output=True, text=True, check=False)
    assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)


def test_entries_are_what_dpkg_deb_unpacks() -> None:
    programs.find_tool("dpkg-deb")
    with opened("trixie") as base:
        for resolved, deb in zip(base.resolved, base.debs, strict=True):
            unpacked = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", cache().path(resolved.sha256)], capture_output=True, check=True
            )
            with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as archive:
                members = {member.name.removeprefix("./"): member for member in archive if member.name != "."}
                mine = {entry.path: entry for entry in deb.entries()}
                assert list(mine) == list(members)
                for path, entry in mine.items():
                    member = members[path]
                    assert (entry.uid, entry.gid, entry.link) == (member.uid, member.gid, _link(member)), path
                    assert entry.mode == member.mode & (0o1777 if member.isdir() else 0o777), path
                    if entry.type is EntryType.FILE:
                        file = archive.extractfile(member)
                        assert file is not None
                        assert content(entry) == file.read(), path


def _link(member: tarfile.TarInfo) -> str:
    return member.linkname if member.issym() else ""


def test_arm64_is_only_data() -> None:
    with opened("trixie", Platform.LINUX_ARM64) as base, opened("trixie") as other:
        assert {deb.architecture for deb in base.resolved} == {"arm64", "all"}
        assert [deb.name for deb in base.resolved] == [deb.name for deb in other.resolved]
        machines = set()
        for entry in base.entries:
            if entry.type is EntryType.FILE and content(entry)[:4] == b"\x7fELF":
                machines.add(int.from_bytes(content(entry)[18:20], "little"))
        assert machines == {Platform.LINUX_ARM64.elf_machine}
        assert "lib64" not in {entry.path for entry in base.entries}


def test_hash_seed_and_order_of_names_do_not_matter() -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from mlenv.model.platform import Platform; from mlenv.sources.cache import Cache\n"
        "from mlenv.sources.debian.request import DebianRequest\n"
        "from mlenv.sources.debian.resolve import resolve_debian\n"
        "request = DebianRequest('trixie', tuple(sys.argv[2:]), Platform.LINUX_AMD64)\n"
        "print(resolve_debian(request, cache=Cache(Path(sys.argv[1])), now=datetime.now(UTC), environ={}))\n"
    )
    answers = set()
    for seed, packages in (("0", ("ffmpeg", *PACKAGES)), ("1", (*PACKAGES[::-1], "ffmpeg"))):
        run = subprocess.run(
            [sys.executable, "-c", program, cache().root, *packages],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        answers.add(run.stdout)
    assert len(answers) == 1


def test_the_layer_is_the_same_each_time() -> None:
    with opened("trixie") as first, opened("trixie") as second:
        assert measure_layer(first.entries) == measure_layer(second.entries)


def test_a_real_inrelease_with_one_letter_changed_is_refused() -> None:
    resolved_of("trixie")
    [signed, *_] = [
        path.read_bytes()
        for path in (cache().root / "blobs/sha256").iterdir()
        if path.stat().st_size < 1_000_000 and path.read_bytes()[:34] == b"-----BEGIN PGP SIGNED MESSAGE-----"
    ]
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg").read_bytes()
    assert parse_release(verified_payload(signed, keyring, where="here"), where="here").files
    with pytest.raises(SignatureError):
        verified_payload(signed.replace(b"\nOrigin: Debian", b"\nOrigin: Debiam", 1), keyring, where="here")
