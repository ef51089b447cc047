"""cosign's private keys: JSON with a PKCS#8 key under NaCl's secretbox, by scrypt (go-tuf, package encrypted)."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from mlenv.model.strict_json import parse_json
from mlenv.trust.envelope import decode

LARGEST_SCRYPT: Final = 256 << 20
"""128 * N * r * p: what bounds memory and time alike. cosign 3 writes 64 MiB (N=65536, r=8, p=1)."""

_KEYS: Final = {
    "": {"kdf", "cipher", "ciphertext"},
    "kdf": {"name", "params", "salt"},
    "kdf.params": {"N", "r", "p"},
    "cipher": {"name", "nonce"},
}


class WrongPassphraseError(Exception):
    """The passphrase does not open the key, or its bytes were changed: the cipher cannot tell these apart."""


def open_cosign_key(body: bytes, passphrase: bytes) -> bytes:
    """The PKCS#8 DER in the decoded body of the PEM. ValueError for what is no such key, WrongPassphraseError."""
    from nacl.exceptions import CryptoError  # noqa: PLC0415 -- slow to import
    from nacl.secret import SecretBox  # noqa: PLC0415 -- as above

    outer = _object(parse_json(body), "")
    kdf, cipher = _object(outer["kdf"], "kdf"), _object(outer["cipher"], "cipher")
    if kdf["name"] != "scrypt" or cipher["name"] != "nacl/secretbox":
        raise ValueError("encrypted by other means than scrypt and nacl/secretbox")
    nonce, ciphertext = decode(cipher["nonce"]), decode(outer["ciphertext"])
    if len(nonce) != SecretBox.NONCE_SIZE:
        raise ValueError(f"the nonce is not {SecretBox.NONCE_SIZE} bytes long")
    key = _scrypt(passphrase, decode(kdf["salt"]), _object(kdf["params"], "kdf.params"))
    try:
        return SecretBox(key).decrypt(ciphertext, nonce)
    except CryptoError:
        raise WrongPassphraseError from None


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != _KEYS[place]:
        raise ValueError(f"{place or 'the key'} is not an object of {', '.join(sorted(_KEYS[place]))}")
    return value


def _scrypt(passphrase: bytes, salt: bytes, params: Mapping[str, Any]) -> bytes:
    n, r, p = params["N"], params["r"], params["p"]
    if not all(type(number) is int and number > 0 for number in (n, r, p)) or n < 2 or n & (n - 1):
        raise ValueError("kdf.params are not those of scrypt")
    if 128 * n * r * p > LARGEST_SCRYPT:
        raise ValueError(f"opening it would take more than {LARGEST_SCRYPT >> 20} MiB")
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=2 * LARGEST_SCRYPT, dklen=32)
