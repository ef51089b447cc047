"""The provenance of an image that was compared with a lock: whether a trusted builder says that it built just this."""

from collections.abc import Callable, Sequence
from datetime import datetime

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.report import Finding, Status
from mlenv.trust.judge_provenance import judge_provenance
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.policy import TrustPolicy


def with_provenance(
    look: Callable[[Lock], list[Finding]], bundle: NamedBundle, data: bytes, policy: TrustPolicy, now: datetime
) -> Callable[[Lock], list[Finding]]:
    """A look at an image, and then at what its provenance says of what was found."""

    def look_and_judge(lock: Lock) -> list[Finding]:
        looked = look(lock)
        return [*looked, *check_provenance(bundle, lock, data, looked, policy, now)]

    return look_and_judge


def check_provenance(
    bundle: NamedBundle, lock: Lock, data: bytes, looked: Sequence[Finding], policy: TrustPolicy, now: datetime
) -> list[Finding]:
    """Judge the provenance of those images of the lock that `looked`, the findings of `check_image`, found as locked.

    `data` are the lock's raw bytes, `now` is in UTC. Where no image was as locked, provenance is unverifiable.
    """
    images = _as_locked(lock, looked)
    return judge_provenance(bundle, policy, lock.environment.name, Digest.of(data), images, now)


def _as_locked(lock: Lock, looked: Sequence[Finding]) -> list[Digest]:
    """The manifests of the platforms that were there; an engine that keeps no manifest shows the config instead."""
    passed = {(one.check, one.expected) for one in looked if one.status is Status.PASS}
    return [
        one.image.manifest
        for one in lock.platforms
        if ("image.manifest", str(one.image.manifest)) in passed or ("image.config", str(one.image.config)) in passed
    ]
