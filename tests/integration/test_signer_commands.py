"""Which key signs, and programs that sign: what they are given, and what is said of what they write instead."""

import os
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from support.key_files import key_file

from mlenv.errors import MlenvError, SigningKeyError
from mlenv.sources.trust.command_key import LARGEST
from mlenv.sources.trust.private_keys import CommandKey, FileKey, load_key, signer
from mlenv.trust.keys import KeyType

DATA = b"the bytes to sign"


def script(folder: Path, body: str) -> list[str]:
    path = folder / "sign.py"
    path.write_text(f"import sys, os, base64\ndata = sys.stdin.buffer.read()\nout = sys.stdout.buffer\n{body}\n")
    return [sys.executable, "-I", str(path)]


def answer(folder: Path, output: bytes, before: str = "") -> list[str]:
    (folder / "answer").write_bytes(output)
    return script(folder, f"{before}\nout.write(open({str(folder / 'answer')!r}, 'rb').read())")


@pytest.fixture(params=list(KeyType))
def key(request: pytest.FixtureRequest, tmp_path: Path) -> FileKey:
    """The key of a.key, with a.key.pub."""
    return load_key(str(key_file(tmp_path, "a", request.param)), {}, None)


def test_a_program_signs(tmp_path: Path, key: FileKey) -> None:
    signature = key.sign(DATA)
    command = answer(tmp_path, signature, before=f"assert data == {DATA!r}")
    assert CommandKey(key.public_key, command).sign(DATA) == signature


def refusal(key: CommandKey, data: bytes = DATA) -> tuple[str, str]:
    with pytest.raises(SigningKeyError) as caught:
        key.sign(data)
    (problem,) = caught.value.problems
    assert problem.where == key.command[0]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return problem.message, problem.hint


def test_what_a_program_wrote_instead(tmp_path: Path, key: FileKey) -> None:
    def said(output: bytes) -> str:
        return refusal(CommandKey(key.public_key, answer(tmp_path, output)))[0]

    signature = key.sign(DATA)
    assert said(b"") == "wrote no signature"
    assert said(b64encode(signature)) == "wrote the signature as base64"
    assert said(b64encode(signature) + b"\n") == "wrote the signature as base64"
    assert said(b"x" * (LARGEST + 1)) == "wrote more than 64 KiB"
    assert said(key.sign(b"other bytes")) == f"what it wrote is no signature by {key.public_key.fingerprint}"
    if key.public_key.type is KeyType.ECDSA_P256:
        r, s = decode_dss_signature(signature)
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert said(raw) == "wrote the signature as two bare numbers"
        assert said(b64encode(raw)) == "wrote the signature as base64"
        assert said(b"Signature: ...") == "wrote something that is not a signature"
        assert said(bytes(64)) == "wrote something that is not a signature"


def test_a_program_with_another_key(tmp_path: Path, key: FileKey) -> None:
    other = load_key(str(key_file(tmp_path, "b", key.public_key.type)), {}, None).public_key
    said, hint = refusal(CommandKey(other, answer(tmp_path, key.sign(DATA))))
    assert said == f"what it wrote is no signature by {other.fingerprint}"
    assert "--key" in hint


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit(3)", "failed with exit status 3"),
        ("out.write(b'x'); sys.exit(1)", "failed with exit status 1"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("while True: out.write(bytes(1 << 20))", "wrote more than 64 KiB"),
    ],
)
def test_a_program_that_fails(tmp_path: Path, key: FileKey, body: str, said: str) -> None:
    assert refusal(CommandKey(key.public_key, script(tmp_path, body)))[0] == said


def test_a_program_that_cannot_be_run(tmp_path: Path, key: FileKey) -> None:
    def said(program: str) -> str:
        return refusal(CommandKey(key.public_key, [program]))[0]

    assert said("no-such-program") == "cannot be run: No such file or directory"
    (tmp_path / "text").write_text("no program")
    assert said(str(tmp_path / "text")) == "cannot be run: Permission denied"
    (tmp_path / "text").chmod(0o755)
    assert said(str(tmp_path / "text")) == "cannot be run: Exec format error"
    assert said("a\0b") == "cannot be run: embedded null byte"


def test_a_program_may_leave_its_input_alone(tmp_path: Path, key: FileKey) -> None:
    """More than fits into a pipe, and nobody reads it."""
    data = bytes(1 << 20)
    (tmp_path / "answer").write_bytes(key.sign(data))
    command = ["cat", str(tmp_path / "answer")]
    assert key.public_key.verifies(CommandKey(key.public_key, command).sign(data), data)


def test_no_shell_and_no_passphrase(tmp_path: Path, key: FileKey) -> None:
    before = (
        "assert sys.argv[1:] == ['$HOME', 'a b', '*'], sys.argv\n"
        "assert 'MLENV_KEY_PASSWORD' not in os.environ and os.environ['OTHER'] == '1'"
    )
    command = " ".join(answer(tmp_path, key.sign(DATA), before)) + " '$HOME' 'a b' *"
    environ = {**os.environ, "MLENV_KEY_PASSWORD": "secret", "OTHER": "1"}
    found = signer(environ, key=str(tmp_path / "a.key.pub"), command=command, ask=None)
    assert found.public_key.verifies(found.sign(DATA), DATA)


def test_arguments_may_hold_a_pin(key: FileKey) -> None:
    found = CommandKey(key.public_key, ["false", "--pin=1234"], {"PIN": "1234"})
    assert "1234" not in repr(found)
    assert "1234" not in "".join(refusal(found))


# What --key, --signer-command and MLENV_KEY mean together


def test_which_key_signs(tmp_path: Path, key: FileKey) -> None:
    path, public = str(tmp_path / "a.key"), str(tmp_path / "a.key.pub")
    text = Path(path).read_text()
    for environ, given in [
        ({}, path),
        ({"MLENV_KEY": path}, None),
        ({"MLENV_KEY": path}, ""),
        ({"MLENV_KEY": "no-such-file"}, path),
        ({"MLENV_KEY": text}, None),
        ({"MLENV_KEY": "env://MINE", "MINE": text}, None),
        ({"MINE": text}, "env://MINE"),
    ]:
        found = signer(environ, key=given, command=None, ask=None)
        assert isinstance(found, FileKey)
        assert found.public_key == key.public_key
    for environ, given in [({}, public), ({"MLENV_KEY": Path(public).read_text()}, None)]:
        by_command = signer(environ, key=given, command="sign 'a b'", ask=None)
        assert isinstance(by_command, CommandKey)
        assert by_command.public_key == key.public_key
        assert by_command.command == ["sign", "a b"]


@pytest.mark.parametrize(
    ("given", "command", "status", "said"),
    [
        (None, None, 2, "there is no key to sign with"),
        (None, "sign", 2, "there is no key to sign with"),
        ("a.key.pub", "", 2, "--signer-command is empty"),
        ("a.key.pub", "  ", 2, "--signer-command is empty"),
        ("a.key.pub", "'a", 2, "--signer-command cannot be split into words: no closing quotation"),
        ("a.key", "sign", 3, "a private key, where a public one is needed"),
        ("a.key.pub", None, 3, "a public key, where a private one is needed"),
    ],
)
def test_what_makes_no_signer(
    tmp_path: Path, key: FileKey, given: str | None, command: str | None, status: int, said: str
) -> None:
    del key
    reference = str(tmp_path / given) if given else None
    with pytest.raises(MlenvError) as caught:
        signer({}, key=reference, command=command, ask=None)
    assert caught.value.exit_status == status
    (problem,) = caught.value.problems
    assert problem.message == said
    assert problem.hint
