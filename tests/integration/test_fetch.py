"""Fetching into the cache, from a server that misbehaves in every way that was seen or is feared."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from support.index import Served, serve

from mlenv.errors import DigestMismatchError, MlenvError, RefusedError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.sources import http as mlenv_http
from mlenv.sources.cache import Cache
from mlenv.sources.fetch import Fetch, fetch_all
from mlenv.sources.http import stream_url

DATA = os.urandom(3_000_000)
Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data.whl").write_bytes(DATA)
    with serve(tmp_path / "files") as served:
        yield served


def item(served: Served, data: bytes = DATA, path: str = "/data.whl", size: int | None = None) -> Fetch:
    return Fetch(served.url + path, Digest.of(data), size, "data.whl")


def nothing_is_left(cache: Cache) -> bool:
    return not list((cache.root / "tmp").iterdir())


class Count:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.done = self.finished = 0
        self.total: int | None = None

    def task(self, label: str, total: int | None = None) -> "Count":
        assert label
        self.total = total
        return self

    def note(self, message: str) -> None:
        raise AssertionError(message)

    def advance(self, amount: int) -> None:
        self.done += amount

    def finish(self) -> None:
        self.finished += 1


def test_each_blob_is_fetched_once(server: Served, cache: Cache) -> None:
    count = Count()
    fetch_all([item(server, size=len(DATA))] * 3, cache, progress=count)
    assert server.paths == ["/data.whl"]
    assert (count.total, count.done, count.finished) == (len(DATA), len(DATA), 1)
    with cache.open(Digest.of(DATA)) as file:
        assert file.read() == DATA
    fetch_all([item(server)], cache)
    assert server.paths == ["/data.whl"]
    assert nothing_is_left(cache)


def test_one_byte_swapped(server: Served, cache: Cache, tmp_path: Path) -> None:
    changed = bytearray(DATA)
    changed[1_234_567] ^= 1
    (tmp_path / "files" / "data.whl").write_bytes(changed)
    with pytest.raises(DigestMismatchError) as caught:
        fetch_all([item(server, size=len(DATA))], cache)
    assert caught.value.exit_status == 7
    for part in ("data.whl was refused", str(Digest.of(DATA)), str(Digest.of(bytes(changed))), server.url):
        assert part in str(caught.value)
    assert caught.value.problems[0].hint
    assert not cache.has(Digest.of(DATA))
    assert nothing_is_left(cache)


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_another_size(server: Served, cache: Cache, size: int) -> None:
    with pytest.raises(DigestMismatchError, match="bytes"):
        fetch_all([item(server, size=size)], cache)
    assert nothing_is_left(cache)


def _broken(after: int, *, ranges: bool) -> Answer:
    """Serves the data, breaking off after so many bytes of the first answer."""
    calls: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = 0
        wanted = handler.headers.get("Range")
        if ranges and wanted:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        handler.send_header("Content-Length", str(len(DATA) - start))
        handler.end_headers()
        calls.append(start)
        handler.wfile.write(DATA[start:] if len(calls) > 1 else DATA[:after])
        handler.close_connection = True

    return answer


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_goes_on(server: Served, cache: Cache, ranges: bool) -> None:
    server.answers["/data.whl"] = _broken(2_000_000, ranges=ranges)
    count = Count()
    fetch_all([item(server, size=len(DATA))], cache, progress=count)
    assert cache.has(Digest.of(DATA))
    assert count.done == len(DATA)
    asked = [headers.get("Range") for _, headers in server.requests]
    assert asked[0] is None
    assert asked[1] is not None
    assert asked[1].startswith("bytes=")


def _status(status: int, times: int, **headers: str) -> Answer:
    left = [times]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        body = DATA if left[0] < 0 else b""
        handler.send_response(200 if left[0] < 0 else status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server: Served, cache: Cache, status: int) -> None:
    server.answers["/data.whl"] = _status(status, 2, Retry_After="0")
    fetch_all([item(server)], cache)
    assert len(server.paths) == 3


def test_a_server_cannot_make_us_wait_for_long(server: Served, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(mlenv_http.Connections, "wait", lambda _, seconds: waits.append(seconds))
    for value in ("86400", "Fri, 31 Dec 2100 23:59:59 GMT", "nonsense", "-5"):
        server.answers["/data.whl"] = _status(503, 1, Retry_After=value)
        fetch_all([item(server)], cache)
        cache.path(Digest.of(DATA)).unlink()
    assert waits == [30, 30, 0.5, 0.5]


@pytest.mark.parametrize(("status", "hint"), [(404, "gone"), (410, "gone"), (403, "credentials"), (401, "credentials")])
def test_what_lasts_is_not(server: Served, cache: Cache, status: int, hint: str) -> None:
    server.answers["/data.whl"] = _status(status, 9)
    with pytest.raises(UnavailableError, match=str(status)) as caught:
        fetch_all([item(server)], cache)
    assert hint in caught.value.problems[0].hint
    assert len(server.paths) == 1
    assert nothing_is_left(cache)


def test_nobody_answers(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlenv_http.Connections, "wait", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    url = f"http://ada:secret@127.0.0.1:{port}/data.whl?token=secret"
    with pytest.raises(UnavailableError) as caught:
        fetch_all([Fetch(url, Digest.of(DATA), None, "data.whl")], cache)
    assert str(caught.value) == f"http://127.0.0.1:{port}/data.whl: cannot fetch: Connection refused"


def _redirect(to: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_a_password_does_not_follow_a_redirect_to_another_origin(server: Served, cache: Cache, tmp_path: Path) -> None:
    with serve(tmp_path / "files") as other:
        server.answers["/a"] = _redirect("/b")
        server.answers["/b"] = _redirect(f"{other.url}/data.whl")
        url = server.url.replace("//", "//ada:secret@") + "/a"
        fetch_all([Fetch(url, Digest.of(DATA), None, "data.whl")], cache)
        assert all("Authorization" in headers for _, headers in server.requests)
        assert [path for path, headers in other.requests if "Authorization" not in headers] == ["/data.whl"]


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
    ],
)
def test_redirects_that_are_not_followed(server: Served, cache: Cache, to: str) -> None:
    server.answers["/data.whl"] = _redirect(to)
    with pytest.raises(RefusedError, match="redirect"):
        fetch_all([item(server)], cache)
    assert len(server.paths) == 1


def test_a_circle_of_redirects(server: Served, cache: Cache) -> None:
    server.answers["/data.whl"] = _redirect("/data.whl")
    with pytest.raises(UnavailableError, match="redirects"):
        fetch_all([item(server)], cache)


def test_no_step_from_https_to_http() -> None:
    with pytest.raises(RefusedError, match="from https to http"):
        mlenv_http.redirected("https://ada:secret@example.invalid/x", "http://example.invalid/x")
    assert mlenv_http.redirected("https://a:b@example.invalid/x", "/y") == "https://a:b@example.invalid/y"
    assert mlenv_http.redirected("https://a:b@example.invalid/x", "https://example.invalid:444/y").count("@") == 0


def test_one_failure_ends_all_the_others(server: Served, cache: Cache) -> None:
    hanging = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)
        handler.wfile.flush()
        hanging.wait(30)

    for number in range(4):
        server.answers[f"/{number}"] = hang
    slow = [item(server, data=str(number).encode(), path=f"/{number}") for number in range(4)]
    begin = time.monotonic()
    with pytest.raises(DigestMismatchError):
        fetch_all([*slow, item(server, data=b"other")], cache)
    hanging.set()
    assert time.monotonic() - begin < 5
    assert nothing_is_left(cache)


def test_local_files(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "with space é.whl"
    path.write_bytes(DATA)
    fetch_all([Fetch(path.as_uri(), Digest.of(DATA), len(DATA), "local")], cache)
    assert cache.has(Digest.of(DATA))
    with pytest.raises(UnavailableError, match="No such file"):
        fetch_all([Fetch((tmp_path / "none").as_uri(), Digest.of(b""), None, "none")], cache)
    with pytest.raises(MlenvError, match="cannot fetch from gopher"):
        fetch_all([Fetch("gopher://x/y", Digest.of(b""), None, "none")], cache)


def test_a_full_disk(server: Served, full_disk: Path, tmp_path: Path) -> None:
    large = os.urandom(6 << 20)
    (tmp_path / "files" / "large.whl").write_bytes(large)
    cache = Cache(full_disk)
    with pytest.raises(UnavailableError, match="No space left"):
        fetch_all([item(server, large, "/large.whl")], cache)
    assert nothing_is_left(cache)


def test_a_stream_for_others(server: Served) -> None:
    server.answers["/data.whl"] = _broken(1_500_000, ranges=True)
    assert b"".join(stream_url(f"{server.url}/data.whl")) == DATA


def _fetch(root: Path, url: str) -> None:
    fetch_all([Fetch(url, Digest.of(DATA_OF_CHILD), None, "data.whl")], Cache(root))


DATA_OF_CHILD = b"the same in each process" * 100_000


def test_two_processes_fetch_the_same(server: Served, cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "files" / "same.whl").write_bytes(DATA_OF_CHILD)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fetch, args=(cache.root, f"{server.url}/same.whl")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with cache.open(Digest.of(DATA_OF_CHILD)) as file:
        assert file.read() == DATA_OF_CHILD
    assert nothing_is_left(cache)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_run_again(server: Served, cache: Cache, tmp_path: Path, kind: signal.Signals) -> None:
    reached, released = threading.Event(), threading.Event()

    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA_OF_CHILD)))
        handler.end_headers()
        handler.wfile.write(DATA_OF_CHILD[: 1 << 20])
        handler.wfile.flush()
        reached.set()
        released.wait(30)

    server.answers["/same.whl"] = half
    process = multiprocessing.get_context("spawn").Process(target=_fetch, args=(cache.root, f"{server.url}/same.whl"))
    process.start()
    assert reached.wait(30)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, kind)
    begin = time.monotonic()
    process.join(20)
    assert time.monotonic() - begin < 5
    released.set()
    assert process.exitcode not in (0, None)
    assert not cache.has(Digest.of(DATA_OF_CHILD))
    assert nothing_is_left(cache) == (kind == signal.SIGINT)
    del server.answers["/same.whl"]
    (tmp_path / "files" / "same.whl").write_bytes(DATA_OF_CHILD)
    _fetch(cache.root, f"{server.url}/same.whl")
    with cache.open(Digest.of(DATA_OF_CHILD)):
        pass
