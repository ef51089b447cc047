"""New keys, and the two files that they are written to."""

import os
from pathlib import Path

from mlenv.errors import UsageError
from mlenv.sources.trust.encrypted_pkcs8 import encrypt_pkcs8
from mlenv.sources.trust.key_files import forbid_core_files
from mlenv.sources.whole_file import write_whole
from mlenv.trust.keys import KeyType, PublicKey


def generate_key(kind: KeyType, passphrase: str) -> tuple[bytes, PublicKey]:
    """A new private key as encrypted PKCS#8 in PEM, and its public key. UsageError for an empty passphrase."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 -- as above
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    if not passphrase:
        raise UsageError("the passphrase is empty", hint="set MLENV_KEY_PASSWORD to one, or unset it to be asked")
    forbid_core_files()
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind is KeyType.ECDSA_P256:
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encrypt_pkcs8(private, os.fsencode(passphrase)), PublicKey.parse(public)


def public_path(path: Path) -> Path:
    """Where the public key of a private key file lies: FILE.pub."""
    return path.with_name(path.name + ".pub")


def require_new(path: Path) -> None:
    """UsageError where one of the two files would take the place of something, or where there is no folder for them.

    A lost key cannot be made again, and nobody is asked for a passphrase in vain.
    """
    if not path.parent.is_dir():
        raise UsageError("there is no such folder", where=str(path.parent), hint="make it, or choose another --output")
    for one in (path, public_path(path)):
        if one.is_symlink() or one.exists():
            raise _exists(one)


def write_key_pair(path: Path, private: bytes, public: PublicKey) -> None:
    """Write FILE, which its owner alone can read from its first byte on, and FILE.pub: both or none.

    Neither takes the place of another file, even of one that appears meanwhile. UsageError, UnavailableError.
    """
    _write_new(path, private, 0o600)
    try:
        _write_new(public_path(path), public.pem.encode(), 0o644)
    except BaseException:  # Ctrl-C too: a private key that nobody has the public one of is of no use
        path.unlink()
        raise


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        write_whole(path, [data], mode=mode, replace=False)
    except FileExistsError:
        raise _exists(path) from None


def _exists(path: Path) -> UsageError:
    return UsageError(
        "there is such a file already, and a key is never overwritten",
        where=str(path),
        hint="choose another name with --output, or move that file away",
    )
