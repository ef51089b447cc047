"""The PEM of private keys: which forms are read, and what is said of those that are not."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlenv.errors import SigningKeyError
from mlenv.sources.trust.key_files import KeyText

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey

PASSWORD_VARIABLE = "MLENV_KEY_PASSWORD"  # noqa: S105 -- the name of a variable
_PLAIN = ("PRIVATE KEY", "EC PRIVATE KEY")
_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----.*?-----END \1-----", re.DOTALL)
_MAKE_ONE = "make one with `mlenv keys generate`"


def open_private_key(text: KeyText, password: str | None, ask: Callable[[str], str] | None) -> "PrivateKey":
    """The key in a PEM text: PKCS#8, SEC1 or cosign's, encrypted or not. SigningKeyError.

    `password` is the value of MLENV_KEY_PASSWORD; without one `ask` is called, and only where the key is encrypted.
    """
    label, block = _private_block(text)
    if not (label.startswith("ENCRYPTED ") or b"Proc-Type: 4,ENCRYPTED" in block):
        return _checked(_load(block, None, text.where), text.where)
    return _checked(_load(block, _passphrase(text.where, password, ask), text.where), text.where)


def _private_block(text: KeyText) -> tuple[str, bytes]:
    blocks = [(match[1].decode(), match[0]) for match in _BLOCK.finditer(text.data)]
    private = [(label, block) for label, block in blocks if label.endswith("PRIVATE KEY")]
    if len(private) == 1:
        label, block = private[0]
        if label in {*_PLAIN, *_COSIGN, "ENCRYPTED PRIVATE KEY"}:
            return label, block
    raise SigningKeyError("not a private key", where=text.where, hint=_MAKE_ONE)


def _passphrase(where: str, password: str | None, ask: Callable[[str], str] | None) -> bytes:
    if password is None and ask is None:
        raise SigningKeyError("a passphrase is needed", where=where, hint=f"set {PASSWORD_VARIABLE}")
    if password is None and ask is not None:
        password = ask(f"Passphrase of {where}")
    return (password or "").encode()


def _load(block: bytes, passphrase: bytes | None, where: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 -- slow to import

    try:
        return load_pem_private_key(block + b"\n", passphrase)
    except (ValueError, TypeError):
        raise SigningKeyError("not a private key, or not its passphrase", where=where, hint=_MAKE_ONE) from None


def _checked(key: Any, where: str) -> "PrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 -- slow to import

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise SigningKeyError(
        "a kind of key that mlenv does not use", where=where, hint="use an ECDSA P-256 or an Ed25519 key"
    )
