"""The root of trust that a user has: `trust.root.json` in the configuration folder, and how a later one replaces it."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from mlenv.errors import TrustPolicyError, UnavailableError
from mlenv.sources.trust.folders import configuration_folder
from mlenv.sources.whole_file import write_whole
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.root import RootFile, TrustRoot, first_root, last_root
from mlenv.trust.root_form import LARGEST_ROOT

ROOT_NAME: Final = "trust.root.json"


def installed_root(environ: Mapping[str, str]) -> Path:
    """Where the user's root of trust lies, or would. TrustPolicyError where there is no place for it."""
    folder = configuration_folder(environ)
    if folder is None:
        raise TrustPolicyError(
            "there is no place for a root of trust: this user has no home folder", hint="set XDG_CONFIG_HOME"
        )
    return folder / ROOT_NAME


def load_root_policy(data: bytes, now: datetime, where: str) -> TrustPolicy:
    """The policy of a root that is trusted, which its own keys signed and which has not expired. TrustPolicyError."""
    return first_root(data, now, where=where).policy


def read_root(path: Path) -> RootFile:
    """A root's bytes, unchecked. TrustPolicyError where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_ROOT + 1)
    except FileNotFoundError:
        hint = "name a file that is there, or install a first one with `mlenv trust root update FILE --initial`"
        raise TrustPolicyError("there is no root of trust", where=str(path), hint=hint) from None
    except OSError as error:
        hint = "name a file that you can read"
        raise TrustPolicyError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None
    return RootFile(str(path), data)


def install_root(path: Path, chain: Sequence[RootFile], now: datetime) -> TrustRoot:
    """Believe the first of these roots because the user says so, and install the last. TrustPolicyError."""
    with _alone(path):
        if path.exists():
            hint = "leave --initial away: a later root is checked with the one that is installed"
            raise TrustPolicyError("a root of trust is installed already", where=str(path), hint=hint)
        return _write(path, last_root(None, chain, now))


def update_root(path: Path, chain: Sequence[RootFile], now: datetime) -> TrustRoot:
    """Replace the installed root by the last of a chain that follows it. TrustPolicyError; then nothing changed.

    Of two updates at once one waits, and then meets the other's root: versions never go back.
    """
    with _alone(path):
        return _write(path, last_root(read_root(path).data, chain, now))


def _write(path: Path, root: TrustRoot) -> TrustRoot:
    write_whole(path, [root.data])
    return root


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds the lock of the file: nobody else updates it meanwhile. UnavailableError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.lock")
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_locked(error, path) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _not_locked(error, path) from error
        yield
    finally:
        os.close(descriptor)


def _not_locked(error: OSError, path: Path) -> UnavailableError:
    return UnavailableError(
        f"the root of trust cannot be replaced: {error.strerror}",
        where=str(path),
        hint="make the folder writable for you, or point XDG_CONFIG_HOME at one that is",
    )
