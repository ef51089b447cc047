"""Where packages come from: apt's sources as they are found on machines, and HTTP as it is found in the world."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.sources.cache import Cache
from mlenv.sources.debian.apt_sources import AptMirrors, apt_mirrors
from mlenv.sources.debian.fetch import fetch_debs
from mlenv.sources.debian.hints import HINTS
from mlenv.sources.debian.request import ResolvedDeb
from mlenv.sources.http import Connections
from mlenv.sources.urls import read_small

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def apt(folder: Path, files: dict[str, str]) -> AptMirrors:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return apt_mirrors(folder)


def test_deb822_sources_of_a_container_image(tmp_path: Path) -> None:
    text = f"""\
# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb
# another
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}
"""
    vendor = "Types: deb\nURIs: https://vendor.example/deb\nSuites: stable\nComponents: main\nSigned-By: /v.gpg\n"
    found = apt(tmp_path, {"sources.list.d/debian.sources": text, "sources.list.d/a-vendor.sources": vendor})
    assert found == AptMirrors("http://mirror.example/debian", "http://mirror.example/debian-security", KEYRING)


def test_one_line_sources(tmp_path: Path) -> None:
    text = """\
deb-src http://source.example/debian trixie main
deb http://mirror.example/debian/ trixie main contrib # ours
deb [arch=amd64 trusted=no] http://security.example/debian-security trixie-security main
# deb http://disabled.example/debian trixie main
"""
    found = apt(tmp_path, {"sources.list": text})
    assert found == AptMirrors("http://mirror.example/debian", "http://security.example/debian-security", None)


def test_what_is_signed_for_debian_comes_before_what_only_looks_like_it(tmp_path: Path) -> None:
    files = {
        "sources.list.d/1-browser.list": "deb [arch=amd64] https://browser.example/deb stable main\n",
        "sources.list.d/2-docker.list": "deb [signed-by=/d.asc] https://docker.example/debian bookworm main\n",
        "sources.list.d/3-pgdg.list": "deb https://database.example/apt bookworm-pgdg main\n",
        "sources.list.d/4-extra.list": "deb https://extra.example/debian bookworm extra\n",
        "sources.list.d/5-mirror.list": "deb http://mirror.example/debian bookworm main\n",
    }
    assert apt(tmp_path, files).main == "http://mirror.example/debian"
    files = {"sources.list.d/9.list": f"deb [signed-by={KEYRING}] http://signed.example/debian stable main\n"}
    assert apt(tmp_path, files) == AptMirrors("http://signed.example/debian", None, KEYRING)


def test_what_is_disabled_broken_or_not_spoken_is_passed_over(tmp_path: Path) -> None:
    stanza = "Types: deb\nURIs: {}\nSuites: trixie\nComponents: main\n"
    files = {
        "sources.list": "nonsense\n\ndeb\ndeb http://only.example/url\ndeb cdrom:[x] trixie main\n",
        "sources.list.d/1.sources": stanza.format("http://off.example/debian") + "Enabled: no\n",
        "sources.list.d/2.sources": stanza.format("tor+http://onion.example/debian"),
        "sources.list.d/3.list.disabled": "deb http://disabled.example/debian trixie main\n",
        "sources.list.d/4.sources": "\xff garbage",
    }
    assert apt(tmp_path, files) == AptMirrors()
    assert apt_mirrors(tmp_path / "missing") == AptMirrors()


def test_a_mirror_list_of_a_cloud_image(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("# first\nhttp://mirror.example/debian/\nhttp://second.example/debian\n")
    text = f"Types: deb\nURIs: mirror+file://{tmp_path}/mirrors\nSuites: trixie\nComponents: main\n"
    assert apt(tmp_path, {"sources.list.d/debian.sources": text}).main == "http://mirror.example/debian"


class Server(BaseHTTPRequestHandler):
    """Answers from `plan`, one step per request: a status, or bytes, or bytes that are cut off."""

    plan: ClassVar[list[int | bytes | tuple[bytes, int]]] = []

    def do_GET(self) -> None:
        step = self.plan.pop(0)
        if isinstance(step, int):
            self.send_response(step)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, missing = step if isinstance(step, tuple) else (step, 0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = bool(missing)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- named so by the library
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Connections, "wait", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}/file"
        served.shutdown()
        thread.join()


def read(url: str, cap: int = 100) -> bytes | None:
    return read_small(url, Connections(), cap=cap, hints=HINTS)


def test_what_may_pass_is_tried_again(server: str) -> None:
    Server.plan = [503, (b"who", 2), 429, b"whole"]
    assert read(server) == b"whole"


def test_a_server_that_stays_busy_is_unavailable(server: str) -> None:
    Server.plan = [503] * 5
    with pytest.raises(UnavailableError, match="HTTP status 503") as caught:
        read(server)
    assert caught.value.problems[0].where == server
    assert "base.debian.mirror" in caught.value.problems[0].hint


def test_a_refusal_is_not_tried_again(server: str) -> None:
    Server.plan = [403]
    with pytest.raises(UnavailableError, match="HTTP status 403"):
        read(server)
    assert Server.plan == []


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_none(server: str, status: int) -> None:
    Server.plan = [status]
    assert read(server) is None


def test_no_more_is_read_than_is_allowed(server: str) -> None:
    Server.plan = [b"whole"]
    with pytest.raises(RefusedError, match="longer than the 4 bytes") as caught:
        read(server, cap=4)
    assert "another mirror" in caught.value.problems[0].hint


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connections, "wait", lambda *_: None)
    with pytest.raises(UnavailableError, match="Connection refused") as caught:
        read("http://127.0.0.1:1/file")
    assert "base.debian.mirror" in caught.value.problems[0].hint


def test_a_package_that_breaks_off_is_fetched_whole(server: str, tmp_path: Path) -> None:
    data = b"package" * 1000
    deb = ResolvedDeb("thing", "1.0", "amd64", Digest.of(data), len(data), server)
    cache = Cache(tmp_path)
    Server.plan = [(data[:3000], 4000), 502, data]
    fetch_debs([deb], cache=cache)
    assert cache.has(deb.sha256)
    Server.plan = [data[:-1]]
    with pytest.raises(DigestMismatchError, match=rf"thing 1\.0 was refused: {len(data) - 1} bytes") as caught:
        fetch_debs([deb], cache=Cache(tmp_path / "other"))
    assert "another mirror" in caught.value.problems[0].hint


def test_a_package_that_is_gone(server: str, tmp_path: Path) -> None:
    deb = ResolvedDeb("thing", "1.0", "amd64", Digest.of(b""), 0, server)
    Server.plan = [404]
    with pytest.raises(UnavailableError, match="404") as caught:
        fetch_debs([deb], cache=Cache(tmp_path))
    assert "being updated" in caught.value.problems[0].hint
