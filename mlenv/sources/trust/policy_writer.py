"""Edits of the user's trust.toml: one at a time, and written only once the new text is a policy."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlenv.errors import TrustPolicyError, UnavailableError
from mlenv.sources.trust.folders import configuration_folder
from mlenv.sources.trust.policies import policy_place
from mlenv.sources.trust.policy_files import POLICY, PolicyBytes, read_by_hand, read_guarded
from mlenv.sources.whole_file import write_whole
from mlenv.trust.policy import TrustPolicy


@dataclass(frozen=True, slots=True)
class Edit:
    """What became of a policy. `before` is None where there was none; `shown` is what messages call the file."""

    shown: str
    before: TrustPolicy | None
    after: TrustPolicy

    @property
    def changed(self) -> bool:
        """Whether the file was written."""
        return self.before is None or self.before.digest != self.after.digest


def edit_policy(
    environ: Mapping[str, str], trust: Path | None, edit: Callable[[str, str], str], *, first: str = ""
) -> Edit:
    """Edit the policy named by --trust, else the user's own; `edit` takes its text and what to call it in errors.

    Where there is none, `first` is the text that `edit` gets, and the folder of configuration is made for it; without
    `first` that is a TrustPolicyError, as is a policy that may not be believed or is a signed root. UnavailableError
    where it cannot be written. The file is left as it was on every error.
    """
    path, shown = (trust, str(trust)) if trust is not None else _own_place(environ)
    if not first and not os.path.lexists(path):
        raise no_policy(shown)
    if trust is None:
        _make_folder(path.parent)
    target = Path(os.path.realpath(path))
    with _alone(target.parent):
        found = _read(path, shown, by_hand=trust is not None)
        before = TrustPolicy.parse(found.data, filename=shown) if found else None
        edited = edit(found.data.decode() if found else first, shown).encode()
        after = TrustPolicy.parse(edited, filename=shown)
        if found is None:
            write_whole(target, [edited])
        elif edited != found.data:
            write_whole(found.path, [edited], mode=found.path.stat().st_mode & 0o777)
    return Edit(shown, before, after)


def no_policy(where: str = "") -> TrustPolicyError:
    """The error where a policy is needed and there is none."""
    hint = "begin one with the key of somebody you trust: `mlenv trust add NAME --key FILE.pub`"
    return TrustPolicyError("there is no trust policy", where=where, hint=hint)


def _own_place(environ: Mapping[str, str]) -> tuple[Path, str]:
    place = policy_place(environ)
    if place is not None:
        return place
    folder = configuration_folder(environ)
    if folder is None:
        hint = "set XDG_CONFIG_HOME, or name a file with --trust"
        raise TrustPolicyError("there is no place for a trust policy: this user has no home folder", hint=hint)
    return folder / POLICY, str(folder / POLICY)


def _read(path: Path, shown: str, *, by_hand: bool) -> PolicyBytes | None:
    if not os.path.lexists(path):
        return None
    found = read_by_hand(path) if by_hand else read_guarded(path, shown=shown)
    if found.is_root:
        raise TrustPolicyError(
            "a signed root of trust cannot be edited: its signatures would no longer hold",
            where=shown,
            hint="its owner edits the trust.toml that it was made from (--trust FILE), and signs a new root",
        )
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, folder) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock on the policy's folder: of two edits at once one waits, and then finds the other's text."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(error, folder) from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritable(error: OSError, folder: Path) -> UnavailableError:
    hint = "make the folder, or name a file in one that you can write to with --trust"
    return UnavailableError(f"cannot write a trust policy there: {error.strerror}", where=str(folder), hint=hint)
