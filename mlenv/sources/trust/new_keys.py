"""New keys, and the two files that they are written to."""

from pathlib import Path

from mlenv.errors import UsageError
from mlenv.sources.trust.private_keys import forbid_core_files
from mlenv.sources.whole_file import write_whole
from mlenv.trust.keys import KeyType, PublicKey


def generate_key(kind: KeyType, passphrase: str) -> tuple[bytes, PublicKey]:
    """A new private key as encrypted PKCS#8 in PEM (RFC 5958 section 3, RFC 7468 section 11), and its public key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 -- as above
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        PublicFormat,
    )

    if not passphrase:
        raise UsageError("an empty passphrase", hint="choose one that is long enough to keep the key from finders")
    forbid_core_files()
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind is KeyType.ECDSA_P256:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    encryption = BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), PublicKey.parse(public)


def public_path(path: Path) -> Path:
    """Where the public key of a private key file lies."""
    return path.with_name(path.name + ".pub")


def require_new(path: Path) -> None:
    """UsageError where a key pair would take the place of something. A lost key cannot be made again."""
    for one in (path, public_path(path)):
        if one.is_symlink() or one.exists():
            raise UsageError("there is a file already", where=str(one), hint="choose another name with --output")


def write_key_pair(path: Path, private: bytes, public: PublicKey) -> None:
    """Write FILE (mode 0600) and FILE.pub; neither replaces a file. UsageError, UnavailableError."""
    require_new(path)
    write_whole(path, [private], mode=0o600)
    write_whole(public_path(path), [public.pem.encode()])
