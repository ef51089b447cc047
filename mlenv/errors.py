"""Everything that can go wrong, one class per kind of failure, each with its exit status.

An error is one or more `Problem`s: where, what, and what to do. `cli/` prints them; the library only raises.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `message` is one line. `where` is a place that the user can open (`mlenv.toml:12 python.packages[0]`, a file,
    an image reference) or empty. `hint` is one line that says what to do, or empty.
    """

    message: str
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class MlenvError(Exception):
    """The base of all errors that mlenv raises on purpose.

    `code` is stable and meant for programs; `exit_status` is that of the command line.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str = "", *, where: str = "", hint: str = "", problems: Sequence[Problem] = ()) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems) or (Problem(message, where, hint),)
        super().__init__("\n".join(map(str, self.problems)))


class StaleLockError(MlenvError):
    """mlenv.lock does not belong to what mlenv.toml and the files it names say now."""

    code = "stale-lock"
    exit_status = 1


class DriftError(MlenvError):
    """What was verified is not what the lock says."""

    code = "drift"
    exit_status = 1


class UsageError(MlenvError):
    """The command line asks for something that does not exist or make sense."""

    code = "usage"
    exit_status = 2


class ManifestError(MlenvError):
    """mlenv.toml is wrong; `problems` holds every place at once."""

    code = "manifest"
    exit_status = 2


class LockFormatError(MlenvError):
    """mlenv.lock cannot be read: not TOML, not our format, or of a later version."""

    code = "lock-format"
    exit_status = 2


class SignatureError(MlenvError):
    """A signature is missing, wrong, or made by a key that is not trusted."""

    code = "signature"
    exit_status = 3


class SigningKeyError(MlenvError):
    """A key cannot be used: it is not one, its passphrase is wrong, or whatever holds it does not sign."""

    code = "signing-key"
    exit_status = 3


class TrustPolicyError(MlenvError):
    """There is no trust policy, it cannot be read, or it may not be believed."""

    code = "trust-policy"
    exit_status = 3


class UnverifiableError(MlenvError):
    """Something could not be verified: there was no evidence either way."""

    code = "unverifiable"
    exit_status = 4


class ResolutionError(MlenvError):
    """There is no set of packages that fits: no version, no wheel for this base, files that collide."""

    code = "resolution"
    exit_status = 5


class UnavailableError(MlenvError):
    """Something outside could not be reached or refused to work: network, registry, engine, disk."""

    code = "unavailable"
    exit_status = 6


class RefusedError(MlenvError):
    """Bytes from outside were refused: their digest is not the expected one, or their content breaks its format."""

    code = "refused"
    exit_status = 7


class DigestMismatchError(RefusedError):
    """A digest did not match."""

    code = "digest-mismatch"
