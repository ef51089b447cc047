"""`mlenv keys`: a new key as openssl sees it, what is shown of a key, and passphrases asked for on a terminal."""

import fcntl
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import termios
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from support.key_files import key_file
from support.refusals import Project, assert_refused
from support.signers import signer

from mlenv.trust.keys import KeyType, PublicKey

Finder = Callable[[str], Path]
PASSPHRASE = "correct horse battery staple"
PASSWORD = {"MLENV_KEY_PASSWORD": PASSPHRASE}


def openssl(require_tool: Finder, *arguments: str | Path) -> bytes:
    command = [require_tool("openssl"), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("kind", [None, "ecdsa-p256", "ed25519"])
def test_generate_and_show(project: Project, require_tool: Finder, kind: str | None) -> None:
    result = project.run("keys", "generate", *(["--type", kind] if kind else []), environ=PASSWORD)
    assert result.status == 0, result.err
    assert result.changed == ("mlenv.key", "mlenv.key.pub")
    private, public = project.root / "mlenv.key", project.root / "mlenv.key.pub"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    # openssl opens the private key, with this passphrase alone, and sees the same public key.
    opened = openssl(require_tool, "pkey", "-in", private, "-passin", f"pass:{PASSPHRASE}", "-pubout")
    assert opened == public.read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        openssl(require_tool, "pkey", "-in", private, "-passin", "pass:another")
    assert b"scrypt" in openssl(require_tool, "asn1parse", "-in", private)
    # What is shown is the same for both files, and is what openssl and OpenSSH make of the key.
    key = PublicKey.parse(public.read_bytes())
    assert result.out == f"{key.fingerprint}\n"
    assert key.type == (kind or "ecdsa-p256")
    spki = openssl(require_tool, "pkey", "-pubin", "-in", public, "-outform", "DER")
    (project.root / "spki").write_bytes(spki)
    digest = openssl(require_tool, "dgst", "-sha256", "-binary", project.root / "spki")
    shown = project.run("keys", "show", "mlenv.key", environ=PASSWORD)
    assert shown.status == 0, shown.err
    assert shown.err == ""
    assert shown == project.run("keys", "show", "mlenv.key.pub")
    for text in (f"sha256:{digest.hex()}", b64encode(digest).decode(), str(key.type), public.read_text()):
        assert text in shown.out
    found = json.loads(project.run("keys", "show", "mlenv.key.pub", "--json").out)
    assert found == {
        "type": kind or "ecdsa-p256",
        "id": f"sha256:{digest.hex()}",
        "hint": b64encode(digest).decode(),
        "openssh": ssh_fingerprint(project.root, require_tool, public.read_bytes()),
        "pem": public.read_text(),
    }


def ssh_fingerprint(folder: Path, require_tool: Finder, pem: bytes) -> str:
    key = load_pem_public_key(pem)
    (folder / "ssh.pub").write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    command: list[str | Path] = [require_tool("ssh-keygen"), "-l", "-f", folder / "ssh.pub"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return str(said.split()[1])


def test_generate_says_what_it_wrote_as_json(project: Project) -> None:
    result = project.run("keys", "generate", "--output", "sub/my.key", "--json", environ=PASSWORD)
    assert_refused(result, status=2, says=["sub", "there is no such folder"], json_=True)
    (project.root / "sub").mkdir()
    result = project.run("keys", "generate", "-o", "sub/my.key", "--json", "-q", environ=PASSWORD)
    assert result.err == ""
    key = PublicKey.parse((project.root / "sub" / "my.key.pub").read_bytes())
    found = json.loads(result.out)
    assert {"private_key": "sub/my.key", "public_key": "sub/my.key.pub"}.items() <= found.items()
    assert (found["id"], found["hint"], found["type"]) == (str(key.fingerprint), key.hint, "ecdsa-p256")


@pytest.mark.parametrize("there", ["mlenv.key", "mlenv.key.pub"])
def test_a_key_is_never_overwritten(project: Project, there: str) -> None:
    (project.root / there).write_text("of old")
    result = project.run("keys", "generate", environ=PASSWORD)
    assert_refused(result, status=2, says=[there, "never overwritten", "--output"])


def test_two_at_once_make_one_pair(project: Project) -> None:
    running = [
        subprocess.Popen(
            project.command("keys", "generate", "-q"),
            cwd=project.root,
            env=project.environment(PASSWORD),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    answers = [(process.communicate()[0].decode().strip(), process.returncode) for process in running]
    (made,) = [answer for answer, status in answers if status == 0]
    assert sorted(status for _, status in answers) == [0, 2, 2, 2]
    shown = [json.loads(project.run("keys", "show", name, "--json", environ=PASSWORD).out) for name in KEY_FILES]
    assert [one["id"] for one in shown] == [made, made]
    assert {path.name for path in project.root.glob("*mlenv.key*")} == {*KEY_FILES}


KEY_FILES = ("mlenv.key", "mlenv.key.pub")


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        ([], {}, ["there is no passphrase", "MLENV_KEY_PASSWORD"]),
        ([], {"MLENV_KEY_PASSWORD": ""}, ["the passphrase is empty", "MLENV_KEY_PASSWORD"]),
        (["--type", "rsa"], PASSWORD, ["rsa", "ecdsa-p256 or ed25519"]),
    ],
)
def test_no_key_is_made(project: Project, arguments: Sequence[str], environ: dict[str, str], says: list[str]) -> None:
    assert_refused(project.run("keys", "generate", *arguments, environ=environ), status=2, says=says)


def test_the_type_in_the_help_is_what_there_is(project: Project) -> None:
    assert "|".join(KeyType) in project.run("keys", "generate", "--help").out


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MLENV_KEY_PASSWORD": "another"}, "the passphrase is wrong"),
        ({"MLENV_KEY_PASSWORD": ""}, "MLENV_KEY_PASSWORD is empty"),
        ({}, "there is no passphrase"),
    ],
)
def test_a_wrong_passphrase(project: Project, environ: dict[str, str], says: str) -> None:
    project.run("keys", "generate", environ=PASSWORD)
    result = project.run("keys", "show", "mlenv.key", "--json", environ=environ)
    assert_refused(result, status=3, says=["mlenv.key", says, "MLENV_KEY_PASSWORD"], json_=True)


def test_the_key_text_on_the_command_line_is_not_repeated(project: Project) -> None:
    text = key_file(project.root.with_name("keys"), "mine").read_text()
    lines = text.splitlines()
    for arguments in (
        ["keys", "show", text],
        ["keys", "show", "--", text],
        ["keys", "show", *text.split()],
        ["keys", "show", "--", *text.split()],
        ["sign", "--key", *text.split()],
    ):
        result = project.run(*arguments)
        assert result.status in {2, 3}
        assert not any(line in result.out + result.err for line in lines[1:-1]), result.err


def test_a_key_that_others_can_read_is_warned_of(project: Project) -> None:
    path = key_file(project.root, "mine")
    path.chmod(0o644)
    result = project.run("keys", "show", "mine.key")
    assert result.status == 0
    assert result.err == "warning: mine.key is open to others (mode 0644); `chmod 600` closes it\n"
    assert str(signer("mine").public_key.fingerprint) in result.out


def test_a_key_from_a_pipe_and_from_a_variable(project: Project) -> None:
    text = key_file(project.root, "mine").read_text()
    shown = project.run("keys", "show", "mine.key").out
    assert project.run("keys", "show", "env://MINE", environ={"MINE": text}).out == shown
    program = " ".join(project.command("keys", "show"))
    done = subprocess.run(
        ["bash", "-c", f"{program} <(cat mine.key)"],
        cwd=project.root,
        env=project.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == shown


# On a terminal


class Conversation:
    """mlenv with a terminal of its own, on which Ctrl-C is a signal and getpass turns the echo off."""

    def __init__(self, project: Project, *arguments: str, **environ: str) -> None:
        self.ours, theirs = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            project.command(*arguments),
            cwd=project.root,
            env=project.environment({"TERM": "xterm", **environ}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- no threads here
        )
        os.close(theirs)

    def answer(self, question: str, text: str) -> None:
        """Wait for the question; type the text once nothing that is typed is shown any more."""
        start = len(self.seen)
        while question not in self.seen[start:]:
            part = os.read(self.ours, 4096).decode()
            assert part, self.seen
            self.seen += part
        until = time.monotonic() + 20
        while termios.tcgetattr(self.ours)[3] & termios.ECHO and time.monotonic() < until:
            time.sleep(0.01)
        os.write(self.ours, text.encode())

    def end(self) -> tuple[int, str]:
        try:
            while part := os.read(self.ours, 4096):
                self.seen += part.decode()
        except OSError:  # EIO: the other side was closed
            pass
        os.close(self.ours)
        return self.process.wait(60), self.seen


def test_a_new_passphrase_is_asked_for_twice(project: Project) -> None:
    talk = Conversation(project, "keys", "generate")
    talk.answer("Passphrase of the new key:", f"{PASSPHRASE}\n")
    talk.answer("The same once more:", "a slip\n")
    talk.answer("Passphrase of the new key:", "\n")
    talk.answer("Passphrase of the new key:", f"{PASSPHRASE}\n")
    talk.answer("The same once more:", f"{PASSPHRASE}\n")
    status, seen = talk.end()
    assert status == 0, seen
    assert PASSPHRASE not in seen
    assert "do not match" in seen
    assert project.run("keys", "show", "mlenv.key", environ=PASSWORD).status == 0


def test_the_passphrase_of_a_key_is_asked_for(project: Project) -> None:
    project.run("keys", "generate", environ=PASSWORD)
    for passphrase, expected in [(PASSPHRASE, 0), ("another", 3)]:
        talk = Conversation(project, "keys", "show", "mlenv.key")
        talk.answer("Passphrase of mlenv.key:", f"{passphrase}\n")
        status, seen = talk.end()
        assert status == expected, seen
        assert passphrase not in seen
        assert "Traceback" not in seen


@pytest.mark.parametrize("key", ["\x03", "\x04"])  # Ctrl-C, Ctrl-D
@pytest.mark.parametrize("arguments", [["generate", "-o", "new.key"], ["show", "mlenv.key"]])
def test_interrupted_while_asked(project: Project, key: str, arguments: list[str]) -> None:
    project.run("keys", "generate", environ=PASSWORD)
    was = project.tree()
    talk = Conversation(project, "keys", *arguments)
    talk.answer("Passphrase of", key)
    status, seen = talk.end()
    assert status == 130, seen
    assert "bug" not in seen
    assert "interrupted" in seen
    assert project.changed_since(was) == ()


# Core files


def test_a_crash_leaves_no_core_file(tmp_path: Path) -> None:
    path = key_file(tmp_path, "mine")
    code = (
        "import os, resource, sys\n"
        "from mlenv.sources.trust.private_keys import load_key\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "key = load_key(sys.argv[1], {}, None) if len(sys.argv) > 1 else None\n"
        "os.abort()\n"
    )
    dumped = []
    for arguments in ([path], []):
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=tmp_path)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = status
        assert os.WTERMSIG(status) == signal.SIGABRT
        dumped.append(os.WCOREDUMP(status))
    assert not dumped[0], "with a key; without one a core file is " + ("written" if dumped[1] else "not written either")
