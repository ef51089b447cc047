"""Where a key is: in a file, or in an environment variable. What its text means is said in `key_pem`."""

import os
import re
import resource
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from mlenv.errors import SigningKeyError
from mlenv.trust.pem import LIMIT

PEM_BEGIN: Final = "-----BEGIN "
_BASE64: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9+/_=-]{48,}")


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as it was found, and what messages call the place. The bytes may be a secret: no repr shows them.

    `warnings` are lines for the user that stop nothing.
    """

    data: bytes = field(repr=False)
    where: str
    warnings: tuple[str, ...] = ()


def default_key(environ: Mapping[str, str]) -> str:
    """What MLENV_KEY says in place of --key: a path, env://NAME, or for PEM text its own name; empty without it."""
    value = environ.get("MLENV_KEY", "")
    return "env://MLENV_KEY" if PEM_BEGIN in value else value


def read_key(reference: str, environ: Mapping[str, str]) -> KeyText:
    """The bytes in the file or the env://NAME that the reference names, at most 64 KiB. SigningKeyError."""
    forbid_core_files()
    if PEM_BEGIN in reference or "KEY-----" in reference or "\n" in reference:
        raise SigningKeyError(
            "the text of a key, where the name of a file is needed: other users can read the arguments of a process",
            hint="write it to a file, or name an environment variable that holds it: env://NAME",
        )
    if reference.startswith("env://"):
        return _variable(reference.removeprefix("env://"), environ)
    return read_key_file(reference)


def forbid_core_files() -> None:
    """From here on a crash of this process leaves no copy of its memory, and so of its keys.

    One byte, not 0: that would stop the files, but not the dumps that the kernel pipes to a program (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with suppress(OSError, ValueError):  # a sandbox that lets no limit be set
        resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard >= 0 else 1, hard))


def _variable(name: str, environ: Mapping[str, str]) -> KeyText:
    where = f"env://{name}"
    value = environ.get(name, "")
    if not value.strip():
        said = "is empty" if name in environ else "is not set"
        raise SigningKeyError(f"the environment variable {said}", where=where, hint="let it hold the key's PEM text")
    data = os.fsencode(value)
    if len(data) > LIMIT:
        raise _too_large(where)
    return KeyText(data, where)


def read_key_file(name: str) -> KeyText:
    """The bytes of a file of at most 64 KiB, also where it is a pipe of the shell's. SigningKeyError."""
    try:
        with open(name, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            os.set_blocking(file.fileno(), True)
            data = file.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    if not data.strip():
        raise SigningKeyError("the file is empty", where=name, hint="restore it from a copy, or name another file")
    if len(data) > LIMIT:
        raise _too_large(name)
    return KeyText(data, name, _open_to_others(name, status))


def _unreadable(name: str, error: OSError | ValueError) -> SigningKeyError:
    if _BASE64.fullmatch(name):
        hint = "name the key's file; in a variable, the key stands as PEM with its line breaks"
        return SigningKeyError("no file, but perhaps a key in base64: it is not repeated here", hint=hint)
    if isinstance(error, IsADirectoryError):
        return SigningKeyError("a folder, where a key file is needed", where=name, hint="name a file in it")
    if isinstance(error, FileNotFoundError) and "://" in name:
        hint = "name a file or env://NAME; what another program keeps signs by --signer-command"
        return SigningKeyError("no kind of place that mlenv reads keys from", where=name, hint=hint)
    if isinstance(error, FileNotFoundError):
        hint = "name the file of a key; `mlenv keys generate` makes one"
        return SigningKeyError("there is no such file", where=name, hint=hint)
    said = getattr(error, "strerror", None) or error
    return SigningKeyError(f"cannot be read: {said}", where=name, hint="check who owns it and its permissions")


def _without_waiting(name: str, flags: int) -> int:
    """Opens also a named pipe that nobody writes to; that of a shell's <(…) has its writer already."""
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _too_large(where: str) -> SigningKeyError:
    return SigningKeyError(f"larger than {LIMIT >> 10} KiB: not a key", where=where, hint="name the key's own file")


def _open_to_others(name: str, status: os.stat_result) -> tuple[str, ...]:
    """A warning, no refusal: a secret that is mounted into a container has the mode that its orchestrator gave it."""
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        return (f"{name} is open to others (mode {stat.S_IMODE(status.st_mode):04o}); `chmod 600` closes it",)
    return ()
