"""The root of trust that a user has: `trust.root.json` in the configuration folder, and how a later one replaces it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from mlenv.errors import TrustPolicyError, UnavailableError
from mlenv.sources.trust.alone import alone
from mlenv.sources.trust.folders import configuration_folder
from mlenv.sources.trust.policy_files import ROOT, policy_in_folder, read_by_hand, read_guarded
from mlenv.sources.whole_file import write_whole
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.root import RootFile, TrustRoot, first_root, last_root


def installed_root(environ: Mapping[str, str]) -> Path:
    """Where the user's root of trust lies, or would. TrustPolicyError where there is no place for it."""
    folder = configuration_folder(environ)
    if folder is None:
        raise TrustPolicyError(
            "there is no place for a root of trust: this user has no home folder", hint="set XDG_CONFIG_HOME"
        )
    return folder / ROOT


def load_root_policy(data: bytes, now: datetime, where: str) -> TrustPolicy:
    """The policy of a root that is trusted, which its own keys signed and which has not expired. TrustPolicyError."""
    return first_root(data, now, where=where).policy


def read_root(path: Path) -> RootFile:
    """The bytes of a file that the user named, unchecked. TrustPolicyError where it cannot be read."""
    found = read_by_hand(path)
    return RootFile(found.shown, found.data)


def read_installed(path: Path) -> RootFile:
    """The bytes of the user's root, which nobody else may write. TrustPolicyError where there is none."""
    if not path.exists():
        raise TrustPolicyError(
            "no root of trust is installed yet",
            where=str(path),
            hint="compare the keys that `mlenv trust root show FILE` lists with the owner's, then add --initial",
        )
    return RootFile(str(path), read_guarded(path, shown=str(path)).data)


def install_root(path: Path, chain: Sequence[RootFile], now: datetime) -> TrustRoot:
    """Believe the first of these roots because the user says so, and install the last. TrustPolicyError."""
    with _alone(path):
        there = policy_in_folder(path.parent)
        if there == path:
            hint = "leave --initial away: a later root is checked with the one that is installed"
            raise TrustPolicyError("a root of trust is installed already", where=str(path), hint=hint)
        if there:
            hint = "move it away: a root brings its own policy, and only one of the two can decide"
            raise TrustPolicyError("a trust policy is there already", where=str(there), hint=hint)
        return _write(path, last_root(None, chain, now))


def update_root(path: Path, chain: Sequence[RootFile], now: datetime) -> TrustRoot:
    """Replace the installed root by the last of a chain that follows it. TrustPolicyError; then nothing changed.

    Of two updates at once one waits, and then meets the other's root: versions never go back.
    """
    path = path.resolve()  # a link to where the user keeps it stays a link
    with _alone(path):
        return _write(path, last_root(read_installed(path), chain, now))


def _write(path: Path, root: TrustRoot) -> TrustRoot:
    write_whole(path, [root.data])
    return root


def _alone(path: Path) -> AbstractContextManager[None]:
    """Nobody else updates the root meanwhile. UnavailableError."""
    return alone(path.with_name(f".{path.name}.lock"), lambda error: _not_locked(error, path))


def _not_locked(error: OSError, path: Path) -> UnavailableError:
    return UnavailableError(
        f"the root of trust cannot be replaced: {error.strerror}",
        where=str(path),
        hint="make the folder writable for you, or point XDG_CONFIG_HOME at one that is",
    )
