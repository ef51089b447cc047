"""The cache: whole blobs only, nothing trusted, nothing left behind."""

import errno
import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlenv.errors import DigestMismatchError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.sources.cache import Cache, default_root
from mlenv.sources.cache_prune import KindUsage, prune, usage

DATA = b"some bytes" * 1000
DIGEST = Digest.of(DATA)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def _temporary_files(cache: Cache) -> list[Path]:
    return list((cache.root / "tmp").iterdir())


def test_what_was_put_is_read(cache: Cache) -> None:
    assert not cache.has(DIGEST)
    assert cache.put([DATA[:100], DATA[100:]], expected=DIGEST) == DIGEST
    assert cache.has(DIGEST)
    with cache.open(DIGEST) as file:
        assert file.read() == DATA
    assert stat.S_IMODE(cache.path(DIGEST).stat().st_mode) == 0o444
    assert not _temporary_files(cache)


def test_nothing_is_made_before_something_is_written(cache: Cache) -> None:
    assert cache.record("layers", "key") is None
    with pytest.raises(FileNotFoundError), cache.open(DIGEST):
        pass
    assert not cache.root.exists()


def test_other_bytes_than_expected_are_not_kept(cache: Cache) -> None:
    with pytest.raises(DigestMismatchError, match="expected sha256:"):
        cache.put([b"other"], expected=DIGEST)
    assert not cache.has(DIGEST)
    assert not cache.has(Digest.of(b"other"))
    assert not _temporary_files(cache)


def test_a_changed_blob_is_refused_and_removed(cache: Cache) -> None:
    cache.put([DATA])
    cache.path(DIGEST).chmod(0o644)
    with cache.path(DIGEST).open("r+b") as file:
        file.seek(5000)
        file.write(b"\0")
    with pytest.raises(DigestMismatchError) as caught, cache.open(DIGEST):
        pass
    assert caught.value.exit_status == 7
    assert caught.value.problems[0].hint
    assert not cache.has(DIGEST)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_no_blob(cache: Cache, tmp_path: Path, kind: str) -> None:
    path = cache.path(DIGEST)
    path.parent.mkdir(parents=True)
    if kind == "link":  # also one to the right bytes: they could change between two reads
        (tmp_path / "elsewhere").write_bytes(DATA)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(DigestMismatchError, match="is no file"), cache.open(DIGEST):
        pass


def test_the_file_that_was_hashed_is_the_one_that_is_read(cache: Cache) -> None:
    cache.put([DATA])
    with cache.open(DIGEST) as file:
        swapped = cache.root / "swapped"
        swapped.write_bytes(b"the attacker's bytes")
        swapped.replace(cache.path(DIGEST))
        assert file.read() == DATA


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"key": "key", "sha256": "", "value": 1}'],
)
def test_a_damaged_record_is_absent(cache: Cache, garbage: bytes) -> None:
    cache.remember("layers", "key", {"a": [1, 2]})
    (path,) = (cache.root / "records" / "layers").iterdir()
    assert cache.record("layers", "key") == {"a": [1, 2]}
    path.write_bytes(garbage)
    assert cache.record("layers", "key") is None


def test_a_record_under_another_name_or_with_another_value_is_absent(cache: Cache) -> None:
    cache.remember("layers", "one", 1)
    cache.remember("layers", "two", 2)
    one, two = (cache._record_path("layers", key) for key in ("one", "two"))
    one.write_bytes(two.read_bytes())
    assert cache.record("layers", "one") is None
    stored = json.loads(two.read_text())
    two.write_text(json.dumps(stored | {"value": 3}))
    assert cache.record("layers", "two") is None


def test_a_record_can_be_replaced(cache: Cache) -> None:
    cache.remember("layers", "key", 1)
    cache.remember("layers", "key", 2)
    assert cache.record("layers", "key") == 2
    assert cache.record("other", "key") is None


def test_an_adopted_file_can_be_filled_in_any_order(cache: Cache) -> None:
    with cache.temporary() as file:
        file.write(b"\0" * 10 + DATA[10:])
        file.seek(0)
        file.write(DATA[:10])
        assert Path(file.name).exists()
        cache.adopt(file, DIGEST)
    with cache.open(DIGEST) as file:
        assert file.read() == DATA


def test_an_error_of_the_caller_is_the_callers_and_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(ConnectionResetError), cache.temporary():
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert not _temporary_files(cache)


def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(full_disk: Path) -> None:
    cache = Cache(full_disk)
    data = [os.urandom(1 << 20)] * 8
    with pytest.raises(UnavailableError) as caught:
        cache.put(data)
    assert caught.value.exit_status == 6
    assert "No space left" in str(caught.value)
    assert "MLENV_CACHE_DIR" in caught.value.problems[0].hint
    assert not _temporary_files(cache)
    small = cache.put([b"small"])  # the space is back
    assert cache.has(small)


def test_a_place_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot write: Not a directory"):
        Cache(tmp_path / "file").put([DATA])


def test_a_folder_of_somebody_else_is_an_error(tmp_path: Path) -> None:
    if os.getuid() == 0:
        place = Path("/proc/mlenv")  # where not even root can make anything
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o555)
        place /= "cache"
    with pytest.raises(UnavailableError) as caught:
        Cache(place).put([DATA])
    assert caught.value.problems[0].hint.endswith("point MLENV_CACHE_DIR at another folder") or place.parts[1] == "proc"


def test_the_root_comes_from_the_environment(tmp_path: Path) -> None:
    assert default_root({"MLENV_CACHE_DIR": str(tmp_path)}) == tmp_path
    assert default_root({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "mlenv"
    assert default_root({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "mlenv"


def test_usage_counts_by_kind(cache: Cache) -> None:
    assert usage(cache) == []
    cache.put([DATA])
    cache.put([b"12345"])
    cache.remember("layers", "key", 1)
    kinds = {kind.kind: (kind.count, kind.size) for kind in usage(cache)}
    assert kinds["blobs"] == (2, len(DATA) + 5)
    assert kinds["records/layers"][0] == 1
    assert "temporary" not in kinds


def _age(path: Path, days: float) -> None:
    moment = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (moment, moment))


def test_prune_removes_what_was_not_used_for_long(cache: Cache) -> None:
    old, new = cache.put([b"old"]), cache.put([b"new"])
    _age(cache.path(old), 40)
    _age(cache.path(new), 20)
    assert prune(cache, now=NOW, older_than=None).count == 0
    assert prune(cache, now=NOW, older_than=timedelta(days=30)) == KindUsage("removed", 1, 3)
    assert cache.has(new)
    assert not cache.has(old)
    cache.remember("layers", "key", 1)
    assert prune(cache, now=datetime.now(UTC) + timedelta(seconds=1), older_than=timedelta(0)).count == 2
    assert usage(cache) == []


def test_reading_counts_as_use(cache: Cache) -> None:
    cache.put([DATA])
    _age(cache.path(DIGEST), 4000)
    with cache.open(DIGEST):
        pass
    assert prune(cache, now=datetime.now(UTC), older_than=timedelta(days=30)).count == 0


def test_prune_leaves_a_file_alone_that_was_just_made(cache: Cache) -> None:
    (cache.root / "tmp").mkdir(parents=True)
    (cache.root / "tmp" / "not-locked-yet").write_bytes(b"")
    assert prune(cache, now=datetime.now(UTC), older_than=timedelta(0)).count == 0
