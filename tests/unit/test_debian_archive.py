"""A signed archive is believed as far as its signature goes; each attack is made on a small real one."""

import lzma
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.debs import DATE, NOW, UNTIL, MadeArchive, Signer, make_deb, release

from mlenv.errors import (
    DigestMismatchError,
    MlenvError,
    RefusedError,
    ResolutionError,
    SignatureError,
    UnavailableError,
)
from mlenv.model.digest import Digest
from mlenv.model.lock import LockedDeb
from mlenv.model.platform import Platform
from mlenv.sources.cache import Cache
from mlenv.sources.debian.fetch import fetch_debs
from mlenv.sources.debian.request import DebianRequest, ResolvedDeb
from mlenv.sources.debian.resolve import locate_debs, resolve_debian

BASE = [
    make_deb("base-files", Pre_Depends="awk"),
    make_deb("base-passwd"),
    make_deb("netbase", architecture="all"),
    make_deb("mawk", Provides="awk", Priority="required"),
]
APP = make_deb("app", version="1.0-1", Depends="libapp (>= 1)")
LIB = make_deb("libapp", version="1.0-1")
LIB_UPDATE = make_deb("libapp", version="1.0-1+deb13u1")


class Notes:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0

    def note(self, message: str) -> None:
        self.notes.append(message)

    def task(self, label: str, total: int | None = None) -> "Notes":
        del label, total
        return self

    def advance(self, amount: int) -> None:
        self.done += amount

    def finish(self) -> None:
        pass


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture
def archive(tmp_path: Path, signer: Signer) -> MadeArchive:
    archive = MadeArchive(tmp_path / "archive", signer)
    archive.publish([*BASE, APP, LIB])
    archive.publish([], suite="trixie-updates")
    archive.publish([LIB_UPDATE], suite="trixie-security")
    return archive


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def request_of(archive: MadeArchive, *packages: str, **changes: Any) -> DebianRequest:
    request = DebianRequest(
        "trixie", packages or ("app",), Platform.LINUX_AMD64, mirror=archive.url, keyring=archive.keyring
    )
    return replace(request, **changes)


def resolve(archive: MadeArchive, cache: Cache, *packages: str, **changes: Any) -> dict[str, ResolvedDeb]:
    now = changes.pop("now", NOW)
    progress = changes.pop("progress", Notes())
    offline = changes.pop("offline", False)
    request = request_of(archive, *packages, **changes)
    found = resolve_debian(request, cache=cache, now=now, environ={}, offline=offline, progress=progress)
    return {deb.name: deb for deb in found}


def refusal(kind: type[MlenvError], archive: MadeArchive, cache: Cache, **changes: Any) -> str:
    with pytest.raises(MlenvError) as caught:
        resolve(archive, cache, **changes)
    assert type(caught.value) is kind
    for problem in caught.value.problems:
        assert problem.where
        assert problem.hint
        assert "\n" not in problem.message
    return caught.value.problems[0].message


def test_packages_come_with_what_they_need_and_the_base_by_name(archive: MadeArchive, cache: Cache) -> None:
    found = resolve(archive, cache)
    assert list(found) == ["app", "base-files", "base-passwd", "libapp", "mawk", "netbase"]
    app = found["app"]
    assert (app.version, app.architecture, app.size) == ("1.0-1", "amd64", len(APP.data))
    assert app.sha256 == Digest.of(APP.data)
    assert app.url == f"{archive.url}/{APP.path}"


def test_the_newest_version_of_all_suites_wins(archive: MadeArchive, cache: Cache) -> None:
    assert resolve(archive, cache)["libapp"].version == "1.0-1+deb13u1"


def test_a_pinned_version_stays_while_it_is_there(archive: MadeArchive, cache: Cache) -> None:
    assert resolve(archive, cache, pins={"libapp": "1.0-1"})["libapp"].version == "1.0-1"
    assert resolve(archive, cache, pins={"libapp": "0.9"})["libapp"].version == "1.0-1+deb13u1"


def test_a_missing_security_archive_is_told_and_a_missing_updates_suite_is_not(
    tmp_path: Path, signer: Signer, cache: Cache
) -> None:
    archive = MadeArchive(tmp_path / "small", signer)
    archive.publish([*BASE, APP, LIB])
    notes = Notes()
    assert resolve(archive, cache, progress=notes)["libapp"].version == "1.0-1"
    (note,) = notes.notes
    assert note.startswith("no security updates for Debian trixie")


def test_a_rolling_suite_needs_no_security_archive(tmp_path: Path, signer: Signer, cache: Cache) -> None:
    archive = MadeArchive(tmp_path / "rolling", signer)
    archive.publish([*BASE, APP, LIB], suite="sid")
    notes = Notes()
    assert "app" in resolve(archive, cache, suite="sid", progress=notes)
    assert notes.notes == []


def test_mirrors_come_from_the_environment_too(archive: MadeArchive, cache: Cache) -> None:
    request = replace(request_of(archive), mirror=None)
    environ = {"MLENV_DEBIAN_MIRROR": f"{archive.url}/", "MLENV_DEBIAN_SECURITY_MIRROR": "file:///nowhere"}
    found = resolve_debian(request, cache=cache, now=NOW, environ=environ)
    assert {deb.name: deb.version for deb in found}["libapp"] == "1.0-1"


def test_security_updates_lie_beside_a_mirror_called_debian(tmp_path: Path, signer: Signer, cache: Cache) -> None:
    archive = MadeArchive(tmp_path / "debian", signer)
    archive.publish([*BASE, APP, LIB])
    MadeArchive(tmp_path / "debian-security", signer).publish([LIB_UPDATE], suite="trixie-security")
    assert resolve(archive, cache)["libapp"].version == LIB_UPDATE.version


def test_mirrors_come_from_apt_last(archive: MadeArchive, cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "apt"
    folder.mkdir()
    request = replace(request_of(archive), mirror=None)
    with pytest.raises(UnavailableError, match="no Debian mirror is known"):
        resolve_debian(request, cache=cache, now=NOW, environ={}, apt_folder=folder)
    (folder / "sources.list").write_text(f"deb {archive.url} bookworm main\n")
    notes = Notes()
    found = resolve_debian(request, cache=cache, now=NOW, environ={}, apt_folder=folder, progress=notes)
    assert {deb.name: deb.version for deb in found}["libapp"] == "1.0-1"
    assert "apt sources name none" in notes.notes[0]


def test_a_changed_inrelease_is_refused(archive: MadeArchive, cache: Cache) -> None:
    path = archive.folder / "dists/trixie/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Origin: Test", b"Origin: Evil"))
    assert "the signature does not hold" in refusal(SignatureError, archive, cache)


def test_another_key_is_refused(archive: MadeArchive, cache: Cache) -> None:
    archive.keyring.write_bytes(Signer().keyring)
    assert "the signature does not hold" in refusal(SignatureError, archive, cache)


@pytest.mark.parametrize("data", [b"", b"Suite: trixie\n", b"-----BEGIN PGP SIGNED MESSAGE-----\n", b"\0" * 99])
def test_an_inrelease_without_a_signature_is_refused(data: bytes, archive: MadeArchive, cache: Cache) -> None:
    (archive.folder / "dists/trixie/InRelease").write_bytes(data)
    assert "the signature does not hold" in refusal(SignatureError, archive, cache)


def test_text_around_the_signed_text_counts_for_nothing(archive: MadeArchive, cache: Cache) -> None:
    path = archive.folder / "dists/trixie/InRelease"
    evil = b"Suite: evil\nSHA256:\n " + b"0" * 64 + b" 1 main/binary-amd64/Packages.xz\n"
    path.write_bytes(evil + path.read_bytes() + evil)
    assert "app" in resolve(archive, cache)


@pytest.mark.parametrize("keyring", [b"", b"no keyring at all"])
def test_a_broken_keyring_trusts_nobody(keyring: bytes, archive: MadeArchive, cache: Cache) -> None:
    archive.keyring.write_bytes(keyring)
    refusal(SignatureError, archive, cache)


def test_no_keyring_is_a_signature_failure(archive: MadeArchive, cache: Cache) -> None:
    archive.keyring.unlink()
    assert "there is no keyring" in refusal(SignatureError, archive, cache)


def test_another_suites_index_is_refused(archive: MadeArchive, cache: Cache) -> None:
    archive.publish([*BASE, APP, LIB], suite="bookworm")
    (archive.folder / "dists/bookworm/InRelease").replace(archive.folder / "dists/trixie/InRelease")
    message = refusal(SignatureError, archive, cache)
    assert message == "the mirror serves the signed index of bookworm and stable in place of trixie"


def test_an_expired_index_is_refused_but_for_a_snapshot(archive: MadeArchive, cache: Cache) -> None:
    late = UNTIL + timedelta(days=1)
    message = refusal(SignatureError, archive, cache, now=late)
    assert message == "the index was valid until 2026-06-20T00:00:00Z, and now it is 2026-06-21T00:00:00Z"
    assert "app" in resolve(archive, cache, now=late, snapshot=NOW)


def test_an_index_of_the_future_is_refused(archive: MadeArchive, cache: Cache) -> None:
    assert "was made at" in refusal(SignatureError, archive, cache, now=DATE - timedelta(hours=2))
    assert "the snapshot asked for" in refusal(SignatureError, archive, cache, snapshot=DATE - timedelta(seconds=1))
    assert "app" in resolve(archive, cache, now=DATE - timedelta(minutes=1))


def test_an_archive_that_goes_back_in_time_is_answered_from_the_cache(archive: MadeArchive, cache: Cache) -> None:
    path = archive.folder / "dists/trixie-security/InRelease"
    old = path.read_bytes()
    newer = make_deb("libapp", version="1.0-1+deb13u2")
    archive.publish([newer], suite="trixie-security", date=DATE + timedelta(hours=1))
    assert resolve(archive, cache)["libapp"].version == "1.0-1+deb13u2"
    path.write_bytes(old)
    notes = Notes()
    assert resolve(archive, cache, progress=notes)["libapp"].version == "1.0-1+deb13u2"
    assert "is older than it was" in notes.notes[0]
    assert refusal(DigestMismatchError, archive, Cache(cache.root / "new"))


def test_changed_packages_are_refused(archive: MadeArchive, cache: Cache) -> None:
    path = archive.folder / "dists/trixie/main/binary-amd64/Packages.xz"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert refusal(DigestMismatchError, archive, cache).startswith("expected sha256:")
    path.write_bytes(bytes(data) + b"more")
    assert "longer than" in refusal(RefusedError, archive, cache)
    path.unlink()
    assert "does not have the index" in refusal(UnavailableError, archive, cache)


def test_a_changed_copy_in_the_cache_is_not_used(archive: MadeArchive, cache: Cache) -> None:
    resolve(archive, cache)
    path = archive.folder / "dists/trixie/main/binary-amd64/Packages.xz"
    copy = cache.path(Digest.of(path.read_bytes()))
    copy.chmod(0o644)
    copy.write_bytes(b"evil")
    refusal(DigestMismatchError, archive, cache)
    assert "app" in resolve(archive, cache)


def test_an_index_that_is_signed_but_bombs_is_refused(
    archive: MadeArchive, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlenv.sources.debian.archive._PACKAGES_CAP", 5000)
    packages = lzma.compress(bytes(10_000))
    files = {"main/binary-amd64/Packages.xz": packages}
    (archive.folder / "dists/trixie/InRelease").write_bytes(archive.signer.sign(release(files)))
    (archive.folder / "dists/trixie/main/binary-amd64/Packages.xz").write_bytes(packages)
    assert "inflates to more than 5000 bytes" in refusal(RefusedError, archive, cache)


@pytest.mark.parametrize(
    "text",
    [
        "Suite: trixie\n",
        "Suite: trixie\nDate: yesterday\nSHA256:\n",
        "Suite: trixie\nDate: Sun, 14 Jun 2026 00:00:00 GMT\nMD5Sum:\n 00 1 main/binary-amd64/Packages.xz\n",
        "Suite: trixie\nDate: Sun, 14 Jun 2026 00:00:00 GMT\nSHA256:\n zz 1 main/binary-amd64/Packages.xz\n",
        "Suite: trixie\nSuite: trixie\nDate: Sun, 14 Jun 2026 00:00:00 GMT\nSHA256:\n",
    ],
)
def test_a_signed_text_that_is_no_release_file_is_refused(text: str, archive: MadeArchive, cache: Cache) -> None:
    (archive.folder / "dists/trixie/InRelease").write_bytes(archive.signer.sign(text))
    assert "not a Release file" in refusal(RefusedError, archive, cache)


def _with(**changes: str) -> Callable[[str], str]:
    def change(stanza: str) -> str:
        for name, value in changes.items():
            lines = [line for line in stanza.splitlines(keepends=True) if not line.startswith(f"{name}:")]
            stanza = "".join(lines) + (f"{name}: {value}\n" if value else "")
        return stanza

    return change


@pytest.mark.parametrize(
    "change",
    [
        _with(SHA256=""),
        _with(SHA256="00"),
        _with(Size="many"),
        _with(Filename="../../etc/passwd"),
        _with(Filename="/etc/passwd"),
        _with(Filename="pool/../../x.deb"),
        _with(Version="1 2"),
        _with(Depends="a b c"),
    ],
)
def test_a_broken_stanza_is_refused(change: Callable[[str], str], archive: MadeArchive, cache: Cache) -> None:
    texts = [change(deb.stanza) if deb is APP else deb.stanza for deb in (*BASE, APP, LIB)]
    packages = "\n".join(texts).encode()
    files = {"main/binary-amd64/Packages": packages}
    (archive.folder / "dists/trixie/InRelease").write_bytes(archive.signer.sign(release(files)))
    (archive.folder / "dists/trixie/main/binary-amd64/Packages").write_bytes(packages)
    assert refusal(RefusedError, archive, cache).startswith("the index is broken at 'Package: app'")


def test_by_hash_is_asked_for_where_it_is_offered(archive: MadeArchive, cache: Cache) -> None:
    archive.publish([*BASE, APP, LIB], extra="Acquire-By-Hash: yes\n")
    path = archive.folder / "dists/trixie/main/binary-amd64/Packages.xz"
    by_hash = path.parent / "by-hash/SHA256" / sha256(path.read_bytes()).hexdigest()
    by_hash.parent.mkdir(parents=True)
    path.rename(by_hash)
    assert "app" in resolve(archive, cache)


def test_an_unknown_suite_and_architecture(archive: MadeArchive, cache: Cache) -> None:
    assert refusal(ResolutionError, archive, cache, suite="trixy") == "the mirror has no suite 'trixy'"
    packages = b""
    files = {"main/binary-amd64/Packages": packages}
    (archive.folder / "dists/trixie/InRelease").write_bytes(archive.signer.sign(release(files)))
    message = refusal(ResolutionError, archive, cache, platform=Platform.LINUX_ARM64)
    assert message == "trixie has no packages for arm64"


def test_without_a_network_the_cache_is_enough_and_its_time_still_counts(archive: MadeArchive, cache: Cache) -> None:
    before = resolve(archive, cache)
    archive.folder.rename(archive.folder.with_name("gone"))
    gone = replace(request_of(archive), keyring=archive.folder.with_name("gone") / "keyring.gpg")
    assert [*resolve_debian(gone, cache=cache, now=NOW, environ={}, offline=True)] == [*before.values()]
    with pytest.raises(SignatureError):
        resolve_debian(gone, cache=cache, now=UNTIL + timedelta(days=1), environ={}, offline=True)
    with pytest.raises(UnavailableError, match="not in the cache"):
        resolve_debian(gone, cache=Cache(cache.root / "cold"), now=NOW, environ={}, offline=True)


def test_offline_remembers_that_a_suite_is_not_there(tmp_path: Path, signer: Signer, cache: Cache) -> None:
    archive = MadeArchive(tmp_path / "small", signer)
    archive.publish([*BASE, APP, LIB])
    before = resolve(archive, cache)
    assert resolve(archive, cache, offline=True) == before


def test_another_architecture_has_its_own_packages(archive: MadeArchive, cache: Cache) -> None:
    arm = [replace(deb, architecture="arm64") for deb in BASE if deb.architecture == "amd64"]
    foreign = [make_deb(deb.name, architecture="arm64", Provides="awk") for deb in arm]
    archive.publish([*BASE, *foreign, APP, LIB, make_deb("tool", architecture="arm64")])
    found = resolve(archive, cache, "tool", platform=Platform.LINUX_ARM64)
    assert {deb.architecture for deb in found.values()} == {"arm64", "all"}
    assert "tool" in refusal(ResolutionError, archive, cache, packages=("tool",))


def test_one_byte_of_a_package_swapped_is_refused_and_nothing_is_kept(archive: MadeArchive, cache: Cache) -> None:
    found = resolve(archive, cache)
    path = archive.folder / APP.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError, match=r"app 1\.0-1 was refused: expected"):
        fetch_debs([*found.values()], cache=cache)
    assert not cache.has(found["app"].sha256)
    path.write_bytes(APP.data + b"x")
    with pytest.raises(DigestMismatchError, match="more than the"):
        fetch_debs([*found.values()], cache=cache)
    path.unlink()
    with pytest.raises(UnavailableError, match="No such file"):
        fetch_debs([*found.values()], cache=cache)
    assert [*(cache.root / "tmp").iterdir()] == []


def test_a_file_name_with_a_percent_sign_is_found(archive: MadeArchive, cache: Cache) -> None:
    epoch = make_deb("epoch", version="1:2~rc1+b1")
    assert "%3a" in epoch.path
    archive.publish([*BASE, epoch])
    fetch_debs([resolve(archive, cache, "epoch")["epoch"]], cache=cache)
    assert cache.has(Digest.of(epoch.data))


def test_packages_are_fetched_once(archive: MadeArchive, cache: Cache) -> None:
    found = [*resolve(archive, cache).values()]
    notes = Notes()
    fetch_debs([*found, *found], cache=cache, progress=notes)
    assert notes.done == sum(deb.size for deb in found)
    with cache.open(Digest.of(APP.data)) as file:
        assert file.read() == APP.data
    archive.folder.rename(archive.folder.with_name("gone"))
    fetch_debs(found, cache=cache)


def locked(deb: ResolvedDeb, **changes: Any) -> LockedDeb:
    fields = {"name": deb.name, "version": deb.version, "architecture": deb.architecture, "size": deb.size}
    return LockedDeb.model_validate({**fields, "digest": deb.sha256, **changes})


def test_locked_packages_are_found_where_they_lie_today(archive: MadeArchive, cache: Cache) -> None:
    old = resolve(archive, cache, pins={"libapp": "1.0-1"})
    debs = [locked(old["libapp"]), locked(old["app"])]
    found = locate_debs(debs, request_of(archive), cache=cache, now=NOW, environ={})
    assert found == (old["libapp"], old["app"])


def test_locked_packages_that_are_gone_are_all_named(archive: MadeArchive, cache: Cache) -> None:
    app = resolve(archive, cache)["app"]
    debs = [locked(app, version="0.9"), locked(app, digest=Digest.of(b"other")), locked(app, name="lost")]
    with pytest.raises(UnavailableError) as caught:
        locate_debs(debs, request_of(archive), cache=cache, now=NOW, environ={})
    old, other, lost = caught.value.problems
    assert old.message == "the archive no longer has app 0.9 amd64 (it has 1.0-1)"
    assert "but with other bytes than sha256:" in other.message
    assert lost.message == "the archive no longer has lost 1.0-1 amd64 (it has no version)"
    assert "snapshot" in old.hint


def test_now_has_a_zone_and_any_zone_is_right(archive: MadeArchive, cache: Cache) -> None:
    assert "app" in resolve(archive, cache, now=datetime.fromisoformat("2026-06-20T01:00:00+02:00"))
    assert refusal(SignatureError, archive, cache, now=datetime(2026, 6, 20, 1, tzinfo=UTC))
