"""The registry client against servers that lie, and against a real registry that wants a password."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.hostile_registry import Answer, Request, hostile
from support.made_images import make_image
from support.registry import Registry, credentials

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from mlenv.oci.reference import Reference
from mlenv.registry import client as client_module
from mlenv.registry.client import RegistryClient
from mlenv.registry.credentials import Credentials, find_credentials
from mlenv.registry.origin import base_url, check_destination

BODY = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST}).encode()
BLOB = bytes(range(256)) * 20_000
LAYER = Descriptor.of(BLOB, OCI_LAYER_GZIP)
SECRET = Credentials("ada", "hunter2")
Answers = Callable[[Request], Answer]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PAUSES", (0.0, 0.0))


def manifest_from(
    host: str, found: Credentials | None = SECRET, digest: Digest | None = None
) -> tuple[bytes, str, Digest]:
    client = RegistryClient(host, lambda _: found)
    try:
        return client.get_manifest(Reference(host, "a/b", "1", digest))
    finally:
        client.session.close()


def blob_from(host: str) -> bytes:
    client = RegistryClient(host, lambda _: SECRET)
    try:
        return b"".join(client.get_blob(Reference(host, "a/b"), LAYER))
    finally:
        client.session.close()


def serve_manifest(request: Request) -> Answer:
    del request
    return Answer(body=BODY, headers={"Content-Type": f"{OCI_MANIFEST}; charset=utf-8"})


# The registry lies about content


def test_an_honest_answer() -> None:
    with hostile(serve_manifest) as server:
        assert manifest_from(server.host) == (BODY, OCI_MANIFEST, Digest.of(BODY))
        assert server.seen[0].path == "/v2/a/b/manifests/1"
        assert OCI_MANIFEST in server.seen[0].headers["accept"]
        assert server.authorizations() == []


def test_another_manifest_than_the_digest_names() -> None:
    with hostile(serve_manifest) as server, pytest.raises(DigestMismatchError, match="for sha256:0000"):
        manifest_from(server.host, digest=Digest("0" * 64))


def test_another_manifest_than_the_header_names() -> None:
    with (
        hostile(lambda _: Answer(body=BODY, headers={"Docker-Content-Digest": "sha256:" + "1" * 64})) as server,
        pytest.raises(DigestMismatchError),
    ):
        manifest_from(server.host)


def test_a_manifest_without_end() -> None:
    with hostile(lambda _: Answer(body=b" " * (5 << 20))) as server, pytest.raises(RefusedError, match="larger than"):
        manifest_from(server.host)


def test_a_manifest_that_was_cut_off() -> None:
    with hostile(lambda _: Answer(body=BODY, promised=999)) as server, pytest.raises(UnavailableError):
        manifest_from(server.host, digest=Digest.of(BODY))


def test_more_bytes_than_the_descriptor_says() -> None:
    with hostile(lambda _: Answer(body=BLOB + b"x")) as server, pytest.raises(DigestMismatchError, match="more than"):
        blob_from(server.host)


def test_a_blob_that_goes_on_where_the_connection_broke() -> None:
    def answer(request: Request) -> Answer:
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        part = BLOB[start : start + 2_000_000]
        return Answer(206 if start else 200, part, promised=len(BLOB) - start)

    with hostile(answer) as server:
        assert blob_from(server.host) == BLOB
        assert [request.headers.get("range") for request in server.seen] == [None, "bytes=2000000-", "bytes=4000000-"]


def test_a_server_that_ignores_ranges_sends_the_start_again() -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer(body=BLOB if len(seen) > 1 else BLOB[:3_000_000], promised=len(BLOB))

    with hostile(answer) as server:
        assert blob_from(server.host) == BLOB


def test_a_blob_that_never_comes_whole() -> None:
    with (
        hostile(lambda _: Answer(body=BLOB[:10], promised=len(BLOB))) as server,
        pytest.raises(UnavailableError, match="can't be reached"),
    ):
        blob_from(server.host)
    assert len(server.seen) <= 3 * 3


def test_a_content_encoding_does_not_make_us_inflate() -> None:
    with hostile(lambda _: Answer(body=BLOB, headers={"Content-Encoding": "gzip"})) as server:
        assert blob_from(server.host) == BLOB


# The registry's headers


def challenge(realm: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="repository:other/repo:push,pull"'}


def test_a_token_is_fetched_with_our_scope_and_used_for_the_registry() -> None:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/token?"):
            return Answer(body=b'{"token": "abc"}')
        if request.headers.get("authorization") == "Bearer abc":
            return serve_manifest(request)
        return Answer(401, headers=challenge(f"http://{request.headers['host']}/token"))

    with hostile(answer) as server:
        assert manifest_from(server.host)[2] == Digest.of(BODY)
        assert server.seen[1].path == "/token?service=s&scope=repository%3Aa%2Fb%3Apull"
        assert server.authorizations() == [SECRET.basic, "Bearer abc"]
        server.seen.clear()
        manifest_from(server.host, found=None)
        assert server.authorizations() == ["Bearer abc"]


def test_an_identity_token_is_exchanged() -> None:
    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(body=b'{"access_token": "xyz"}')
        if request.headers.get("authorization") == "Bearer xyz":
            return serve_manifest(request)
        return Answer(401, headers=challenge(f"http://{request.headers['host']}/token"))

    with hostile(answer) as server:
        assert manifest_from(server.host, found=Credentials(identity_token="idt"))[2] == Digest.of(BODY)
        assert server.authorizations() == ["Bearer xyz"]


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("http://198.51.100.7/token", "plain http"),
        ("http://169.254.169.254/latest/meta-data", "plain http"),
        ("https://169.254.169.254/token", "this network segment only"),
        ("https://[fe80::1]/token", "this network segment only"),
        ("https://[::ffff:169.254.169.254]/token", "this network segment only"),
        ("https://0.0.0.0/token", "this network segment only"),
        ("file:///etc/passwd", "not a plain http"),
        ("https://user:word@example.com/", "not a plain http"),
        ("token", "not a plain http"),
    ],
)
def test_credentials_go_to_no_realm_that_a_registry_may_not_name(realm: str, reason: str) -> None:
    with (
        hostile(lambda _: Answer(401, headers=challenge(realm))) as server,
        pytest.raises(RefusedError, match=reason),
    ):
        manifest_from(server.host)
    assert server.authorizations() == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://127.0.0.1/token", "plain http"),
        ("https://127.0.0.1/token", "on this machine"),
        ("https://localhost/token", "on this machine"),
        ("https://[::1]:5000/token", "on this machine"),
        ("http://registry.example.com/token", "plain http"),
    ],
)
def test_a_registry_elsewhere_may_not_send_us_to_this_machine(place: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_destination(place, "https://registry.example.com")


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1"])
def test_a_name_that_stands_for_such_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 443))])
    with pytest.raises(RefusedError, match="leads to"):
        check_destination("https://metadata.example.com/token", "https://registry.example.com")


def test_a_realm_that_redirects_gets_no_second_request() -> None:
    with hostile(lambda _: Answer(body=b'{"token": "abc"}')) as thief:

        def answer(request: Request) -> Answer:
            if request.path.startswith("/token"):
                return Answer(302, headers={"Location": f"{thief.url}/token"})
            return Answer(401, headers=challenge(f"http://{request.headers['host']}/token"))

        with hostile(answer) as server, pytest.raises(UnavailableError, match="token service answered 302"):
            manifest_from(server.host)
        assert thief.seen == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}', b"[]", b'{"token": ""}'])
def test_a_token_service_that_gives_no_token(body: bytes) -> None:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=body)
        return Answer(401, headers=challenge(f"http://{request.headers['host']}/token"))

    with hostile(answer) as server, pytest.raises(UnavailableError, match="gave no token"):
        manifest_from(server.host)


def test_neither_password_nor_token_follows_a_redirect_to_another_origin() -> None:
    with hostile(lambda _: Answer(body=BLOB)) as thief:

        def answer(request: Request) -> Answer:
            if "authorization" in request.headers:
                return Answer(307, headers={"Location": f"{thief.url}/blob"})
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

        with hostile(answer) as server:
            assert blob_from(server.host) == BLOB
            assert server.authorizations() == [SECRET.basic]
        assert thief.authorizations() == []
        assert len(thief.seen) == 1


def test_a_redirects_own_challenge_is_not_answered() -> None:
    with hostile(lambda _: Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})) as thief:
        with (
            hostile(lambda _: Answer(307, headers={"Location": f"{thief.url}/blob"})) as server,
            pytest.raises(UnavailableError, match="refuses access"),
        ):
            blob_from(server.host)
        assert thief.authorizations() == server.authorizations() == []


def test_a_proxy_does_not_get_what_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(lambda _: Answer(500)) as proxy, hostile(serve_manifest) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert manifest_from(server.host)[2] == Digest.of(BODY)
        assert proxy.seen == []


def test_netrc_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with hostile(serve_manifest) as server:
        manifest_from(server.host)
        assert server.authorizations() == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/iam", "plain http"),
        ("https://169.254.169.254/", "this network segment only"),
        ("http://192.0.2.1/", "plain http"),
        ("ftp://127.0.0.1/", "not a plain http"),
        ("file:///etc/passwd", "not a plain http"),
    ],
)
def test_a_redirect_to_where_a_registry_may_not_send_us(location: str, reason: str) -> None:
    with (
        hostile(lambda _: Answer(302, headers={"Location": location})) as server,
        pytest.raises(RefusedError, match=reason),
    ):
        blob_from(server.host)


def test_redirects_without_end() -> None:
    with (
        hostile(lambda _: Answer(302, headers={"Location": "/again"})) as server,
        pytest.raises(RefusedError, match="redirects more than"),
    ):
        blob_from(server.host)


# Failures of an honest registry


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_registry_that_is_busy_for_a_moment(status: int) -> None:
    calls: list[Request] = []

    def answer(request: Request) -> Answer:
        calls.append(request)
        return Answer(status, headers={"Retry-After": "0"}) if len(calls) < 3 else serve_manifest(request)

    with hostile(answer) as server:
        assert manifest_from(server.host)[2] == Digest.of(BODY)


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "refuses access", "docker login"),
        (403, "refuses access", "docker login"),
        (404, "no such image", "check the name"),
        (503, "answered 503", "later"),
    ],
)
def test_a_failure_is_said_in_one_line_with_what_to_do(status: int, message: str, hint: str) -> None:
    with hostile(lambda _: Answer(status)) as server, pytest.raises(UnavailableError, match=message) as caught:
        manifest_from(server.host)
    assert hint in caught.value.problems[0].hint


def test_a_registry_that_is_not_there() -> None:
    with hostile(serve_manifest) as server:
        host = server.host
    with pytest.raises(UnavailableError, match="can't be reached"):
        manifest_from(host)


@pytest.mark.parametrize(
    ("registry", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("registry.example.com:5000", "https://registry.example.com:5000"),
        ("localhost", "http://localhost"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.8.9.1:5000", "http://127.8.9.1:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("localhost.example.com", "https://localhost.example.com"),
    ],
)
def test_plain_http_is_for_this_machine_only(registry: str, url: str) -> None:
    assert base_url(registry) == url


# Docker's configuration


def test_a_real_registry_with_a_password_from_dockers_configuration(
    private_registry: Registry, require_tool: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_image(tmp_path / "l")
    secret = f"{private_registry.user}:{private_registry.password}"
    subprocess.run(
        [
            require_tool("skopeo"),
            "copy",
            "--dest-tls-verify=false",
            f"--dest-creds={secret}",
            f"oci:{tmp_path / 'l'}",
            f"docker://{private_registry.host}/credentials/test:1",
        ],
        check=True,
        capture_output=True,
    )
    reference = Reference.parse(f"{private_registry.host}/credentials/test:1")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    client = RegistryClient(private_registry.host)
    with pytest.raises(UnavailableError, match="refuses access"):
        client.get_manifest(reference)
    client.session.close()
    credentials(private_registry, tmp_path / "config.json")
    client = RegistryClient(private_registry.host)
    data, _, digest = client.get_manifest(reference)
    assert str(digest) == made.manifest
    layer = Descriptor.model_validate(json.loads(data)["layers"][0])
    assert Digest.of(b"".join(client.get_blob(reference, layer))) == layer.digest
    client.session.close()


def docker_config(folder: Path, value: object) -> dict[str, str]:
    (folder / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return {"DOCKER_CONFIG": str(folder)}


@pytest.mark.parametrize(
    ("registry", "entry", "expected"),
    [
        ("r.example.com", {"r.example.com": {"auth": "YTpiOmM="}}, Credentials("a", "b:c")),
        ("r.example.com", {"https://r.example.com": {"auth": "YTpiOmM="}}, Credentials("a", "b:c")),
        ("r.example.com", {"r.example.com": {"username": "a", "password": "b"}}, Credentials("a", "b")),
        ("r.example.com", {"r.example.com": {"auth": "YTo=", "identitytoken": "t"}}, Credentials(identity_token="t")),
        ("docker.io", {"https://index.docker.io/v1/": {"auth": "YTpi"}}, Credentials("a", "b")),
        ("r.example.com", {"r.example.com:5000": {"auth": "YTpi"}, "example.com": {"auth": "YTpi"}}, None),
        ("r.example.com", {"r.example.com": {}}, None),
        ("r.example.com", None, None),
    ],
)
def test_what_docker_login_wrote(tmp_path: Path, registry: str, entry: object, expected: Credentials | None) -> None:
    assert find_credentials(registry, docker_config(tmp_path, {"auths": entry})) == expected


def test_no_configuration_is_no_credentials(tmp_path: Path) -> None:
    assert find_credentials("r.example.com", {"DOCKER_CONFIG": str(tmp_path)}) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"r.example.com": {"auth": "%%%"}}}'])
def test_a_broken_configuration_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"config\.json"):
        find_credentials("r.example.com", docker_config(tmp_path, text))


HELPER = """#!/bin/sh
read -r registry || true
case "$registry" in
  r.example.com) echo '{"ServerURL": "r", "Username": "ada", "Secret": "s3"}' ;;
  t.example.com) echo '{"ServerURL": "t", "Username": "<token>", "Secret": "idt"}' ;;
  none.example.com) echo 'credentials not found in native keychain'; exit 1 ;;
  odd.example.com) echo 'hello' ;;
  *) exit 3 ;;
esac
"""


@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    helper = tmp_path / "docker-credential-mine"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def ask(registry: str) -> Credentials | None:
        return find_credentials(
            registry, docker_config(tmp_path, {kind: "mine" if kind == "credsStore" else {registry: "mine"}})
        )

    assert ask("r.example.com") == Credentials("ada", "s3")
    assert ask("t.example.com") == Credentials(identity_token="idt")
    assert ask("none.example.com") is None
    for registry in ("odd.example.com", "broken.example.com"):
        with pytest.raises(UsageError, match="credential helper"):
            ask(registry)


@pytest.mark.parametrize("name", ["missing", "../../bin/sh"])
def test_a_credential_helper_that_cannot_be_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="credential helper"):
        find_credentials("r.example.com", docker_config(tmp_path, {"credsStore": name}))


def test_a_password_is_in_no_representation() -> None:
    assert "hunter2" not in repr(SECRET)
    assert "idt" not in repr(Credentials(identity_token="idt"))
