"""A real registry: Debian's docker-registry (CNCF distribution 2.8) on a free loopback port."""

import base64
import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import Server, free_port

CONFIGURATION = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: "{host}"}}
"""
PASSWORDS = "auth: {{htpasswd: {{realm: private, path: {passwords}}}}}\n"


@dataclass(frozen=True)
class Registry:
    """A registry that answers at `http://HOST/v2/`; `user` and `password` are empty where anybody may in."""

    host: str
    storage: Path
    user: str = ""
    password: str = ""


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status in {200, 401}
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def serve(
    program: Path, folder: Path, user: str = "", password: str = "", htpasswd: Path | None = None
) -> Iterator[Registry]:
    """A registry with its storage in `folder`, until the block ends."""
    folder.mkdir(parents=True)
    registry = Registry(f"127.0.0.1:{free_port()}", folder / "storage", user, password)
    configuration = CONFIGURATION.format(storage=registry.storage, host=registry.host)
    if htpasswd is not None:
        passwords = folder / "passwords"
        line = subprocess.run([htpasswd, "-nbB", user, password], capture_output=True, check=True).stdout
        passwords.write_bytes(line)
        configuration += PASSWORDS.format(passwords=passwords)
    (folder / "config.yml").write_text(configuration)
    server = Server([program, "serve", folder / "config.yml"], folder / "log")
    try:
        server.wait_until(lambda: _answers(registry.host))
        yield registry
    finally:
        server.stop(5)


def credentials(registry: Registry, file: Path) -> Path:
    """A Docker configuration file in `file` that holds the user and password of `registry`."""
    if not registry.user:
        pytest.fail("this registry has no user")
    secret = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    file.write_text(json.dumps({"auths": {registry.host: {"auth": secret}}}))
    return file
