"""Ctrl-C, SIGTERM and kill -9 at any moment: nothing half done is left under its name, and the next run works."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.index import Served, serve, write_pages
from support.refusals import Project, any_larger, assert_whole_blobs
from support.small_projects import make_wheel

BUILD = ("build", "--output", "oci:out")
STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.fixture
def index(project: Project, tmp_path: Path) -> Iterator[Served]:
    """An index with a wheel that never comes to its end."""
    wheel = make_wheel(tmp_path / "index" / "demo", "demo", files={"data.bin": bytes(3 << 20)})
    write_pages(tmp_path / "index")
    project.edit('find-links = ["wheels"]\n', "")
    with serve(tmp_path / "index") as served:
        over = threading.Event()

        def slow(request: BaseHTTPRequestHandler) -> None:
            data = wheel.read_bytes()
            if "Range" in request.headers:  # uv reads the metadata, which lies at the end
                first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
                part = data[-int(last) :] if not first else data[int(first) : int(last or len(data)) + 1]
                at = len(data) - len(part) if not first else int(first)
                request.send_response(206)
                request.send_header("Content-Range", f"bytes {at}-{at + len(part) - 1}/{len(data)}")
                request.send_header("Content-Length", str(len(part)))
                request.end_headers()
                request.wfile.write(part)
                return
            request.send_response(200)
            request.send_header("Content-Length", str(len(data)))
            request.send_header("Accept-Ranges", "bytes")
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(data[: 2 << 20])
                over.wait(20)

        served.answers[f"/demo/{wheel.name}"] = slow
        project.environ |= {"UV_DEFAULT_INDEX": served.url}
        yield served
        over.set()


def partly_fetched(project: Project) -> bool:
    """Whether a part of the wheel lies in the cache: what is larger than a record."""
    return any_larger((project.cache / "tmp").glob("*"), 1 << 19)


@pytest.mark.parametrize(("number", "status"), STOPS)
@pytest.mark.usefixtures("index")
def test_in_the_middle_of_a_fetch(project: Project, number: signal.Signals, status: int) -> None:
    result = project.run_and_send(number, lambda: partly_fetched(project), "lock")
    assert result.status == status, result
    assert "Traceback" not in result.err
    assert result.out == ""
    assert result.changed == ()
    assert list((project.cache / "tmp").iterdir()) == []
    assert ("interrupted" in result.err) == (number == signal.SIGINT)


@pytest.fixture
def busy(project: Project) -> Project:
    """A project that was locked, whose build writes for a while."""
    for name in ("first", "second"):
        make_wheel(project.root / "wheels", name, files={f"{name}.bin": os.urandom(24 << 20)})
    project.edit('"demo"', '"first", "second"')
    assert project.run("lock").status == 0
    return project


def being_written(project: Project) -> Callable[[], bool]:
    return lambda: any_larger((project.root / "out" / "blobs" / "sha256").glob(".mlenv-*"))


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_in_the_middle_of_a_build(busy: Project, number: signal.Signals, status: int) -> None:
    result = busy.run_and_send(number, being_written(busy), *BUILD)
    assert (result.status, result.out, result.changed) == (status, "", ()), result
    assert "Traceback" not in result.err


def kill_after(project: Project, seconds: float, *arguments: str) -> bool:
    """kill -9 to the whole group, uv included; whether the run was still going on."""
    with subprocess.Popen(
        project.command(*arguments),
        cwd=project.root,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        time.sleep(seconds)
        going_on = process.poll() is None
        if going_on:
            os.killpg(process.pid, signal.SIGKILL)
    return going_on


def assert_recovers(project: Project) -> None:
    """After a kill: no blob under a name that is not its own, and lock and build as if nothing had been."""
    assert_whole_blobs(project.cache / "blobs" / "sha256")
    assert project.run("lock").status == 0
    result = project.run(*BUILD)
    assert result.status == 0, result.err
    assert result.out.strip() == project.locked_digest() == project.image_digest()


def test_kill_in_the_middle_of_a_lock_and_of_a_build(busy: Project) -> None:
    """At moments drawn anew in each run of the tests; the message of a failure names the seed."""
    seed = random.randrange(1 << 32)
    draw = random.Random(seed)
    true = busy.lock.read_bytes()
    for _ in range(2):
        busy.lock.unlink(missing_ok=True)
        for path in (busy.cache / "records").rglob("*"):
            if path.is_file():
                path.unlink()
        kill_after(busy, draw.uniform(0.2, 1.2), "lock")
        assert not busy.lock.exists() or busy.lock.read_bytes() == true, seed
        assert_whole_blobs(busy.cache / "blobs" / "sha256")
    assert busy.run("lock").status == 0
    assert busy.lock.read_bytes() == true, seed
    for _ in range(2):
        if kill_after(busy, draw.uniform(0.3, 1.2), *BUILD):
            assert not (busy.root / "out" / "index.json").exists() or busy.image_digest() == busy.locked_digest(), seed
    assert_recovers(busy)
    beside = {path.name for path in busy.root.iterdir()}
    assert beside == {"base", "mlenv.lock", "mlenv.toml", "out", "wheels"}, seed


def test_kill_in_the_middle_of_writing_an_image(busy: Project) -> None:
    result = busy.run_and_send(signal.SIGKILL, being_written(busy), *BUILD)
    assert result.status == -signal.SIGKILL
    assert not (busy.root / "out" / "index.json").exists()
    assert_recovers(busy)


@pytest.mark.parametrize("output", ["oci-archive:out.tar", "docker-archive:out.tar"])
def test_kill_in_the_middle_of_writing_an_archive(busy: Project, output: str) -> None:
    def writing() -> bool:
        return any_larger(busy.root.glob(".out.tar.*"), 1 << 20)

    result = busy.run_and_send(signal.SIGKILL, writing, "build", "--output", output)
    assert result.status == -signal.SIGKILL
    assert not (busy.root / "out.tar").exists()
    assert busy.run("build", "--output", output).status == 0
    assert sorted(path.name for path in busy.root.glob("*out.tar*")) == ["out.tar"]
    (left,) = (busy.cache / "tmp").iterdir()
    os.utime(left, (0, 0))
    assert busy.run("cache", "prune").status == 0
    assert list((busy.cache / "tmp").iterdir()) == []


def test_kill_in_the_middle_of_a_fetch_and_prune(project: Project, index: Served) -> None:
    result = project.run_and_send(signal.SIGKILL, lambda: partly_fetched(project), "lock")
    assert (result.status, result.changed) == (-signal.SIGKILL, ())
    (left,) = (project.cache / "tmp").iterdir()
    os.utime(left, (0, 0))  # only what was not touched for a minute counts as left behind
    assert project.run("cache", "prune").status == 0
    assert list((project.cache / "tmp").iterdir()) == []
    assert_whole_blobs(project.cache / "blobs" / "sha256")
    index.answers.clear()  # now the index answers as it should
    assert_recovers(project)
