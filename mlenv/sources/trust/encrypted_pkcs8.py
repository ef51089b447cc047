"""Encrypted PKCS#8 (RFC 5958 section 3) by PBES2 (RFC 8018) with scrypt (RFC 7914 section 7) and AES-256-CBC.

cryptography encrypts PKCS#8 with 2048 rounds of PBKDF2 and lets nobody choose. A key file that gets into wrong hands
is kept by its passphrase alone, so this derives its key by scrypt, in the form that cryptography and openssl open.
"""

import hashlib
import os
from base64 import b64encode
from typing import Final

N, R, P = 1 << 14, 8, 1
"""16 MiB, and 0.05 s on a slow core. openssl opens no file with a larger N: its own limit is 32 MiB."""

_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")  # OBJECT IDENTIFIER 1.2.840.113549.1.5.13
_SCRYPT: Final = bytes.fromhex("06092b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC: Final = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42
_SEQUENCE, _OCTETS, _INTEGER = 0x30, 0x04, 0x02


def encrypt_pkcs8(private_key: bytes, passphrase: bytes) -> bytes:
    """PEM (RFC 7468 section 11) of a PKCS#8 DER private key, encrypted."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 -- slow to import
    from cryptography.hazmat.primitives.padding import PKCS7  # noqa: PLC0415 -- as above

    salt, iv = os.urandom(16), os.urandom(16)
    key = hashlib.scrypt(passphrase, salt=salt, n=N, r=R, p=P, dklen=32)
    padder, encryptor = PKCS7(128).padder(), Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(private_key) + padder.finalize()) + encryptor.finalize()
    kdf = _der(_SEQUENCE, _SCRYPT, _der(_SEQUENCE, _der(_OCTETS, salt), _integer(N), _integer(R), _integer(P)))
    scheme = _der(_SEQUENCE, _PBES2, _der(_SEQUENCE, kdf, _der(_SEQUENCE, _AES_256_CBC, _der(_OCTETS, iv))))
    text = b64encode(_der(_SEQUENCE, scheme, _der(_OCTETS, ciphertext)))
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    label = b"ENCRYPTED PRIVATE KEY"
    return b"\n".join([b"-----BEGIN %b-----" % label, *lines, b"-----END %b-----" % label, b""])


def _der(tag: int, *parts: bytes) -> bytes:
    """One element of DER (X.690): tag, length, content."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
