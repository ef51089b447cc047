"""The exit status of a command whose output nobody takes: `mlenv verify | head -1`, a full disk, a closed stream."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.key_files import sign_at, trust
from support.refusals import Project
from support.signers import policy_text

Stream = Callable[[], int]


@pytest.fixture
def signed(locked: Project) -> Project:
    """A locked project that alice signed, and whose user trusts her."""
    sign_at(locked, "alice", datetime.now(UTC).replace(microsecond=0) - timedelta(days=1))
    trust(locked, policy_text(["alice"]))
    return locked


def unread() -> int:
    """A pipe that nobody reads any more."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def heard() -> int:
    return os.open(os.devnull, os.O_WRONLY)


@contextmanager
def opened(stream: Stream) -> Iterator[int]:
    descriptor = stream()
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def status_with(project: Project, out: Stream, err: Stream, *arguments: str) -> int:
    with opened(out) as output, opened(err) as errors:
        command = project.command(*arguments)
        environ = project.environment()
        return subprocess.run(
            command, cwd=project.root, env=environ, stdout=output, stderr=errors, check=False
        ).returncode


FAILING = {
    "an edited lock": (3, ("verify",)),
    "an edited lock, as json": (3, ("verify", "--json")),
    "no such policy": (3, ("verify", "--json", "--trust", "nowhere.toml")),
    "told at length": (3, ("verify", "-vv", "--trust", "nowhere.toml")),
    "a build": (3, ("build", "--json", "-o", "oci:out")),
    "no such option": (2, ("verify", "--json", "--no-such-option")),
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize(("out", "err"), [(unread, heard), (full, heard), (unread, unread), (heard, full)])
def test_a_failure_stays_one_whoever_listens(signed: Project, name: str, out: Stream, err: Stream) -> None:
    status, arguments = FAILING[name]
    signed.lock.write_text(signed.lock.read_text() + "# edited\n")
    assert status_with(signed, out, err, *arguments) == status


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_failure_with_streams_that_are_closed(signed: Project, closed: str) -> None:
    signed.lock.write_text(signed.lock.read_text() + "# edited\n")
    result = signed.run("verify", before=["sh", "-c", f'"$@" {closed}', "sh"])
    assert result.status == 3, result
    assert "Traceback" not in result.out + result.err


def test_a_success_is_one_where_the_reader_went_and_none_where_the_disk_is_full(signed: Project) -> None:
    assert status_with(signed, unread, unread, "verify") == 0
    assert status_with(signed, full, heard, "verify") == 6
    assert status_with(signed, full, heard, "verify", "--json") == 6


def test_a_stream_that_cannot_take_every_character(signed: Project) -> None:
    folder = signed.root / "dépôt"
    folder.mkdir()
    (folder / "mlenv.lock").write_text("not a lock\n")
    result = signed.run("verify", "--lock", "dépôt/mlenv.lock", environ={"PYTHONIOENCODING": "ascii"})
    assert result.status == 3, result
    assert "Traceback" not in result.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_verification_has_verified_nothing(
    signed: Project, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    pipe = tmp_path / "alice.pub"  # a key from another program, which keeps us waiting
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)  # without one, mlenv would not wait
    end = time.monotonic() + 3
    ended = signed.run_and_send(number, lambda: time.monotonic() > end, "verify", f"--key={pipe}", "--json")
    os.close(writer)
    assert (ended.status, ended.out) == (status, ""), ended
