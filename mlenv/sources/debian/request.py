"""What is asked of a Debian archive, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mlenv.model.digest import Digest
from mlenv.model.platform import Platform


@dataclass(frozen=True, slots=True)
class DebianRequest:
    """Which packages, of which suite, for which platform.

    `mirror` is the URL of a Debian archive (`http`, `https` or `file`; the folder that holds `dists/` and `pool/`) and
    `security_mirror` that of the archive with `SUITE-security`; None takes the environment's, then this machine's
    apt sources. `snapshot` is the time, with its zone, at which the indexes must be valid, in place of now. `keyring`
    is a file of OpenPGP certificates. `pins` are versions by package name, kept while the archive has them.
    """

    suite: str
    packages: tuple[str, ...]
    platform: Platform
    mirror: str | None = None
    security_mirror: str | None = None
    snapshot: datetime | None = None
    keyring: Path | None = None
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResolvedDeb:
    """A Debian package, and where it lies today. `architecture` is the platform's or `all`; `size` is in bytes."""

    name: str
    version: str
    architecture: str
    sha256: Digest
    size: int
    url: str
