"""The bytes of a policy file, from the very file whose owner and permissions were looked at."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlenv.errors import TrustPolicyError
from mlenv.sources.regular_file import open_regular
from mlenv.trust.policy_file import LARGEST_POLICY

POLICY: Final = "trust.toml"
ROOT: Final = "trust.root.json"


@dataclass(frozen=True, slots=True)
class PolicyBytes:
    """A policy file as it was read: its resolved path, what messages call it, and its bytes."""

    path: Path
    shown: str
    data: bytes

    @property
    def is_root(self) -> bool:
        """Whether it is a signed root, by its content: TOML does not begin with a brace."""
        return self.path.name == ROOT or self.data.lstrip()[:1] == b"{"


def policy_in_folder(folder: Path) -> Path | None:
    """The policy in a folder of configuration; None where there is none. TrustPolicyError where there are two."""
    there = [folder / name for name in (POLICY, ROOT) if _exists(folder / name)]
    if len(there) > 1:
        raise TrustPolicyError(
            f"both {POLICY} and {ROOT} are there, and only one of them can decide",
            where=str(folder),
            hint=f"remove {POLICY} if {ROOT} was made from it, else the one that you do not mean",
        )
    return there[0] if there else None


def read_by_hand(path: Path) -> PolicyBytes:
    """A policy that the user named on the command line: wherever it lies and whoever may write it. TrustPolicyError."""
    return _read(path, str(path), guarded=False)


def read_guarded(path: Path, *, shown: str) -> PolicyBytes:
    """A policy that was found rather than named: only the user or root may be able to write it. TrustPolicyError."""
    return _read(path, shown, guarded=True)


def _read(path: Path, shown: str, *, guarded: bool) -> PolicyBytes:
    resolved = Path(os.path.realpath(path))  # unlike Path.resolve, never an error
    try:
        # A link at the end of a resolved path was put there just now.
        with open_regular(resolved, follow=False) as file:
            status = os.fstat(file.fileno())
            if guarded:
                _refuse_others(status, resolved, shown)
            data = file.read(LARGEST_POLICY + 1)
    except OSError as error:
        hint = "name a trust policy that you can read, or write one with `mlenv trust add`"
        raise TrustPolicyError(f"cannot be read: {error.strerror}", where=shown, hint=hint) from None
    if len(data) > LARGEST_POLICY:
        raise TrustPolicyError(f"larger than {LARGEST_POLICY >> 20} MiB", where=shown, hint="is it a trust policy?")
    return PolicyBytes(resolved, shown, data)


def _refuse_others(status: os.stat_result, path: Path, shown: str) -> None:
    """As ssh does with its configuration: what others can write says what others want."""
    if status.st_uid not in (0, os.geteuid()):
        raise TrustPolicyError(
            f"belongs to another user ({status.st_uid}), who can change whom you trust",
            where=shown,
            hint=f"make it yours (`chown {os.geteuid()} {path}`), or name it by hand: --trust {path}",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TrustPolicyError(
            f"others can write to it (mode {stat.S_IMODE(status.st_mode):04o}), and so change whom you trust",
            where=shown,
            hint=f"run `chmod go-w {path}`",
        )


def _exists(path: Path) -> bool:
    """Also a link that leads nowhere, or a file in a folder that may not be looked into: both are errors later."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        hint = "make the folder readable for you, or name a policy with --trust"
        raise TrustPolicyError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None
    return True
