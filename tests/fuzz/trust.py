"""Coverage-guided fuzzing of everything in mlenv that reads what a stranger wrote about trust.

    python tests/fuzz/trust.py TARGET [FOLDER…] [libFuzzer's options]

TARGET is a name of `TARGETS`; the corpus of each lies in tests/fuzz/corpus/TARGET. A target may raise what its reader
is documented to raise, and nothing else; the `judge_…` targets also hold that nothing is approved but what was signed.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["mlenv"]):
    from support.locks import lock as small_lock
    from support.mutators import mutate_json, mutate_lines
    from support.roots import next_root
    from support.signers import NOW, policy_text, signed_lock, signer

    from mlenv.errors import LockFormatError, MlenvError, SigningKeyError, TrustPolicyError
    from mlenv.model.digest import Digest
    from mlenv.model.lock import Lock
    from mlenv.sources.trust.key_files import KeyText
    from mlenv.sources.trust.key_pem import open_private_key
    from mlenv.trust.bundle import Bundle
    from mlenv.trust.envelope import IN_TOTO, Envelope
    from mlenv.trust.judge import judge_lock
    from mlenv.trust.judge_provenance import judge_provenance
    from mlenv.trust.judgement import NamedBundle
    from mlenv.trust.keys import PublicKey
    from mlenv.trust.policy import TrustPolicy
    from mlenv.trust.root import first_root
    from mlenv.trust.slsa import Provenance
    from mlenv.trust.statement import LockStatement

LOCK = small_lock()
LOCK_BYTES = LOCK.to_toml().encode()
POLICY_BYTES = policy_text(["alice"], builders=["builder"]).encode()
POLICY = TrustPolicy.parse(POLICY_BYTES)
SIGNED = signed_lock(LOCK, signer("alice"))
PAYLOAD = Bundle.parse(SIGNED.data).envelope.payload


def bundle(data: bytes) -> None:
    """A bundle, and what its payload says."""
    with contextlib.suppress(ValueError):
        payload = Bundle.parse(data).envelope.payload
        for kind in (LockStatement, Provenance):
            with contextlib.suppress(ValueError):
                kind.parse(payload)


def statement(data: bytes) -> None:
    """A statement that is read is one that can be written, and says the same."""
    with contextlib.suppress(ValueError):
        said = LockStatement.parse(data)
        assert LockStatement.parse(said.to_bytes()) == said


def provenance(data: bytes) -> None:
    """The same for the provenance of a build."""
    with contextlib.suppress(ValueError):
        said = Provenance.parse(data)
        assert Provenance.parse(said.to_bytes()) == said


def lock(data: bytes) -> None:
    """A lock that is read is one that can be written, and says the same."""
    with contextlib.suppress(LockFormatError, UnicodeDecodeError):
        read = Lock.parse(data.decode())
        assert Lock.parse(read.to_toml()) == read


def policy(data: bytes) -> None:
    """A trust policy."""
    with contextlib.suppress(TrustPolicyError):
        read = TrustPolicy.parse(data)
        for rule in read.environments:
            read.rule(rule.name)


def root(data: bytes) -> None:
    """A root of trust, alone and as the successor of itself."""
    with contextlib.suppress(TrustPolicyError):
        first_root(data, NOW, where="root")
    with contextlib.suppress(TrustPolicyError):
        next_root(data, data, NOW, where="root")


def public_key(data: bytes) -> None:
    """A public key that is read has one identity, however it was written."""
    with contextlib.suppress(SigningKeyError):
        key = PublicKey.parse(data)
        assert PublicKey.parse(key.pem.encode()) == key
        assert not key.verifies(data[:80], b"data")


def private_key(data: bytes) -> None:
    """A private key; its passphrase is a guess."""
    with contextlib.suppress(SigningKeyError):
        open_private_key(KeyText(data, "key"), "guess", None)


def judge_bundle(data: bytes) -> None:
    """Beside a good lock: only what alice signed approves it."""
    judged = judge_lock(LOCK_BYTES, [NamedBundle("bundle", data)], POLICY, NOW)
    assert judged.findings
    if judged.approval is not None:
        assert Bundle.parse(data).envelope.payload == PAYLOAD


def judge_signed(data: bytes) -> None:
    """Whatever alice signs, if it is not the statement about this lock, approves nothing."""
    envelope = Envelope.sign(IN_TOTO, data, signer("alice"))
    signed = NamedBundle("bundle", Bundle(signer("alice").public_key.hint, envelope).to_bytes())
    judged = judge_lock(LOCK_BYTES, [signed], POLICY, NOW)
    if judged.approval is not None:
        said = LockStatement.parse(data)
        assert said.environment == LOCK.environment.name
        assert Digest.of(LOCK_BYTES) in {one.digest for one in said.subjects}
    images = [LOCK.image_digest]
    judge_provenance(signed, POLICY, LOCK.environment.name, Digest.of(LOCK_BYTES), images, NOW)


def judge_edited(data: bytes) -> None:
    """Beside a good bundle: only the lock that was signed is approved."""
    judged = judge_lock(data, [SIGNED], POLICY, NOW)
    assert (judged.approval is not None) == (data == LOCK_BYTES)


def judge_policy(data: bytes) -> None:
    """By any policy: what approves names alice's key."""
    with contextlib.suppress(TrustPolicyError):
        judged = judge_lock(LOCK_BYTES, [SIGNED], TrustPolicy.parse(data), NOW)
        if judged.approval is not None:
            assert [key.public_key for key in judged.approval.signers] == [signer("alice").public_key]


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        bundle,
        statement,
        provenance,
        lock,
        policy,
        root,
        public_key,
        private_key,
        judge_bundle,
        judge_signed,
        judge_edited,
        judge_policy,
    )
}

JSON = (bundle, statement, provenance, root, judge_bundle, judge_signed)
TOML = (lock, policy, judge_edited, judge_policy)


def main() -> None:
    """Fuzz one target until libFuzzer's options say stop."""
    warnings.simplefilter("ignore")  # what a library thinks of odd bytes is not what is looked for
    target = TARGETS[sys.argv[1]]

    def run(data: bytes) -> None:
        try:
            target(data)
        except MlenvError as error:
            raise AssertionError(f"{sys.argv[1]} is not documented to raise {type(error).__name__}") from error

    mutator = mutate_json if target in JSON else mutate_lines if target in TOML else None
    arguments = [sys.argv[0], *sys.argv[2:]]
    atheris.Setup(arguments, run, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
