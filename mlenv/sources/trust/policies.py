"""Whom the user trusts: keys named on the command line, a policy file named there, or the one in the user's folders.

A checkout must not bring along the policy that its own lock is judged by. So a policy that lies in the tree of the lock
is refused, unless the user names it with --trust; MLENV_TRUST is not enough for that, since a checkout can set it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlenv.errors import UsageError
from mlenv.sources.trust.folders import configuration_folder
from mlenv.sources.trust.key_files import read_key_file
from mlenv.sources.trust.policy_files import PolicyBytes, policy_in_folder, read_by_hand, read_guarded
from mlenv.sources.trust.trees import refuse_inside_tree
from mlenv.trust.keys import PublicKey
from mlenv.trust.policy import TrustPolicy


@dataclass(frozen=True, slots=True)
class Trust:
    """A policy and where it comes from.

    `source` is what its high-water marks are kept under: the resolved path of the file, or `keys:` and the sorted
    fingerprints. `shown` is what messages call it. `path` is the file, if there is one; `root` says that it is a
    signed root, which is replaced by a new root and never edited.
    """

    policy: TrustPolicy
    source: str
    shown: str
    path: Path | None = None
    root: bool = False


def find_trust(
    environ: Mapping[str, str],
    lock_path: Path,
    *,
    trust: Path | None = None,
    keys: Sequence[Path] = (),
    threshold: int | None = None,
    now: datetime | None = None,
) -> Trust | None:
    """Whom to trust about a lock; None where the user has no policy at all.

    `keys` and `threshold` are --key and --threshold, `trust` is --trust; without them MLENV_TRUST, then `trust.toml`
    or `trust.root.json` in the folder of configuration. TrustPolicyError for a policy that cannot be read or believed,
    SigningKeyError for a file that is no public key, UsageError for options that do not go together. By `now`, which
    is the clock's time unless given, a root has expired or not.
    """
    if keys:
        if trust is not None:
            raise UsageError("--key and --trust exclude one another", hint="give one of them")
        return _of_keys(keys, 1 if threshold is None else threshold)
    if threshold is not None:
        hint = "give --key too, or set the threshold in the trust policy"
        raise UsageError("--threshold counts the keys of --key, and there are none", hint=hint)
    if trust is not None:
        return read_trust(trust, now=now)
    place = policy_place(environ)
    if place is None:
        return None
    path, shown = place
    refuse_inside_tree(path, lock_path, shown=shown)
    return _of_file(read_guarded(path, shown=shown), now or datetime.now(UTC))


def policy_place(environ: Mapping[str, str]) -> tuple[Path, str] | None:
    """The policy file of this user and what messages call it, whether or not it is of use; None if there is none."""
    if named := environ.get("MLENV_TRUST"):
        return Path(named), f"{named} (from MLENV_TRUST)"
    folder = configuration_folder(environ)
    path = policy_in_folder(folder) if folder else None
    return None if path is None else (path, str(path))


def own_trust(environ: Mapping[str, str], *, now: datetime | None = None) -> Trust | None:
    """The policy of this user, whatever lock it may judge: `find_trust` without a tree. TrustPolicyError."""
    place = policy_place(environ)
    return None if place is None else _of_file(read_guarded(place[0], shown=place[1]), now or datetime.now(UTC))


def read_trust(path: Path, *, now: datetime | None = None) -> Trust:
    """The policy in a file that the user named: wherever it lies and whoever may write it. TrustPolicyError."""
    return _of_file(read_by_hand(path), now or datetime.now(UTC))


def read_public_key(path: Path) -> PublicKey:
    """The public key in a PEM file of at most 64 KiB. SigningKeyError."""
    text = read_key_file(str(path))
    return PublicKey.parse(text.data, where=text.where)


def _of_keys(paths: Sequence[Path], threshold: int) -> Trust:
    keys = list(dict.fromkeys(read_public_key(path) for path in paths))
    if threshold < 1:
        raise UsageError(f"--threshold {threshold} would accept what nobody signed", hint="give 1 or more")
    if threshold > len(keys):
        there = "1 key" if len(keys) == 1 else f"{len(keys)} different keys"
        hint = "name further keys with --key, or lower --threshold"
        raise UsageError(f"--threshold {threshold} can never be reached: --key names {there}", hint=hint)
    shown = " ".join(f"--key {path}" for path in paths) + (f" --threshold {threshold}" if threshold > 1 else "")
    source = "keys:" + ",".join(sorted(key.fingerprint.hex for key in keys))
    return Trust(TrustPolicy.of_keys(keys, threshold), source, shown)


def _of_file(found: PolicyBytes, now: datetime) -> Trust:
    if found.is_root:
        from mlenv.sources.trust.roots import load_root_policy  # noqa: PLC0415 -- tuf is slow to import

        policy = load_root_policy(found.data, now, found.shown)
    else:
        policy = TrustPolicy.parse(found.data, filename=found.shown)
    # A path need not be UTF-8, and the file of the marks is.
    source = str(found.path).encode(errors="surrogateescape").decode(errors="backslashreplace")
    return Trust(policy, source, found.shown, found.path, found.is_root)
