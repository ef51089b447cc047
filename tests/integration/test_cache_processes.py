"""One cache, several processes: they never meet half a file, and the death of one leaves nothing behind."""

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlenv.model.digest import Digest
from mlenv.sources.cache import Cache
from mlenv.sources.cache_prune import KindUsage, prune

NOW = datetime(2026, 11, 1, tzinfo=UTC)
YESTERDAY = (NOW - timedelta(days=1)).timestamp()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def _write_and_wait(root: Path, ready: str) -> None:
    with Cache(root).temporary() as file:
        file.write(b"half")
        file.flush()
        Path(ready).write_text(file.name)
        time.sleep(60)


def test_prune_removes_what_a_killed_process_left_and_nothing_that_is_being_written(
    cache: Cache, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_and_wait, args=(cache.root, f"{tmp_path}/{name}")) for name in "ab"]
    for process in processes:
        process.start()
    try:
        deadline = time.monotonic() + 30
        while not ((tmp_path / "a").exists() and (tmp_path / "b").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.05)
        dead, alive = (Path((tmp_path / name).read_text()) for name in "ab")
        assert processes[0].pid is not None
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].join()
        for path in (dead, alive):
            os.utime(path, (YESTERDAY, YESTERDAY))
        assert prune(cache, now=NOW, older_than=timedelta(0)) == KindUsage("removed", 1, 4)
        assert not dead.exists()
        assert alive.exists()
    finally:
        processes[1].kill()
        for process in processes:
            process.join()


def _put_many(root: Path) -> None:
    cache = Cache(root)
    for number in range(30):
        cache.put([str(number).encode() * 10_000])
        cache.remember("numbers", str(number), number)


def test_many_processes_write_the_same(cache: Cache) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_many, args=(cache.root,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for number in range(30):
        with cache.open(Digest.of(str(number).encode() * 10_000)):
            pass
        assert cache.record("numbers", str(number)) == number
    assert not list((cache.root / "tmp").iterdir())
