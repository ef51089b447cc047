"""The bundles beside a lock: `mlenv.lock.sigstore.json`, and `mlenv.lock.NAME.sigstore.json` of further signers."""

import re
from pathlib import Path
from typing import Final

from mlenv.errors import SignatureError, UsageError
from mlenv.sources.regular_file import open_regular
from mlenv.sources.whole_file import write_whole
from mlenv.trust.bundle import LIMIT, Bundle
from mlenv.trust.judge_findings import MOST_BUNDLES
from mlenv.trust.judgement import NamedBundle

_SUFFIX: Final = ".sigstore.json"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def bundle_path(lock_path: Path, name: str = "") -> Path:
    """Where the bundle of a signer of that name lies; "" is the first signer. UsageError where it is no name."""
    if name and not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!a} cannot be part of a file's name",
            hint="give 1 to 64 of the characters A-Z a-z 0-9 . _ - that begin with a letter or a digit",
        )
    return lock_path.with_name(f"{lock_path.name}.{name}{_SUFFIX}" if name else f"{lock_path.name}{_SUFFIX}")


def read_bundles(lock_path: Path) -> list[NamedBundle]:
    """Every bundle beside a lock, in the order of their file names.

    Links are followed, for a bundle is believed for its signature and not for where it lies. SignatureError, which
    names the file, for one that cannot be read or is no regular file, is larger than 4 MiB, or where there are more
    than 64: whoever put it there meant it to count.
    """
    folder = lock_path.parent
    try:
        names = sorted(path.name for path in folder.iterdir() if is_bundle_of(lock_path.name, path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _refused(f"cannot be read: {error.strerror}", folder, "make the folder readable for you") from None
    if len(names) > MOST_BUNDLES:
        raise _refused(
            f"holds {len(names)} bundles of {lock_path.name}; {MOST_BUNDLES} is the limit", folder, "remove some"
        )
    hint = "make it readable for you, or remove it if it shall not count"
    return [NamedBundle(name, _read(folder / name, hint)) for name in names]


def read_bundle(path: Path) -> NamedBundle:
    """A bundle that lies anywhere, under the name that the user gave it; SignatureError as `read_bundles`."""
    return NamedBundle(str(path), _read(path, "name a file that `mlenv build --provenance FILE` wrote"))


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a bundle, whole or not at all; UnavailableError."""
    write_whole(path, [bundle.to_bytes()])


def is_bundle_of(lock: str, name: str) -> bool:
    """Whether a file of that name is read as a bundle of the lock of the other name, if it lies beside it."""
    if not (name.startswith(f"{lock}.") and name.endswith(_SUFFIX)):
        return False
    signer = name[len(lock) : -len(_SUFFIX)].removeprefix(".")
    return name == f"{lock}{_SUFFIX}" or _NAME.fullmatch(signer) is not None


def _read(path: Path, hint: str) -> bytes:
    try:
        with open_regular(path, follow=True) as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise _refused(f"cannot be read: {error.strerror}", path, hint) from None
    if len(data) > LIMIT:
        raise _refused("larger than 4 MiB", path, "it is no bundle: remove or rename it")
    return data


def _refused(message: str, path: Path, hint: str) -> SignatureError:
    return SignatureError(message, where=str(path), hint=hint)
