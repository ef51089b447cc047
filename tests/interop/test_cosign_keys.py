"""Key files of cosign and openssl sign here, cosign imports ours, and openssl signs as a program."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from support.refusals import Project, assert_refused
from support.small_projects import make_project

from mlenv.sources.trust.private_keys import load_key, signer
from mlenv.trust.keys import KeyType, PublicKey

Finder = Callable[[str], Path]
PASSPHRASE = "correct horse battery staple"
PASSWORD = {"MLENV_KEY_PASSWORD": PASSPHRASE}
DATA = b"the bytes to sign"


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    """A folder to run in, with nothing locked."""
    return make_project(tmp_path)


def run(folder: Path, program: Path, *arguments: str | Path, password: str = PASSPHRASE) -> bytes:
    environ = {**os.environ, "COSIGN_PASSWORD": password, "HOME": str(folder)}
    done = subprocess.run([program, *arguments], cwd=folder, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def assert_signs(path: Path, environ: dict[str, str]) -> None:
    """With a private key file, what the public one beside it checks."""
    key = load_key(str(path), environ, None)
    assert key.public_key == PublicKey.parse(path.with_suffix(".pub").read_bytes())
    assert key.public_key.verifies(key.sign(DATA), DATA)
    assert key.warnings == ()


def test_a_key_of_cosign(folder: Project, peer: Finder) -> None:
    run(folder.root, peer("cosign"), "generate-key-pair")
    path = folder.root / "cosign.key"
    assert_signs(path, PASSWORD)
    shown = folder.run("keys", "show", "cosign.key", environ=PASSWORD)
    assert (folder.root / "cosign.pub").read_text() in shown.out + "\n"
    wrong = folder.run("keys", "show", "cosign.key", environ={"MLENV_KEY_PASSWORD": "another"})
    assert_refused(wrong, status=3, says=["cosign.key", "the passphrase is wrong"])
    unset = folder.run("keys", "show", "cosign.key", environ={"COSIGN_PASSWORD": PASSPHRASE})
    assert_refused(unset, status=3, says=["cosign.key", "MLENV_KEY_PASSWORD"])
    # The name of the PEM before cosign 2.0; the rest was the same.
    path.write_text(path.read_text().replace("SIGSTORE", "COSIGN"))
    assert_signs(path, PASSWORD)


def test_a_key_of_cosign_with_an_empty_passphrase(folder: Project, peer: Finder) -> None:
    run(folder.root, peer("cosign"), "generate-key-pair", password="")
    assert_signs(folder.root / "cosign.key", {"MLENV_KEY_PASSWORD": ""})


@pytest.mark.parametrize(
    ("algorithm", "refused"),
    [
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ""),
        (["ED25519"], ""),
        (["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "an RSA key"),
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "secp384r1"),
    ],
)
def test_a_key_that_cosign_imported(
    folder: Project, peer: Finder, require_tool: Finder, algorithm: list[str], refused: str
) -> None:
    run(folder.root, require_tool("openssl"), "genpkey", "-algorithm", *algorithm, "-out", "plain.pem")
    run(folder.root, peer("cosign"), "import-key-pair", "--key", "plain.pem", "--output-key-prefix", "mine")
    if refused:
        assert_refused(folder.run("keys", "show", "mine.key", environ=PASSWORD), status=3, says=["mine.key", refused])
    else:
        assert_signs(folder.root / "mine.key", PASSWORD)


@pytest.mark.parametrize("kind", KeyType)
def test_cosign_imports_a_key_of_ours(folder: Project, peer: Finder, kind: KeyType) -> None:
    """cosign takes encrypted keys in its own form alone; into that it imports a decrypted one."""
    assert folder.run("keys", "generate", "--type", kind, "-o", "our.key", environ=PASSWORD).status == 0
    private = load_pem_private_key((folder.root / "our.key").read_bytes(), PASSPHRASE.encode())
    plain = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder.root / "plain.pem").write_bytes(plain)
    cosign = peer("cosign")
    run(folder.root, cosign, "import-key-pair", "--key", "plain.pem", "--output-key-prefix", "imported")
    assert (folder.root / "imported.pub").read_text() == (folder.root / "our.key.pub").read_text()
    assert_signs(folder.root / "imported.key", PASSWORD)


OPENSSL_FORMS = {
    "PKCS#8": ["pkcs8", "-topk8", "-nocrypt"],
    "PKCS#8, PBKDF2": ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "100000"],
    "PKCS#8, PBKDF2 with SHA-512": ["pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
    "PKCS#8, scrypt": ["pkcs8", "-topk8", "-scrypt"],
    "SEC1": ["ec"],
    "SEC1, encrypted": ["ec", "-aes256"],
}


@pytest.mark.parametrize("form", OPENSSL_FORMS)
def test_a_key_of_openssl(folder: Project, require_tool: Finder, form: str) -> None:
    openssl = require_tool("openssl")
    # This command writes the name of the curve before the key, in a block of its own.
    run(folder.root, openssl, "ecparam", "-name", "prime256v1", "-genkey", "-out", "both.pem")
    run(folder.root, openssl, "pkey", "-in", "both.pem", "-pubout", "-out", "form.pub")
    options = ("-in", "both.pem", "-out", "form.pem", "-passout", f"pass:{PASSPHRASE}")
    run(folder.root, openssl, *OPENSSL_FORMS[form], *options)
    (folder.root / "form.pem").chmod(0o600)
    assert_signs(folder.root / "form.pem", PASSWORD)
    (folder.root / "both.pem").chmod(0o600)
    (folder.root / "both.pub").write_bytes((folder.root / "form.pub").read_bytes())
    assert_signs(folder.root / "both.pem", {})


@pytest.mark.parametrize(
    ("algorithm", "command"),
    [
        (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "openssl dgst -sha256 -sign"),
        # openssl 3.0 asks its input for its size before it signs by Ed25519: standard input is a file.
        (["ED25519"], "openssl pkeyutl -sign -rawin -in /dev/stdin -inkey"),
    ],
)
def test_openssl_as_the_signing_program(
    folder: Project, require_tool: Finder, algorithm: list[str], command: str
) -> None:
    openssl, key = require_tool("openssl"), folder.root / "its.pem"
    run(folder.root, openssl, "genpkey", "-algorithm", *algorithm, "-out", key)
    run(folder.root, openssl, "pkey", "-in", key, "-pubout", "-out", "its.pub")
    found = signer(os.environ, key=str(folder.root / "its.pub"), command=f"{command} '{key}'", ask=None)
    assert found.public_key.verifies(found.sign(DATA), DATA)
