"""Where a key is: in a file, or in an environment variable. What it says is for others to understand."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mlenv.errors import SigningKeyError

LARGEST: Final = 64 << 10
"""Bytes. An RSA key of 16384 bits in PEM has 12 KiB."""


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key's PEM as it was found, and what messages call the place. The text may be a secret: no repr shows it."""

    data: bytes = field(repr=False)
    where: str
    warnings: tuple[str, ...] = ()


def default_key(environ: Mapping[str, str]) -> str:
    """What stands for a `--key` that was not given: a path, env://NAME, or env://MLENV_KEY for PEM in MLENV_KEY."""
    value = environ.get("MLENV_KEY", "")
    return "env://MLENV_KEY" if "-----BEGIN" in value else value


def read_key(reference: str, environ: Mapping[str, str]) -> KeyText:
    """The bytes that a path or env://NAME leads to. SigningKeyError, whose message never has the reference's text."""
    if "-----BEGIN" in reference:
        raise SigningKeyError(
            "the key itself, where the name of a file is needed: other processes see a command line",
            hint="write the key to a file, or name an environment variable that holds it with env://NAME",
        )
    if reference.startswith("env://"):
        return _variable(reference.removeprefix("env://"), environ)
    return _file(reference)


def _variable(name: str, environ: Mapping[str, str]) -> KeyText:
    where = f"env://{name}"
    value = environ.get(name, "")
    if not value.strip():
        said = "is empty" if name in environ else "is not set"
        raise SigningKeyError(f"the environment variable {said}", where=where, hint="let it hold the key's PEM text")
    if len(value) > LARGEST:
        raise SigningKeyError(_TOO_LARGE, where=where, hint="let the variable hold the key's PEM text and nothing else")
    return KeyText(os.fsencode(value), where)


def _file(name: str) -> KeyText:
    try:
        # Not one that waits for a writer for ever; a pipe that a shell made for <(…) has its writer already.
        with open(name, "rb", opener=_opener) as file:
            status = os.fstat(file.fileno())
            os.set_blocking(file.fileno(), True)
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        hint = "name a key file with --key; `mlenv keys generate` makes one"
        raise SigningKeyError("there is no such file", where=name, hint=hint) from None
    except IsADirectoryError:
        raise SigningKeyError("a folder, where a key file is needed", where=name, hint="name a file in it") from None
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        hint = "check who owns it and its permissions"
        raise SigningKeyError(f"cannot be read: {said}", where=name, hint=hint) from None
    if not data.strip():
        raise SigningKeyError("the file is empty", where=name, hint="restore the key from a copy, or make a new one")
    if len(data) > LARGEST:
        raise SigningKeyError(_TOO_LARGE, where=name, hint="name the file of the key")
    return KeyText(data, name, _open_to_others(name, status))


_TOO_LARGE = f"larger than {LARGEST >> 10} KiB, which no key is"


def _opener(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _open_to_others(name: str, status: os.stat_result) -> tuple[str, ...]:
    """A warning and no refusal: secrets that are mounted into containers have the mode that the orchestrator gave."""
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        return (f"{name} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600 {name}",)
    return ()
