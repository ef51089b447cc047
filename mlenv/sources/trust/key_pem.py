"""The text of private keys: which forms are read, and what is said of those that are not.

Read are PKCS#8, plain and encrypted (RFC 7468 sections 10 and 11), SEC1 (RFC 5915), also in OpenSSL's old encrypted
form, and cosign's encrypted keys. Other PEM blocks around the key, such as EC PARAMETERS, are passed over.
"""

import os
import re
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mlenv.errors import SigningKeyError
from mlenv.sources.trust.cosign_key import WrongPassphraseError, open_cosign_key
from mlenv.sources.trust.key_files import KeyText

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Ask = Callable[[str], str]
"""Asks for a passphrase on a terminal that does not show the answer, given the text of the question."""

_COSIGN: Final = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_READ: Final = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", *_COSIGN)
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----\s(.*?)-----END \1-----", re.DOTALL)
_NEW_KEY: Final = "make a key with `mlenv keys generate`"
_KINDS: Final = "mlenv signs with ECDSA P-256 or Ed25519"
_OTHERS: Final = {
    "PUBLIC KEY": ("a public key, where a private one is needed", "name the file of the private key"),
    "CERTIFICATE": ("a certificate, where a private key is needed", "name the file of its private key"),
    "RSA PRIVATE KEY": (f"an RSA key; {_KINDS}", _NEW_KEY),
    "OPENSSH PRIVATE KEY": ("an OpenSSH key; mlenv reads PKCS#8, SEC1 and cosign keys", _NEW_KEY),
}


def open_private_key(
    text: KeyText, password: str | None, ask: Ask | None
) -> "EllipticCurvePrivateKey | Ed25519PrivateKey":
    """The key in a PEM text. SigningKeyError for every other text, and for every other kind of key.

    `password` is the value of MLENV_KEY_PASSWORD. Without one, `ask` is called, and only where the key is encrypted.
    """
    label, body = _private_block(text)
    if label in _COSIGN:
        passphrase = _passphrase(text.where, password, ask, empty=True)
        return _usable(_open_cosign(_decoded(body, text.where), passphrase, text.where), text.where)
    if label == "ENCRYPTED PRIVATE KEY" or body.startswith(b"Proc-Type: 4,ENCRYPTED"):
        return _usable(_load(label, body, _passphrase(text.where, password, ask), text.where), text.where)
    return _usable(_load(label, body, None, text.where), text.where)


def _private_block(text: KeyText) -> tuple[str, bytes]:
    """Label and body of the one private key in the text."""
    data = text.data.replace(b"\r\n", b"\n")
    blocks = [(match[1].decode(), match[2]) for match in _BLOCK.finditer(data)]
    private = [block for block in blocks if block[0].endswith("PRIVATE KEY")]
    if len(private) > 1:
        raise SigningKeyError(f"{len(private)} private keys", where=text.where, hint="leave one of them in it")
    if private and private[0][0] in _READ:
        return private[0]
    if blocks:
        label = (private or blocks)[0][0]
        message, hint = _OTHERS.get(label, (f"not a private key that mlenv reads, but PEM of: {label}", _NEW_KEY))
    elif b"-----BEGIN " not in text.data:
        message, hint = "not a key in PEM, which begins with -----BEGIN", _NEW_KEY
        if text.data[:1] == b"\x30":
            hint = "if it is a key in DER, `openssl pkey -inform DER -in FILE -out NEW` makes PEM of it"
    elif b"\\n" in text.data:
        message, hint = "PEM whose line breaks are written as \\n", "write real line breaks"
    else:
        message, hint = "PEM that is cut off or damaged", "restore the key from a copy, line breaks included"
    raise SigningKeyError(message, where=text.where, hint=hint)


def _passphrase(where: str, password: str | None, ask: Ask | None, *, empty: bool = False) -> bytes:
    """The passphrase; `empty` ones are those of cosign, which encrypts with them where it is told nothing."""
    if password is None and ask is None:
        hint = "set MLENV_KEY_PASSWORD, or run this in a terminal and be asked"
        raise SigningKeyError("the key is encrypted, and there is no passphrase", where=where, hint=hint)
    if password is None and ask is not None:
        password = ask(f"Passphrase of {where}")
    if not password and not empty:
        raise _wrong_passphrase(where, b"")
    return os.fsencode(password or "")


def _open_cosign(body: bytes, passphrase: bytes, where: str) -> Any:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.serialization import load_der_private_key  # noqa: PLC0415 -- as above

    try:
        return load_der_private_key(open_cosign_key(body, passphrase), None)
    except WrongPassphraseError:
        raise _wrong_passphrase(where, passphrase) from None
    except (ValueError, TypeError, InternalError, UnsupportedAlgorithm):
        raise _damaged(where) from None


def _load(label: str, body: bytes, passphrase: bytes | None, where: str) -> Any:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 -- as above

    content = _decoded(body, where)
    pem = b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), body, label.encode())
    try:
        return load_pem_private_key(pem, passphrase)
    except UnsupportedAlgorithm:
        raise _unsupported(where, encrypted=passphrase is not None) from None
    except (ValueError, TypeError, InternalError) as error:  # the last: an X448 key of another length
        if passphrase is not None and str(error).startswith("Unknown"):  # its one word on a cipher that it lacks
            raise _unsupported(where, encrypted=True) from None
        # The outermost length tells the two apart where it can; a cipher without a check cannot know.
        if passphrase is None or (label == "ENCRYPTED PRIVATE KEY" and not _is_whole(content)):
            raise _damaged(where) from None
        raise _wrong_passphrase(where, passphrase) from None


def _decoded(body: bytes, where: str) -> bytes:
    _, blank, after = body.partition(b"\n\n")
    text = after if blank and b": " in body else body  # after the headers of RFC 1421
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        raise _damaged(where) from None


def _is_whole(der: bytes) -> bool:
    """Whether it is one DER SEQUENCE of the length that it says it has (X.690 section 8.1.3)."""
    if len(der) < 2 or der[0] != 0x30:
        return False
    octets = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + octets], "big") if octets else der[1]
    return 2 + octets + length == len(der)


def _usable(key: Any, where: str) -> "EllipticCurvePrivateKey | Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 -- slow to import

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    said = "a key of another kind"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        said = f"an ECDSA key of the curve {key.curve.name}"
    elif isinstance(key, rsa.RSAPrivateKey):
        said = "an RSA key"
    raise SigningKeyError(f"{said}; {_KINDS}", where=where, hint=_NEW_KEY)


def _unsupported(where: str, *, encrypted: bool) -> SigningKeyError:
    if not encrypted:
        return SigningKeyError(f"a key of another kind; {_KINDS}", where=where, hint=_NEW_KEY)
    hint = "`openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW` encrypts it anew"
    return SigningKeyError("encrypted by a means that is not supported", where=where, hint=hint)


def _damaged(where: str) -> SigningKeyError:
    return SigningKeyError("a private key that is damaged", where=where, hint="restore it from a copy")


def _wrong_passphrase(where: str, passphrase: bytes) -> SigningKeyError:
    if not passphrase:
        hint = "is the secret that sets it there? Unset it to be asked"
        return SigningKeyError("the key is encrypted, and MLENV_KEY_PASSWORD is empty", where=where, hint=hint)
    hint = "give the one that the key was encrypted with, in MLENV_KEY_PASSWORD or when asked"
    return SigningKeyError("the passphrase is wrong", where=where, hint=hint)
