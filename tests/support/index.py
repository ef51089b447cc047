"""Package indexes that tests make: small wheels, pages by PEP 503, and a server that can misbehave."""

import base64
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def write_wheel(
    folder: Path, name: str, version: str, *, tag: str = "py3-none-any", requires: Sequence[str] = (), text: str = ""
) -> Path:
    """A correct wheel with one module, `text` in it, and the requirements."""
    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{module}/__init__.py": text,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {line}\n" for line in requires),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    rows = [f"{path},sha256={_record_digest(content)},{len(content)}\n" for path, content in files.items()]
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in files.items():
            archive.writestr(zipfile.ZipInfo(entry), content)
    return path


def _record_digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()


def write_pages(root: Path, *, hashes: bool = True) -> None:
    """A page for each folder under `root`, which bears the name of a project and holds its files."""
    for project in root.iterdir():
        links = []
        for path in sorted(project.iterdir()):
            if path.name != "index.html":
                digest = f"#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}" if hashes else ""
                links.append(f'<a href="{path.name}{digest}">{path.name}</a>')
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{'<br>'.join(links)}</body></html>")


@dataclass
class Served:
    """A running server. `requests` are (path, headers) in their order; `answers` may take over single paths."""

    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextmanager
def serve(root: Path, *, user: str = "", password: str = "") -> Iterator[Served]:
    """Serve a folder on a free loopback port; with a `user`, to those who know the password."""
    served = Served()
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append((self.path, dict(self.headers)))
            if self.path in served.answers:
                served.answers[self.path](self)
            elif user and self.headers.get("Authorization") != wanted:
                self.answer(401, b"", {"WWW-Authenticate": "Basic"})
            else:
                path = root / self.path.lstrip("/")
                path = path / "index.html" if path.is_dir() else path
                kind = "text/html" if path.suffix == ".html" else "application/octet-stream"
                known = path.is_file()
                self.answer(200 if known else 404, path.read_bytes() if known else b"", {"Content-Type": kind})

        def do_HEAD(self) -> None:
            self.do_GET()

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the standard library's name for it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
