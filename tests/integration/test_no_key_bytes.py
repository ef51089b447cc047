"""No command tells a private key or its passphrase: not on a terminal at -vv, not in any file but the key's own."""

import base64
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from support.refusals import Project, Result
from support.signers import signer

from mlenv.trust.keys import KeyType

PASSPHRASE = "hunter2-of-the-key"
WRONG = "hunter3-is-wrong"
RIGHT = {"MLENV_KEY_PASSWORD": PASSPHRASE}


@dataclass(frozen=True)
class Guarded:
    """A locked project, and a folder of keys whose secrets must not get out of it."""

    project: Project
    keys: Path
    secrets: Mapping[str, bytes]

    def run(self, *arguments: str | Path, environ: Mapping[str, str] | None = None) -> Result:
        """A command at -vv, which must not have told anything by its end."""
        result = self.project.run(*map(str, arguments), "-vv", environ=environ)
        self.check(result)
        return result

    def check(self, result: Result) -> None:
        assert "has a bug" not in result.err, result.err
        self.search("its output", (result.out + result.err).encode())
        for path in self.project.root.parent.rglob("*"):
            if path.is_file() and not path.is_relative_to(self.keys):
                self.search(str(path), path.read_bytes())

    def search(self, where: str, data: bytes) -> None:
        bare = data.translate(None, b" \n\r:")  # also a number that was broken into lines or pairs
        for name, secret in self.secrets.items():
            assert secret not in data, f"{name} is in {where}"
            assert secret not in bare, f"{name} is in {where}, over several lines"


def forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """The ways in which the bytes of a secret could be written."""
    yield "raw", secret
    yield "hex", secret.hex().encode()
    yield "HEX", secret.hex().upper().encode()
    yield "decimal", str(int.from_bytes(secret, "big")).encode()
    yield "reversed", secret[::-1]
    yield "repr", repr(secret)[2:-1].encode()
    for shift in range(3):  # base64 of a text in which the secret begins at any place; the ends hang on what is around
        text = base64.b64encode(bytes(shift) + secret)[4:-4]
        yield f"base64, shifted by {shift}", text
        yield f"base64url, shifted by {shift}", text.translate(bytes.maketrans(b"+/", b"-_"))


def secrets_of(files: list[Path]) -> dict[str, bytes]:
    found = {"the passphrase": PASSPHRASE.encode(), "the wrong passphrase": WRONG.encode()}
    for path in files:
        data = path.read_bytes()
        key = load_pem_private_key(data, PASSPHRASE.encode() if b"ENCRYPTED" in data else None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            secret = key.private_numbers().private_value.to_bytes(32, "big")
        else:
            secret = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        found |= {f"the secret of {path.name} ({name})": text for name, text in forms(secret)}
        body = [line for line in data.splitlines() if b"-----" not in line]
        # The last lines of a key that is not encrypted may be its public part.
        for line in body if b"ENCRYPTED" in data else body[:1]:
            found[f"a line of {path.name}"] = line
    return found


@pytest.fixture(params=KeyType)
def guarded(request: pytest.FixtureRequest, locked: Project) -> Guarded:
    keys = locked.root.with_name("keys")
    keys.mkdir(mode=0o700)
    made = locked.run("keys", "generate", "--type", request.param, "-o", str(keys / "encrypted.key"), environ=RIGHT)
    assert made.status == 0, made.err
    plain = signer("plain", request.param)
    (keys / "plain.key").write_bytes(
        plain.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    (keys / "plain.key.pub").write_text(plain.public_key.pem)
    ssh = plain.private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    (keys / "ssh.key").write_bytes(ssh)
    text = (keys / "plain.key").read_text()
    (keys / "cut.key").write_text(text[:-30])
    (keys / "damaged.key").write_text(text.replace("-----\nM", "-----\nA"))
    (keys / "encrypted-damaged.key").write_text((keys / "encrypted.key").read_text().replace("-----\nM", "-----\nA"))
    guarded = Guarded(locked, keys, secrets_of([keys / "encrypted.key", keys / "plain.key"]))
    guarded.check(made)
    return guarded


def test_the_search_finds_what_it_looks_for(guarded: Guarded) -> None:
    """A key that is written down is found, however it is."""
    key = load_pem_private_key((guarded.keys / "plain.key").read_bytes(), None)
    assert isinstance(key, type(signer("plain", KeyType.ED25519).private) | ec.EllipticCurvePrivateKey)
    secrets = [
        (guarded.keys / "encrypted.key").read_bytes(),
        (guarded.keys / "plain.key").read_bytes(),
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        base64.b64encode((guarded.keys / "plain.key").read_bytes().splitlines()[0]) + PASSPHRASE.encode(),
        (guarded.keys / "ssh.key").read_bytes(),
        subprocess.run(
            ["openssl", "pkey", "-in", guarded.keys / "plain.key", "-noout", "-text"], capture_output=True, check=True
        ).stdout,
    ]
    for secret in secrets:
        with pytest.raises(AssertionError):
            guarded.search("here", b"before" + secret + b"after")
    guarded.search("here", key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_keys_show(guarded: Guarded) -> None:
    for name, environ, status in [
        ("encrypted.key", RIGHT, 0),
        ("encrypted.key", {"MLENV_KEY_PASSWORD": WRONG}, 3),
        ("encrypted.key", {}, 3),
        ("encrypted-damaged.key", RIGHT, 3),
        ("plain.key", {}, 0),
        ("cut.key", {}, 3),
        ("damaged.key", {}, 3),
        ("ssh.key", {}, 3),
    ]:
        assert guarded.run("keys", "show", guarded.keys / name, environ=environ).status == status, name


def test_a_key_in_a_variable(guarded: Guarded) -> None:
    for name, status in {"plain.key": 0, "cut.key": 3, "damaged.key": 3, "ssh.key": 3}.items():
        assert guarded.run("sign", environ={"MLENV_KEY": (guarded.keys / name).read_text()}).status == status
    text = (guarded.keys / "plain.key").read_text()
    assert guarded.run("sign", "--key", "env://K", environ={"K": text}).status == 0
    for wrong in (text.replace("\n", "\\n"), base64.b64encode(text.encode()).decode()):
        assert guarded.run("keys", "show", "env://K", environ={"K": wrong}).status == 3
        assert guarded.run("sign", environ={"MLENV_KEY": wrong}).status == 3


def test_a_key_in_the_wrong_place(guarded: Guarded) -> None:
    text = (guarded.keys / "plain.key").read_text()
    assert guarded.run("keys", "show", text).status == 2
    assert guarded.run("sign", "--key", text).status == 3
    assert guarded.run("sign", f"--key={text}").status == 3
    assert guarded.run("sign", text).status == 2
    assert guarded.run("verify", "lock", "--key", guarded.keys / "plain.key").status == 3
    assert guarded.run("trust", "add", "mine", "--key", guarded.keys / "plain.key").status == 3


def test_sign(guarded: Guarded) -> None:
    key = guarded.keys / "encrypted.key"
    assert guarded.run("sign", "--key", key, environ=RIGHT).status == 0
    assert guarded.run("sign", "--key", key, "--serial", "7", "--json", environ=RIGHT).status == 0
    assert guarded.run("verify", "lock", "--key", f"{key}.pub", environ=RIGHT).status == 0
    assert guarded.run("sign", "--key", key, environ={"MLENV_KEY_PASSWORD": WRONG}).status == 3
    assert guarded.run("sign", "--key", key, "--expires", "never", environ=RIGHT).status == 2
    assert guarded.run("lock", "--key", key, environ=RIGHT).status == 0
    provenance = ("--provenance", guarded.project.root / "provenance.json", "--key", key)
    assert guarded.run("build", "-o", "oci:out", *provenance, environ=RIGHT).status == 0


def test_signing_fails_late(guarded: Guarded) -> None:
    """Where the key is in memory, and the signature cannot be written, or the lock is not fresh any more."""
    key = guarded.keys / "encrypted.key"
    (guarded.project.root / "mlenv.lock.blocked.sigstore.json").mkdir()
    assert guarded.run("sign", "--key", key, "--as", "blocked", environ=RIGHT).status not in {0, 70}
    (guarded.project.root / "more.txt").write_text("demo<3\n")
    assert guarded.run("sign", "--key", key, environ=RIGHT).status == 1


def test_generating_fails(guarded: Guarded) -> None:
    def generate(output: Path | str) -> int:
        return guarded.run("keys", "generate", "-o", output, environ=RIGHT).status

    assert generate(guarded.keys / "encrypted.key") == 2
    assert generate("missing/new.key") == 2
    assert generate("/proc/new.key") == 6
    assert generate("k" * 252) not in {0, 70}


@pytest.mark.parametrize("body", ["exit 3", "echo nonsense", "echo $MLENV_KEY_PASSWORD >&2; false", "cat"])
def test_a_program_that_fails_to_sign(guarded: Guarded, body: str) -> None:
    """It is not given the passphrase, and so cannot tell it either."""
    command = ("--signer-command", shlex.join(["sh", "-c", body]))
    public = guarded.keys / "plain.key.pub"
    assert guarded.run("sign", "--key", public, *command, environ=RIGHT).status == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_a_program_signs(guarded: Guarded, number: signal.Signals) -> None:
    started = guarded.project.root.with_name("started")
    code = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    command = shlex.join([sys.executable, "-c", code])
    guarded.project.environ |= RIGHT
    result = guarded.project.run_and_send(
        number,
        lambda: started.exists() and started.stat().st_size > 0,
        *("sign", "-vv", "--key", str(guarded.keys / "plain.key.pub"), "--signer-command", command),
    )
    guarded.check(result)
    assert result.status == 128 + number
    assert result.changed == ()
    with pytest.raises(ProcessLookupError):  # the program ended with it
        os.kill(int(started.read_text()), 0)


@pytest.mark.parametrize("after", [0.25, 0.35, 0.45, 0.55])
def test_stopped_at_any_moment(guarded: Guarded, after: float) -> None:
    """Also while the key is derived from the passphrase."""
    guarded.project.environ |= RIGHT
    until = time.monotonic() + after
    result = guarded.project.run_and_send(
        signal.SIGTERM,
        lambda: time.monotonic() > until,
        *("sign", "-vv", "--key", str(guarded.keys / "encrypted.key")),
    )
    guarded.check(result)
    # On a busy machine the first may come before mlenv hears it, and Python just ends.
    assert result.status in {0, 128 + signal.SIGTERM, -signal.SIGTERM}
