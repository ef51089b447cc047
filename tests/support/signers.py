"""Keys that tests sign with, always the same for a name, and locks and policies that name them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlenv.model.lock import Lock
from mlenv.trust.bundle import Bundle
from mlenv.trust.envelope import IN_TOTO, Envelope
from mlenv.trust.judge import NamedBundle
from mlenv.trust.keys import KeyType, PublicKey, Signer
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.statement import LockStatement, lock_subjects

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""The time at which tests judge; locks are signed a day before."""

# The order of the group of P-256 (SEC 2, section 2.4.2): private keys are 1 to one less.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class KeyOfTests:
    """A Signer."""

    public_key: PublicKey
    private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ec.ECDSA(SHA256()))


@cache
def signer(name: str, kind: KeyType = KeyType.ECDSA_P256) -> KeyOfTests:
    """The key of a name and kind."""
    seed = hashlib.sha256(f"{kind} {name}".encode()).digest()
    private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind is KeyType.ED25519:
        private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    else:
        private = ec.derive_private_key(int.from_bytes(seed) % (_ORDER - 1) + 1, ec.SECP256R1())
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return KeyOfTests(PublicKey.parse(pem), private)


def statement(lock: Lock, **changes: Any) -> LockStatement:
    """The approval of a lock, serial 1, a day old, for thirty days more; `changes` are fields of it."""
    fields: dict[str, Any] = {
        "subjects": lock_subjects(lock, lock.to_toml().encode()),
        "environment": lock.environment.name,
        "serial": 1,
        "issued_at": NOW - timedelta(days=1),
        "expires": NOW + timedelta(days=30),
    }
    return LockStatement(**(fields | changes))


def signed(
    payload: bytes, by: Signer, *, name: str = "mlenv.lock.sigstore.json", payload_type: str = IN_TOTO
) -> NamedBundle:
    """Any bytes in a bundle, signed."""
    bundle = Bundle(by.public_key.hint, Envelope.sign(payload_type, payload, by))
    return NamedBundle(name, bundle.to_bytes())


def signed_lock(lock: Lock, by: Signer, *, name: str = "mlenv.lock.sigstore.json", **changes: Any) -> NamedBundle:
    """The bundle of a lock as `Lock.to_toml` writes it; `changes` are fields of the statement."""
    return signed(statement(lock, **changes).to_bytes(), by, name=name)


def key_table(name: str, key: PublicKey, *lines: str) -> str:
    """`[keys.NAME]` of a trust.toml; `lines` follow in it."""
    return "\n".join([f"[keys.{name}]", f'public-key = """\n{key.pem}"""', *lines, "", ""])


def policy_text(
    approvers: Sequence[str] = ("alice",),
    *,
    threshold: int = 1,
    builders: Sequence[str] = (),
    environment: str = "*",
    keys: Mapping[str, Sequence[str]] | None = None,
    lines: Sequence[str] = (),
) -> str:
    """A trust.toml with one rule. `keys` are further lines of a key's table by its name, `lines` of the rule's."""
    named = dict.fromkeys([*approvers, *builders, *(keys or {})])
    tables = [key_table(name, signer(name).public_key, *(keys or {}).get(name, ())) for name in named]
    rule = [
        "[[environments]]",
        f'name = "{environment}"',
        f"approvers = {list(approvers)!r}",
        f"builders = {list(builders)!r}",
        f"threshold = {threshold}",
        *lines,
    ]
    return "".join(["version = 1\n\n", *tables, "\n".join(rule), "\n"])


def policy(*approvers: str, **changes: Any) -> TrustPolicy:
    """The policy of `policy_text`."""
    return TrustPolicy.parse(policy_text(approvers or ("alice",), **changes).encode())
