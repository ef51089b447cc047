"""Which mirrors and which keyring a request goes by: the manifest's, the environment's, or this machine's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlenv.errors import SignatureError, UnavailableError
from mlenv.sources.debian.apt_sources import apt_mirrors
from mlenv.sources.debian.request import DebianRequest

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)


@dataclass(frozen=True, slots=True)
class Mirrors:
    """URLs without a slash at their end, and the bytes of the keyring. `security` is None where none is known."""

    main: str
    security: str | None
    keyring: bytes


def choose_mirrors(request: DebianRequest, environ: Mapping[str, str], apt_folder: Path) -> Mirrors:
    """Raises UnavailableError where no mirror is known, SignatureError where there is no keyring."""
    apt = apt_mirrors(apt_folder)
    named = request.mirror or environ.get("MLENV_DEBIAN_MIRROR")
    main = named or apt.main
    if main is None:
        raise UnavailableError(
            "no Debian mirror is known: this machine's apt sources name none",
            where="base.debian.mirror",
            hint="set mirror in [base.debian] of mlenv.toml, or MLENV_DEBIAN_MIRROR",
        )
    # Beside a mirror that was named, this machine's own could be behind or out of reach: it is not mixed in.
    own = _beside(named) if named else apt.security
    security = request.security_mirror or environ.get("MLENV_DEBIAN_SECURITY_MIRROR") or own
    keyring = _read_keyring(request.keyring or apt.keyring)
    return Mirrors(main.rstrip("/"), security.rstrip("/") if security else None, keyring)


def _beside(mirror: str) -> str:
    """Where mirrors keep security updates: `debian-security` beside `debian`; others may hold them themselves."""
    mirror = mirror.rstrip("/")
    return f"{mirror}-security" if mirror.endswith("/debian") else mirror


def _read_keyring(path: Path | None) -> bytes:
    candidates = KEYRINGS if path is None else (path,)
    for candidate in candidates:
        try:
            return candidate.read_bytes()
        except OSError:
            continue
    raise SignatureError(
        "there is no keyring to check the Debian archive's signature with",
        where=str(candidates[0]),
        hint="install the package debian-archive-keyring, or set keyring in [base.debian] of mlenv.toml",
    )
