"""Several processes, and one that is killed, in one OCI layout."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from mlenv.model.digest import Digest
from mlenv.oci.descriptor import OCI_MANIFEST, Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.layout_writer import LayoutWriter


def _write(path: Path, name: str) -> None:
    with LayoutWriter(path) as out:
        out.add_blob(name.encode())
        out.finish(Descriptor.of(name.encode(), OCI_MANIFEST), f"a:{name}")


def _write_many(path: Path, worker: int) -> None:
    for number in range(5):
        _write(path, f"{worker}-{number}")


def _dies(path: Path, moment: str) -> None:
    with LayoutWriter(path) as out:
        if moment != "at once":
            out.add_blob(b"whole")
        with out.blob_writer() as sink:
            sink.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)


def test_processes_that_write_into_one_layout_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(tmp_path / "l", worker)) for worker in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    assert [process.exitcode for process in workers] == [0, 0, 0]
    assert len(Layout(tmp_path / "l").index().manifests) == 15


@pytest.mark.parametrize("before", ["new", "existing"])
@pytest.mark.parametrize("moment", ["at once", "after a blob"])
def test_kill_9_and_again(tmp_path: Path, before: str, moment: str) -> None:
    layout = tmp_path / "l"
    if before == "existing":
        _write(layout, "first")
    process = multiprocessing.get_context("spawn").Process(target=_dies, args=(layout, moment))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (layout / "index.json").exists() is (before == "existing")
    _write(layout, "second")
    expected = {Digest.of(b"second")} | ({Digest.of(b"first")} if before == "existing" else set())
    assert {entry.digest for entry in Layout(layout).index().manifests} == expected
    assert not [path.name for path in (layout / "blobs" / "sha256").iterdir() if path.name.startswith(".")]
