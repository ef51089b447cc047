"""Private keys: every form that is read, every form that is refused by its name, and programs that sign."""

import copy
import hashlib
import json
import os
import pickle
import resource
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from nacl.secret import SecretBox

from mlenv.errors import SigningKeyError
from mlenv.sources.trust import cosign_key
from mlenv.sources.trust.new_keys import generate_key
from mlenv.sources.trust.private_keys import load_key, load_public_key, signer
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.pem import LIMIT

PASSPHRASE = "correct horse battery staple"
PASSWORD = {"MLENV_KEY_PASSWORD": PASSPHRASE}
ENCRYPTED = BestAvailableEncryption(PASSPHRASE.encode())
DATA = b"the bytes to sign"

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    was = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, was)


def pem(
    key: PrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def cosign_pem(key: bytes, passphrase: str, **changes: object) -> bytes:
    """As cosign writes it (compared with its own files in the tests with other programs), with a small scrypt."""
    salt, nonce = os.urandom(32), os.urandom(24)
    secret = hashlib.scrypt(passphrase.encode(), salt=salt, n=16, r=8, p=1, dklen=32)
    value: dict[str, object] = {
        "kdf": {"name": "scrypt", "params": {"N": 16, "r": 8, "p": 1}, "salt": b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": b64encode(nonce).decode()},
        "ciphertext": b64encode(SecretBox(secret).encrypt(key, nonce).ciphertext).decode(),
    }
    body = b64encode(json.dumps(value | changes).encode()).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    label = "ENCRYPTED SIGSTORE PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def der(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


EC_PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

READ: dict[str, tuple[bytes, PrivateKey]] = {
    "PKCS#8 of P-256": (pem(P256), P256),
    "PKCS#8 of Ed25519": (pem(ED25519), ED25519),
    "PKCS#8, encrypted": (pem(P256, encryption=ENCRYPTED), P256),
    "PKCS#8, encrypted, Ed25519": (pem(ED25519, encryption=ENCRYPTED), ED25519),
    "SEC1": (pem(P256, PrivateFormat.TraditionalOpenSSL), P256),
    "SEC1, encrypted": (pem(P256, PrivateFormat.TraditionalOpenSSL, ENCRYPTED), P256),
    "SEC1 after its parameters": (EC_PARAMETERS + pem(P256, PrivateFormat.TraditionalOpenSSL), P256),
    "a key before its public key": (pem(P256) + public_pem(P256), P256),
    "text before it": (b"Bag Attributes\n    friendlyName: mine\n" + pem(ED25519), ED25519),
    "line breaks of Windows": (pem(P256).replace(b"\n", b"\r\n"), P256),
    "line breaks of Windows, encrypted SEC1": (
        pem(P256, PrivateFormat.TraditionalOpenSSL, ENCRYPTED).replace(b"\n", b"\r\n"),
        P256,
    ),
    "no line break at the end": (pem(P256).rstrip(), P256),
    "cosign": (cosign_pem(der(P256), PASSPHRASE), P256),
    "cosign, Ed25519": (cosign_pem(der(ED25519), PASSPHRASE), ED25519),
    "cosign before 2.0": (cosign_pem(der(P256), PASSPHRASE).replace(b"SIGSTORE", b"COSIGN"), P256),
}


@pytest.mark.parametrize("form", READ)
def test_read(tmp_path: Path, form: str) -> None:
    data, key = READ[form]
    path = tmp_path / "a.key"
    path.write_bytes(data)
    path.chmod(0o600)
    found = load_key(str(path), PASSWORD, None)
    assert found.public_key == PublicKey.parse(public_pem(key))
    assert found.public_key.verifies(found.sign(DATA), DATA)
    assert found.warnings == ()
    # The same in a variable.
    held = load_key("env://SIGNING", {**PASSWORD, "SIGNING": data.decode()}, None)
    assert held.public_key == found.public_key


@pytest.mark.parametrize("form", ["PKCS#8, encrypted", "SEC1, encrypted", "cosign"])
def test_asked_for_a_passphrase(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(READ[form][0])
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return PASSPHRASE

    load_key(str(path), {}, ask)
    assert questions == [f"Passphrase of {path}"]
    load_key(str(path), PASSWORD, ask)
    assert len(questions) == 1  # the variable goes first
    with pytest.raises(SigningKeyError, match=r"and there is no passphrase$"):
        load_key(str(path), {}, None)
    with pytest.raises(SigningKeyError, match=r"the passphrase is wrong$"):
        load_key(str(path), {"MLENV_KEY_PASSWORD": "another"}, None)
    with pytest.raises(SigningKeyError, match=r"the passphrase is wrong$"):
        load_key(str(path), {}, lambda _: "another")
    with pytest.raises(SigningKeyError, match=r"and MLENV_KEY_PASSWORD is empty$"):
        load_key(str(path), {"MLENV_KEY_PASSWORD": ""}, ask)


def test_nobody_is_asked_where_nothing_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(pem(P256))
    load_key(str(path), {}, lambda _: pytest.fail("asked"))
    load_key(str(path), PASSWORD, None)
    load_key(str(path), {"MLENV_KEY_PASSWORD": ""}, None)


def test_cosign_encrypts_with_an_empty_passphrase(tmp_path: Path) -> None:
    """Where COSIGN_PASSWORD is empty; such a file is opened."""
    path = tmp_path / "cosign.key"
    path.write_bytes(cosign_pem(der(P256), ""))
    assert load_key(str(path), {"MLENV_KEY_PASSWORD": ""}, None).public_key.type is KeyType.ECDSA_P256


def test_a_passphrase_that_is_not_ascii(tmp_path: Path) -> None:
    private, public = generate_key(KeyType.ED25519, "grüße 🔑")
    path = tmp_path / "a.key"
    path.write_bytes(private)
    assert load_key(str(path), {"MLENV_KEY_PASSWORD": "grüße 🔑"}, None).public_key == public


@cache
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def rsa_pem(form: PrivateFormat, encryption: KeySerializationEncryption) -> bytes:
    return _rsa().private_bytes(Encoding.PEM, form, encryption)


def by_openssl(*options: str) -> bytes:
    command = ["openssl", "pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE}", *options]
    return subprocess.run(command, input=pem(P256), capture_output=True, check=True).stdout


def without_a_line(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[:2] + lines[3:])


def relabelled(label: bytes) -> bytes:
    return pem(P256).replace(b"PRIVATE KEY", label)


PKCS8, TRADITIONAL, PLAIN = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL, NoEncryption()
OTHERS: dict[str, Callable[[], bytes]] = {
    "RSA": lambda: rsa_pem(PKCS8, PLAIN),
    "RSA, encrypted": lambda: rsa_pem(PKCS8, ENCRYPTED),
    "RSA, traditional": lambda: rsa_pem(TRADITIONAL, PLAIN),
    "P-384": lambda: pem(ec.generate_private_key(ec.SECP384R1())),
    "secp256k1": lambda: pem(ec.generate_private_key(ec.SECP256K1()), TRADITIONAL),
    "Ed448": lambda: ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PKCS8, PLAIN),
    "DSA": lambda: relabelled(b"DSA PRIVATE KEY"),
    "OpenSSH": lambda: pem(ED25519, PrivateFormat.OpenSSH),
    "public": lambda: public_pem(P256),
    "certificate": lambda: relabelled(b"CERTIFICATE"),
    "request": lambda: relabelled(b"CERTIFICATE REQUEST"),
    "two": lambda: pem(P256) + pem(ED25519),
    "empty": lambda: b"",
    "blank": lambda: b" \n\n",
    "garbage": lambda: bytes(range(256)) * 4,
    "words": lambda: b"mine\n",
    "DER": lambda: der(P256),
    "cut off": lambda: pem(P256)[:-30],
    "damaged": lambda: pem(P256).replace(b"-----\nM", b"-----\nA"),
    "not base64": lambda: pem(P256).replace(b"-----\nM", b"-----\n*"),
    "no line breaks": lambda: pem(P256).replace(b"\n", b"\\n"),
    "encrypted, without a line": lambda: without_a_line(pem(P256, encryption=ENCRYPTED)),
    "encrypted by Camellia": lambda: by_openssl("-v2", "camellia-256-cbc"),
    "too large": lambda: pem(P256) + b"\n" * LIMIT,
    "cosign's RSA": lambda: cosign_pem(_rsa().private_bytes(Encoding.DER, PKCS8, PLAIN), PASSPHRASE),
    "cosign, no key in it": lambda: cosign_pem(b"no key", PASSPHRASE),
    "cosign, without a line": lambda: without_a_line(cosign_pem(der(P256), PASSPHRASE)),
}

ANOTHER = "mlenv signs with ECDSA P-256 or Ed25519"
REFUSED = {
    "RSA": (f"an RSA key; {ANOTHER}", "mlenv keys generate"),
    "RSA, encrypted": (f"an RSA key; {ANOTHER}", "mlenv keys generate"),
    "RSA, traditional": (f"an RSA key; {ANOTHER}", "mlenv keys generate"),
    "P-384": (f"an ECDSA key of the curve secp384r1; {ANOTHER}", "mlenv keys generate"),
    "secp256k1": (f"an ECDSA key of the curve secp256k1; {ANOTHER}", "mlenv keys generate"),
    "Ed448": (f"a key of another kind; {ANOTHER}", "mlenv keys generate"),
    "DSA": ("not a private key that mlenv reads, but PEM of: DSA PRIVATE KEY", "mlenv keys generate"),
    "OpenSSH": ("an OpenSSH key; mlenv reads PKCS#8, SEC1 and cosign keys", "mlenv keys generate"),
    "public": ("a public key, where a private one is needed", "the file of the private key"),
    "certificate": ("a certificate, where a private key is needed", "the file of its private key"),
    "request": ("not a private key that mlenv reads, but PEM of: CERTIFICATE REQUEST", "mlenv keys generate"),
    "two": ("2 private keys", "leave one"),
    "empty": ("the file is empty", "from a copy"),
    "blank": ("the file is empty", "from a copy"),
    "garbage": ("not a key in PEM, which begins with -----BEGIN", "mlenv keys generate"),
    "words": ("not a key in PEM, which begins with -----BEGIN", "mlenv keys generate"),
    "DER": ("not a key in PEM, which begins with -----BEGIN", "openssl pkey -inform DER"),
    "cut off": ("PEM that is cut off or damaged", "from a copy"),
    "damaged": ("a private key that is damaged", "from a copy"),
    "not base64": ("a private key that is damaged", "from a copy"),
    "no line breaks": ("PEM whose line breaks are written as \\n", "real line breaks"),
    "encrypted, without a line": ("a private key that is damaged", "from a copy"),
    "encrypted by Camellia": ("encrypted by a means that is not supported", "openssl pkcs8"),
    "too large": ("larger than 64 KiB: not a key", "the key's own file"),
    "cosign's RSA": (f"an RSA key; {ANOTHER}", "mlenv keys generate"),
    "cosign, no key in it": ("a private key that is damaged", "from a copy"),
    "cosign, without a line": ("a private key that is damaged", "from a copy"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(OTHERS[kind]())
    message, hint = REFUSED[kind]
    with pytest.raises(SigningKeyError) as caught:
        load_key(str(path), PASSWORD, None)
    (problem,) = caught.value.problems
    assert (problem.message, problem.where) == (message, str(path))
    assert hint in problem.hint
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kdf": {"name": "argon2", "params": {"N": 16, "r": 8, "p": 1}, "salt": "AA=="}}, "other means"),
        ({"cipher": {"name": "aes-gcm", "nonce": "AA=="}}, "other means"),
        ({"cipher": {"name": "nacl/secretbox", "nonce": "AA=="}}, "24 bytes"),
        ({"cipher": {"name": "nacl/secretbox"}}, "not an object of"),
        ({"kdf": []}, "not an object of"),
        ({"more": 1}, "not an object of"),
        ({"ciphertext": 5}, "not a string"),
        ({"ciphertext": "AB=="}, "base64"),
        *(
            ({"kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": "AA=="}}, why)
            for n, r, p, why in [
                (17, 8, 1, "not those of scrypt"),
                (1, 8, 1, "not those of scrypt"),
                (0, 8, 1, "not those of scrypt"),
                (16, 0, 1, "not those of scrypt"),
                (16, 8, -1, "not those of scrypt"),
                (16.0, 8, 1, "not those of scrypt"),
                (16, True, 1, "not those of scrypt"),
                ("16", 8, 1, "not those of scrypt"),
                (1 << 19, 8, 1, "more than 256 MiB"),
                (1 << 52, 8, 1, "more than 256 MiB"),
                (16, 8, 1 << 40, "more than 256 MiB"),
                (16, 1 << 40, 1, "more than 256 MiB"),
            ]
        ),
    ],
)
def test_a_cosign_key_of_another_form(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    data = cosign_pem(der(P256), PASSPHRASE, **changes)
    body = b64decode(b"".join(data.splitlines()[1:-1]))
    with pytest.raises(ValueError, match=why):
        cosign_key.open_cosign_key(body, PASSPHRASE.encode())
    path = tmp_path / "cosign.key"
    path.write_bytes(data)
    with pytest.raises(SigningKeyError, match="damaged"):
        load_key(str(path), PASSWORD, None)


def test_json_with_a_duplicate_key_is_no_cosign_key() -> None:
    body = b64decode(b"".join(cosign_pem(der(P256), PASSPHRASE).splitlines()[1:-1]))
    with pytest.raises(ValueError, match=r"twice|duplicate"):
        cosign_key.open_cosign_key(body[:-1] + b', "ciphertext": "AA=="}', PASSPHRASE.encode())


def test_places_that_hold_no_key(tmp_path: Path) -> None:
    def refused(reference: str, environ: dict[str, str] | None = None) -> str:
        with pytest.raises(SigningKeyError) as caught:
            load_key(reference, environ or {}, None)
        assert caught.value.problems[0].hint
        return str(caught.value)

    missing = tmp_path / "missing.key"
    assert refused(str(missing)) == f"{missing}: there is no such file"
    assert refused(str(tmp_path)) == f"{tmp_path}: a folder, where a key file is needed"
    assert refused("awskms:///alias/mine") == "awskms:///alias/mine: no kind of place that mlenv reads keys from"
    assert refused("env://KEY") == "env://KEY: the environment variable is not set"
    assert refused("env://") == "env://: the environment variable is not set"
    assert refused("env://KEY", {"KEY": " \n"}) == "env://KEY: the environment variable is empty"
    assert refused("env://KEY", {"KEY": "x" * (LIMIT + 1)}) == "env://KEY: larger than 64 KiB: not a key"
    assert refused("env://KEY", {"KEY": str(missing)}).startswith("env://KEY: not a key in PEM")
    assert "cannot be read" in refused("a\0b")
    assert "cannot be read" in refused("x" * 5000)
    assert refused("/proc/self/mem") == "/proc/self/mem: cannot be read: Input/output error"
    assert "larger than 64 KiB" in refused("/dev/zero")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "is empty" in refused(str(fifo))  # and does not wait for a writer


@pytest.mark.parametrize(
    "text",
    [
        pem(ED25519).decode(),
        pem(ED25519).decode().partition("\n")[2],  # without its first line
        pem(P256).decode().splitlines()[1],
        b64encode(pem(P256)).decode(),
        b64encode(der(P256)).decode(),
    ],
    ids=["PEM", "PEM without its first line", "a line of PEM", "PEM in base64", "DER in base64"],
)
def test_the_text_of_a_key_is_no_reference_and_is_not_repeated(text: str) -> None:
    for use in (load_key, load_public_key):
        with pytest.raises(SigningKeyError) as caught:
            use(text, {}, None)
        (problem,) = caught.value.problems
        assert problem.where == ""
        assert not set(text.split()) & set(f"{problem.message} {problem.hint}".replace("-----BEGIN", "").split())
    with pytest.raises(SigningKeyError):
        signer({}, key=text, command=None, ask=None)


def test_who_else_can_read_a_key(tmp_path: Path) -> None:
    """A warning, and no refusal."""
    path = tmp_path / "a.key"
    path.write_bytes(pem(P256))
    for mode, warned in {0o600: False, 0o400: False, 0o640: True, 0o644: True, 0o604: True}.items():
        path.chmod(mode)
        found = load_key(str(path), {}, None)
        assert bool(found.warnings) == warned, oct(mode)
        assert all(str(path) in one and f"{mode:04o}" in one for one in found.warnings)
    assert load_public_key(str(path), {}, None)[1] != ()
    path.write_bytes(public_pem(P256))
    assert load_public_key(str(path), {}, None) == (PublicKey.parse(public_pem(P256)), ())


def test_a_private_key_does_not_get_out(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(pem(P256))
    key = load_key(str(path), {}, None)
    assert repr(key) == f"FileKey(ecdsa-p256, {key.public_key.fingerprint})"
    for let_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            let_out(key)
    assert not hasattr(key, "__dict__")


def test_the_public_half_is_never_taken_from_the_file_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(pem(P256, encryption=ENCRYPTED))
    (tmp_path / "a.key.pub").write_bytes(public_pem(ED25519))
    with pytest.raises(SigningKeyError, match="no passphrase"):
        load_public_key(str(path), {}, None)
    assert load_public_key(str(path), PASSWORD, None)[0] == PublicKey.parse(public_pem(P256))


def test_no_core_file_once_a_key_is_read(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    path = tmp_path / "a.key"
    path.write_bytes(pem(P256))
    for use in (lambda: load_key(str(path), {}, None), lambda: generate_key(KeyType.ED25519, "x")):
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        use()
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0 if hard == 0 else 1, hard)


def test_an_x448_key_of_the_wrong_length_is_damaged() -> None:
    """The library has no better word for it than InternalError."""
    pem_text = (
        b"-----BEGIN PRIVATE KEY-----\n"
        b"MC4CAQAwBQYDK2VvBCIEIGGCQLP51go8h1fVjPFXTn6XoDVENr4CfPLtFHd7nNmr\n"
        b"-----END PRIVATE KEY-----\n"
    )
    with pytest.raises(SigningKeyError, match="damaged"):
        load_key("env://KEY", {"KEY": pem_text.decode()}, None)
