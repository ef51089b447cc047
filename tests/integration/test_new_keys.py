"""New keys and their two files: encrypted, private from the first byte, never in the place of another."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mlenv.errors import UnavailableError, UsageError
from mlenv.sources.trust.new_keys import generate_key, write_key_pair
from mlenv.sources.whole_file import write_whole
from mlenv.trust.keys import KeyType, PublicKey

PASSPHRASE = "correct horse battery staple"


@pytest.mark.parametrize("kind", KeyType)
def test_a_new_key(kind: KeyType) -> None:
    private, public = generate_key(kind, PASSPHRASE)
    assert private.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    opened = load_pem_private_key(private, PASSPHRASE.encode())
    assert isinstance(opened, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    assert PublicKey.parse(opened.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)) == public
    assert public.type is kind
    assert max(map(len, private.splitlines())) <= 64
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(private, b"another")
    assert generate_key(kind, PASSPHRASE)[1] != public


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match="the passphrase is empty"):
        generate_key(KeyType.ED25519, "")


def test_key_files(tmp_path: Path) -> None:
    private, public = generate_key(KeyType.ED25519, PASSPHRASE)
    path = tmp_path / "a.key"
    was = os.umask(0)
    try:
        write_key_pair(path, private, public)
    finally:
        os.umask(was)
    assert {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {
        "a.key": 0o600,
        "a.key.pub": 0o644,
    }
    assert path.read_bytes() == private
    assert (tmp_path / "a.key.pub").read_text() == public.pem


@pytest.mark.parametrize("there", ["a.key", "a.key.pub"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, there: str, kind: str) -> None:
    private, public = generate_key(KeyType.ED25519, PASSPHRASE)
    path = tmp_path / there
    if kind == "file":
        path.write_text("a key of old")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UsageError, match="never overwritten") as caught:
        write_key_pair(tmp_path / "a.key", private, public)
    assert caught.value.problems[0].where == str(path)
    assert list(tmp_path.iterdir()) == [path]
    assert kind != "file" or path.read_text() == "a key of old"


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.key"

    def chunks() -> Iterator[bytes]:
        path.write_text("of another process")
        yield b"mine"

    with pytest.raises(FileExistsError):
        write_whole(path, chunks(), mode=0o600, replace=False)
    assert path.read_text() == "of another process"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_else_can_read_a_key_while_it_is_written(tmp_path: Path) -> None:
    seen: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(2):
            seen.extend(stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir())
            yield b"secret"

    was = os.umask(0)
    try:
        write_whole(tmp_path / "a.key", chunks(), mode=0o600, replace=False)
    finally:
        os.umask(was)
    assert seen == [0o600, 0o600]


def test_no_half_of_a_pair_stays(tmp_path: Path) -> None:
    """A name so long that only the private key's fits."""
    private, public = generate_key(KeyType.ED25519, PASSPHRASE)
    path = tmp_path / ("k" * 252)
    with pytest.raises((UsageError, UnavailableError)):
        write_key_pair(path, private, public)
    assert list(tmp_path.iterdir()) == []
