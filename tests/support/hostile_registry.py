"""Servers that lie: on loopback, every answer chosen by a test, every request remembered."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What to answer. `promised` is the Content-Length where it is not that of the body; `chunked` sends none."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    chunked: bool = False


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class HostileServer:
    """`host` is 127.0.0.1:PORT; `seen` holds every request in order."""

    host: str
    seen: list[Request]

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def authorizations(self) -> list[str]:
        """The Authorization headers that came, in order."""
        return [value for request in self.seen for name, value in request.headers.items() if name == "authorization"]


@contextmanager
def hostile(answer: Callable[[Request], Answer], address: str = "127.0.0.1") -> Iterator[HostileServer]:
    """A server that answers as it is told, until the block ends."""
    seen: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()
            request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
            seen.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(reply.body), reply.body))
                return
            self.send_header("Content-Length", str(len(reply.body) if reply.promised is None else reply.promised))
            self.end_headers()
            self.wfile.write(reply.body)
            if reply.promised is not None:
                self.close_connection = True

        do_POST = do_HEAD = do_GET  # noqa: N815 -- names of the library's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield HostileServer(f"{address}:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
