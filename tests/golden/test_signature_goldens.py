"""What every release signed is accepted for ever, and nothing but that."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.report import Status
from mlenv.trust.bundle import Bundle
from mlenv.trust.judge import judge_lock
from mlenv.trust.judge_provenance import judge_provenance
from mlenv.trust.judgement import NamedBundle
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.root import first_root
from mlenv.trust.statement import LockStatement

FOLDER = Path(__file__).parent / "signatures"
RELEASES = sorted(path.name for path in FOLDER.iterdir() if path.name[0].isdigit())


class Release:
    """The files of one release, and the time at which they are judged: an hour after they were signed."""

    def __init__(self, name: str) -> None:
        self.folder = FOLDER / name
        self.lock = (self.folder / "mlenv.lock").read_bytes()
        self.bundles = [NamedBundle(file.name, file.read_bytes()) for file in sorted(self.folder.glob("mlenv.lock.*"))]
        self.policy = TrustPolicy.parse((self.folder / "trust.toml").read_bytes())
        said = LockStatement.parse(Bundle.parse(self.bundles[0].data).envelope.payload)
        self.now: datetime = said.issued_at + timedelta(hours=1)


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    return Release(request.param)


def test_there_is_a_release() -> None:
    assert RELEASES


def test_the_lock_is_approved_by_both_signers(release: Release) -> None:
    judged = judge_lock(release.lock, release.bundles, release.policy, release.now)
    assert judged.approval, judged.findings
    assert {key.name for key in judged.approval.signers} == {"alice", "bob"}
    assert {key.public_key.type.value for key in judged.approval.signers} == {"ecdsa-p256", "ed25519"}


def test_one_of_two_is_not_enough(release: Release) -> None:
    for bundle in release.bundles:
        assert judge_lock(release.lock, [bundle], release.policy, release.now).approval is None


def test_no_bit_of_what_was_signed_may_change(release: Release) -> None:
    for place, bundle in enumerate(release.bundles):
        signed = Bundle.parse(bundle.data).envelope
        for position in range(0, len(bundle.data), 7):
            data = bytearray(bundle.data)
            data[position] ^= 1 << (position % 8)
            others = [*release.bundles[:place], NamedBundle(bundle.name, bytes(data)), *release.bundles[place + 1 :]]
            judged = judge_lock(release.lock, others, release.policy, release.now)
            if judged.approval is not None:  # white space, say: what was signed is as it was
                assert Bundle.parse(bytes(data)).envelope == signed


def test_the_provenance_is_a_builders(release: Release) -> None:
    bundle = NamedBundle("provenance", (release.folder / "provenance.sigstore.json").read_bytes())
    lock = Lock.parse(release.lock.decode())
    name, images = lock.environment.name, [lock.image_digest]
    findings = judge_provenance(bundle, release.policy, name, Digest.of(release.lock), images, release.now)
    assert {one.status for one in findings} == {Status.PASS}, findings


def test_the_root_of_trust_holds_the_policy(release: Release) -> None:
    root = first_root((release.folder / "trust.root.json").read_bytes(), release.now, where="trust.root.json")
    assert root.policy.digest == release.policy.digest
