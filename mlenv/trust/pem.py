"""The one PEM block of a public key (RFC 7468 section 13), and a word on whatever else people take for it."""

import re
from base64 import b64decode
from typing import Final

from mlenv.errors import SigningKeyError

LIMIT: Final = 64 << 10
"""The most bytes that a key's file may have. An RSA key of 16384 bits takes 12 KiB in PEM."""

_HINT: Final = "name a PEM file that begins with -----BEGIN PUBLIC KEY-----"
_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_BLOCK: Final = re.compile(rb"\s*-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]*)-----END PUBLIC KEY-----\s*")


def public_key_der(data: bytes, where: str) -> bytes:
    """What the block holds. SigningKeyError where there is none, where there are several, or text around it.

    Readers differ in what they take from a file with more than one block in it, and so would fingerprints.
    """
    if b"PRIVATE KEY" in data:
        raise SigningKeyError("a private key, where a public one is needed", where=where, hint="name the .pub file")
    block = _BLOCK.fullmatch(data) if len(data) <= LIMIT else None
    if block is None:
        message, hint = _other(data)
        raise SigningKeyError(message, where=where, hint=hint)
    try:
        return b64decode(b"".join(block[1].split()), validate=True)
    except ValueError:
        raise SigningKeyError("a damaged PEM file: its base64 is wrong", where=where, hint="copy it again") from None


def _other(data: bytes) -> tuple[str, str]:
    """What a file is that is no PEM public key, and what to do about it."""
    labels = [label.decode() for label in _BEGIN.findall(data[:LIMIT])]
    openssh = data.startswith((b"ssh-", b"ecdsa-sha2-", b"sk-")) or b"BEGIN SSH2" in data[:LIMIT]
    in_der = "`openssl pkey -pubin -inform DER -in FILE` prints it as PEM, if it is one"
    answers = [
        (not data.strip(), "empty, where a public key is needed", _HINT),
        (len(data) > LIMIT, f"longer than {LIMIT} bytes: not a public key", _HINT),
        (
            "CERTIFICATE" in labels,
            "a certificate, not a public key",
            "`openssl x509 -pubkey -noout -in FILE` prints it",
        ),
        (labels.count("PUBLIC KEY") > 1, "more than one public key", "give each key a file of its own"),
        ("PUBLIC KEY" in labels, "more than a PEM public key, or a damaged one", "keep the lines from BEGIN to END"),
        ("RSA PUBLIC KEY" in labels, "an RSA key, which mlenv does not use", "use an ECDSA P-256 or an Ed25519 key"),
        (openssh, "an OpenSSH key, where a PEM public key is needed", _HINT),
        (bool(labels), f"not a public key, but a PEM file of {'/'.join(labels[:1])!r}", _HINT),
        (data.startswith(b"\x30"), "not PEM, but perhaps a public key in DER", in_der),
    ]
    return next(((message, hint) for holds, message, hint in answers if holds), ("not a public key", _HINT))
