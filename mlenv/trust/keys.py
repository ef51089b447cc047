"""Public keys: ECDSA P-256 with SHA-256, and Ed25519. A key is its SubjectPublicKeyInfo; it has no other identity."""

from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from mlenv.errors import SigningKeyError
from mlenv.model.digest import Digest


class KeyType(StrEnum):
    """The signature schemes that mlenv makes and checks, under the names of its command line."""

    ECDSA_P256 = "ecdsa-p256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures. `spki` is its DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""

    type: KeyType
    spki: bytes

    @classmethod
    def parse(cls, data: bytes, *, where: str = "") -> Self:
        """Read a PEM public key (RFC 7468 section 13). Raises SigningKeyError for anything else."""
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 -- slow to import
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 -- as above
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 -- as above
            Encoding,
            PublicFormat,
            load_pem_public_key,
        )

        if b"PRIVATE KEY" in data:
            raise SigningKeyError("a private key, where a public one is needed", where=where, hint="name the .pub file")
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            raise SigningKeyError(
                "not a public key", where=where, hint="name a PEM file that begins with -----BEGIN PUBLIC KEY-----"
            ) from None
        if isinstance(key, ed25519.Ed25519PublicKey):
            kind = KeyType.ED25519
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            kind = KeyType.ECDSA_P256
        else:
            raise SigningKeyError(
                "a kind of key that mlenv does not use", where=where, hint="use an ECDSA P-256 or an Ed25519 key"
            )
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if b64encode(spki) not in b"".join(data.split()):  # OpenSSL also reads the hybrid points that RFC 5480 forbids
            raise SigningKeyError(
                "a public key in an unusual form",
                where=where,
                hint="write it anew: openssl pkey -pubin -in FILE -pubout -ec_conv_form uncompressed",
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
