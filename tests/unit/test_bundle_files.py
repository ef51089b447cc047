"""Which files beside a lock are its bundles, and how they are read and written."""

import os
from pathlib import Path

import pytest
from support import locks
from support.signers import signer, statement

from mlenv.errors import SignatureError, UsageError
from mlenv.sources.trust.bundles import bundle_path, read_bundles, write_bundle
from mlenv.trust.bundle import LIMIT, Bundle
from mlenv.trust.judge_findings import MOST_BUNDLES


def names(lock: Path) -> list[str]:
    return [one.name for one in read_bundles(lock)]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "mlenv.lock"
    path.write_text("")
    return path


@pytest.mark.parametrize("name", ["", "bob", "B", "ci-2026.01_a", "0", "a" * 64])
def test_a_bundle_is_found_where_it_is_written(lock: Path, name: str) -> None:
    bundle = Bundle.sign(statement(locks.lock()).to_bytes(), signer("alice"))
    path = bundle_path(lock, name)
    write_bundle(path, bundle)
    (found,) = read_bundles(lock)
    assert found.name == path.name == f"mlenv.lock.{name}{'.' if name else ''}sigstore.json"
    assert found.data == bundle.to_bytes()
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", [".", "..", "a/b", "-a", ".a", "_a", "a b", "ä", "a" * 65, "a\n", "a\0"])
def test_what_is_no_name_of_a_signer(lock: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be part of a file's name"):
        bundle_path(lock, name)


def test_they_come_in_the_order_of_their_names(lock: Path) -> None:
    for name in ("zoe", "", "bob", "Ada"):
        bundle_path(lock, name).write_text(name)
    assert names(lock) == [
        "mlenv.lock.Ada.sigstore.json",
        "mlenv.lock.bob.sigstore.json",
        "mlenv.lock.sigstore.json",
        "mlenv.lock.zoe.sigstore.json",
    ]


@pytest.mark.parametrize(
    "other",
    [
        "mlenv.lock",
        "mlenv.lock.json",
        "mlenv.locksigstore.json",
        "mlenv.lock..sigstore.json",
        "mlenv.lock.-a.sigstore.json",
        "mlenv.lock.a.sigstore.json~",
        "mlenv.lock.a.sigstore.jsonx",
        "other.lock.sigstore.json",
        ".mlenv.lock.sigstore.json.mlenv-abc",
        "sigstore.json",
    ],
)
def test_other_files_are_none(lock: Path, other: str) -> None:
    lock.with_name(other).write_text("{}")
    assert names(lock) == []


def test_a_lock_of_another_name_has_bundles_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mlenv.lock.sigstore.json").write_text("")
    (tmp_path / "gpu.lock.sigstore.json").write_text("")
    assert names(tmp_path / "gpu.lock") == ["gpu.lock.sigstore.json"]


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    assert read_bundles(tmp_path / "absent" / "mlenv.lock") == []


def test_a_lock_named_without_a_folder(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle_path(lock).write_text("")
    monkeypatch.chdir(lock.parent)
    assert names(Path("mlenv.lock")) == ["mlenv.lock.sigstore.json"]


def test_a_link_is_followed(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "stored").write_text("content")
    bundle_path(lock).symlink_to("stored")
    (found,) = read_bundles(lock)
    assert found.data == b"content"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dangling(path: Path) -> None:
    path.symlink_to("absent")


def make_circle(path: Path) -> None:
    path.symlink_to(path.name)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [make_directory, make_pipe, make_dangling, make_circle, make_device])
def test_what_cannot_be_a_bundle_is_named(lock: Path, make: object) -> None:
    path = bundle_path(lock, "bob")
    assert callable(make)
    make(path)
    with pytest.raises(SignatureError, match="cannot be read: ") as caught:
        read_bundles(lock)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert problem.hint


def test_one_may_be_so_large_and_no_larger(lock: Path) -> None:
    path = bundle_path(lock)
    path.write_bytes(b" " * LIMIT)
    assert len(read_bundles(lock)[0].data) == LIMIT
    path.write_bytes(b" " * (LIMIT + 1))
    with pytest.raises(SignatureError, match="larger than 4 MiB"):
        read_bundles(lock)


def test_there_may_be_so_many_and_no_more(lock: Path) -> None:
    for number in range(MOST_BUNDLES):
        bundle_path(lock, str(number)).write_text("")
    assert len(read_bundles(lock)) == MOST_BUNDLES
    bundle_path(lock).write_text("")
    with pytest.raises(SignatureError, match="holds 65 bundles"):
        read_bundles(lock)
