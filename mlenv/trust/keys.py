"""Public keys: ECDSA P-256 with SHA-256, and Ed25519. A key is its SubjectPublicKeyInfo; it has no other identity.

The normative text is schema/signature.md.
"""

from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, Self

from mlenv.errors import SigningKeyError
from mlenv.model.digest import Digest
from mlenv.trust.pem import public_key_der

_USABLE: Final = "use an ECDSA P-256 or an Ed25519 key"


class KeyType(StrEnum):
    """The signature schemes that mlenv makes and checks, under the names of its command line."""

    ECDSA_P256 = "ecdsa-p256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures. `spki` is its DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).

    `spki` is in one form, however the key was written: P-256 as a named curve with an uncompressed point (RFC 5480
    section 2), Ed25519 as RFC 8410 section 4 has it. `parse` is the way to make one.
    """

    type: KeyType
    spki: bytes

    @classmethod
    def parse(cls, data: bytes, *, where: str = "") -> Self:
        """Read a PEM public key (RFC 7468 section 13). Raises SigningKeyError for anything else.

        Refused as well: text around the key and a second key, because readers differ in what they take; and Ed25519
        keys outside the prime-order group, for some of which anybody can sign.
        """
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 -- slow to import
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 -- as above
            Encoding,
            PublicFormat,
            load_der_public_key,
        )

        der = public_key_der(data, where)
        try:
            key = load_der_public_key(der)
        except (ValueError, UnsupportedAlgorithm):
            raise SigningKeyError("a public key that cannot be read", where=where, hint=_USABLE) from None
        kind = _kind(key, where)
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if len(der) == len(spki) and der != spki:  # OpenSSL reads hybrid points; RFC 5480 section 2.2 forbids them
            raise SigningKeyError("a public key in a form that no key may have", where=where, hint="get the key again")
        if kind is KeyType.ED25519 and not _is_of_prime_order(spki[-32:]):
            raise SigningKeyError(
                "an Ed25519 key that is not safe: others could sign in its name", where=where, hint="make a new key"
            )
        return cls(kind, spki)

    @property
    def fingerprint(self) -> Digest:
        """The sha256 of the SubjectPublicKeyInfo: the one thing by which keys are told apart and counted."""
        return Digest.of(self.spki)

    @property
    def hint(self) -> str:
        """The fingerprint as Sigstore bundles have it: standard base64 of the 32 bytes."""
        return b64encode(bytes.fromhex(self.fingerprint.hex)).decode()

    @property
    def pem(self) -> str:
        """The key as PEM, with a newline at its end."""
        text = b64encode(self.spki).decode()
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether it is this key's signature of the data: DER for ECDSA (RFC 3279), 64 bytes for Ed25519 (RFC 8032)."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 -- slow to import
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 -- as above
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 -- as above
        from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415 -- as above

        key = load_der_public_key(self.spki)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, data)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, data, ec.ECDSA(SHA256()))
            else:
                return False
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """Whatever can sign: a key in memory, or a program that has it."""

    @property
    def public_key(self) -> PublicKey:
        """The key that its signatures are checked with."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature of the data, in the form that `PublicKey.verifies` takes."""
        ...


def _kind(key: Any, where: str) -> KeyType:
    """The type of a key that `cryptography` read; SigningKeyError for what mlenv does not use."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 -- slow to import

    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyType.ED25519
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1):
            return KeyType.ECDSA_P256
        kind = f"a key on the curve {key.curve.name}"
    else:
        kind = "an RSA key" if isinstance(key, rsa.RSAPublicKey) else "a kind of key"
    raise SigningKeyError(f"{kind}, which mlenv does not use", where=where, hint=_USABLE)


def _is_of_prime_order(point: bytes) -> bool:
    """Whether an Ed25519 key is canonical and in the group that RFC 8032 section 5.1.5 makes every key in."""
    from nacl.bindings import crypto_core_ed25519_is_valid_point  # noqa: PLC0415 -- slow to import

    return bool(crypto_core_ed25519_is_valid_point(point))
