"""The stages as functions with this process's surroundings: what `import mlenv` offers.

Each imports its stage when it is called, so that `import mlenv` and `mlenv --help` stay quick.
"""
# ruff: noqa: PLC0415 -- as the docstring says

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlenv.model.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from mlenv.build.build import Image
    from mlenv.model.lock import Lock
    from mlenv.model.manifest import EnvironmentManifest
    from mlenv.model.platform import Platform
    from mlenv.model.report import Report
    from mlenv.sources.trust.private_keys import FileKey
    from mlenv.trust.bundle import Bundle
    from mlenv.trust.judgement import Mark
    from mlenv.trust.keys import Signer
    from mlenv.trust.policy import TrustPolicy


def load(path: str | Path = "mlenv.toml") -> EnvironmentManifest:
    """Read an environment manifest. Raises ManifestError with everything that is wrong with it."""
    from mlenv.sources.manifest_file import load_manifest

    return load_manifest(Path(path))


def load_lock(path: str | Path = "mlenv.lock") -> Lock:
    """Read a lock. Raises StaleLockError where there is none, LockFormatError where it cannot be read."""
    from mlenv.sources.lock_file import load_lock as read

    return read(Path(path))


def lock(
    manifest: EnvironmentManifest,
    *,
    project: str | Path = ".",
    previous: Lock | None = None,
    upgrade: bool | Collection[str] = False,
    offline: bool = False,
    progress: Progress = SILENT,
) -> Lock:
    """Resolve a manifest to a lock that names the finished image's digest.

    `project` is the folder that relative paths in the manifest start from. The pins and the layer plan of `previous`
    are kept, all but those of the packages in `upgrade`, or none where it is true. `lock.to_toml()` is the text of
    mlenv.lock. Raises ResolutionError, UnavailableError, RefusedError, SignatureError.
    """
    from mlenv.resolve.lock import resolve_lock
    from mlenv.sources.surroundings import Surroundings

    around = Surroundings.of_this_process(Path(project), progress=progress, offline=offline)
    return resolve_lock(manifest, around, previous, upgrade=upgrade)


def build(
    lock: Lock,
    *,
    output: str,
    manifest: EnvironmentManifest | None = None,
    project: str | Path = ".",
    platforms: Sequence[Platform] = (),
    offline: bool = False,
    progress: Progress = SILENT,
) -> Image:
    """Build the locked image to `oci:DIR[:TAG]`, `oci-archive:FILE`, `docker-archive:FILE` or `docker-daemon:NAME:TAG`.

    A lock names no place to download from: `manifest` says which indexes and archives to ask besides this machine's
    own. `project` is where the locked file trees lie. Raises DigestMismatchError where anything comes out other than
    locked, StaleLockError where a file tree has changed, UnavailableError, UsageError.
    """
    from mlenv.build.build import build_image
    from mlenv.oci.reference import Output
    from mlenv.sources.surroundings import Surroundings

    around = Surroundings.of_this_process(Path(project), progress=progress, offline=offline)
    return build_image(lock, Output.parse(output), around, manifest=manifest, platforms=platforms)


def load_key(path: str | Path, password: str | None = None) -> FileKey:
    """Read a private key that can sign: PEM, encrypted or not, or cosign's form. Raises SigningKeyError."""
    from mlenv.sources.trust.private_keys import load_key as read

    return read(str(path), {"MLENV_KEY_PASSWORD": password} if password is not None else {}, None)


def load_trust(path: str | Path) -> TrustPolicy:
    """Read a trust policy: trust.toml, or a root of trust that holds one. Raises TrustPolicyError."""
    from mlenv.sources.trust.policies import find_trust

    found = find_trust({}, Path("mlenv.lock"), trust=Path(path))
    assert found is not None  # noqa: S101 -- for the type checker: a file that is named is there, or it raises
    return found.policy


def sign(
    lock: Lock | bytes,
    *,
    key: Signer,
    serial: int,
    expires: timedelta | None = None,
    policy: TrustPolicy | None = None,
) -> Bundle:
    """Approve a lock: a Sigstore bundle that binds its bytes and its images' digests. Writes nothing.

    `lock` is a lock, or the raw bytes of mlenv.lock. `serial` grows with every approval of an environment. It holds for
    `expires` from now, a year where left out. `bundle.to_bytes()` is what lies beside mlenv.lock as
    mlenv.lock.sigstore.json. Several signers sign one statement: the others call `Bundle.sign` on the first one's
    `bundle.envelope.payload`, after they read it. Raises SigningKeyError, LockFormatError.
    """
    from datetime import UTC, datetime

    from mlenv.signing.sign import new_statement
    from mlenv.trust.bundle import Bundle

    data, parsed = _lock_bytes(lock)
    statement = new_statement(
        parsed, data, now=datetime.now(UTC), serial=serial, expires=expires, policy=policy.digest if policy else None
    )
    return Bundle.sign(statement.to_bytes(), key)


def verify(
    lock: Lock | bytes,
    target: str = "lock",
    *,
    trust: TrustPolicy,
    bundles: Sequence[bytes],
    marks: Mapping[str, Mark] | None = None,
    now: datetime | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Say with evidence whether a lock is approved, and whether a target is what it says.

    `bundles` are the signatures, as bytes; `target` is `lock` for those alone, or an image: `oci:DIR[:TAG]`,
    `oci-archive:FILE[:TAG]`, `docker-daemon:NAME:TAG`. Nothing is kept: `marks` are the highest serials that the
    caller has seen, by environment, without which the replay of an older approval goes unnoticed. `now` is the time
    to judge by. What does not hold is in the report; `report.raise_for_drift()` turns it into an error. Raises
    UsageError, UnavailableError.
    """
    from datetime import UTC, datetime

    from mlenv.trust.judge import judge_lock
    from mlenv.trust.judgement import NamedBundle
    from mlenv.verify.target import looking_at
    from mlenv.verify.verify import report_on

    data = lock if isinstance(lock, bytes) else lock.to_toml().encode()
    look = None if target == "lock" else looking_at(target, progress)
    named = [NamedBundle(f"bundle {number}", one) for number, one in enumerate(bundles, 1)]
    judgement = judge_lock(data, named, trust, now or datetime.now(UTC), marks=marks or {})
    return report_on(data, judgement, target=target, policy=str(trust.digest), look=look)


def _lock_bytes(lock: Lock | bytes) -> tuple[bytes, Lock]:
    from mlenv.sources.lock_file import parse_lock

    if isinstance(lock, bytes):
        return lock, parse_lock(lock, Path("mlenv.lock"))
    return lock.to_toml().encode(), lock
