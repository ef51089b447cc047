"""Private keys: what signs, with the key in this process's memory or in the hands of another program.

No key and no passphrase is ever part of a message, a repr or a pickle, and what libraries say of a key that they
cannot read is not passed on.
"""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Never

from mlenv.errors import UsageError
from mlenv.sources.trust.command_key import CommandKey
from mlenv.sources.trust.key_files import KeyText, default_key, read_key
from mlenv.sources.trust.key_pem import Ask, open_private_key
from mlenv.trust.keys import PublicKey, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Ask", "CommandKey", "FileKey", "load_key", "load_public_key", "signer"]


class FileKey:
    """A private key in memory (a Signer). `warnings` are lines for the user that stop nothing."""

    __slots__ = ("_key", "public_key", "warnings")

    def __init__(self, key: "EllipticCurvePrivateKey | Ed25519PrivateKey", warnings: tuple[str, ...] = ()) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 -- slow

        self._key = key
        self.public_key = PublicKey.parse(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        self.warnings = warnings

    def sign(self, data: bytes) -> bytes:
        """The form that `PublicKey.verifies` takes: DER with SHA-256 for ECDSA, 64 bytes for Ed25519."""
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 -- slow to import
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 -- as above

        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(data, ec.ECDSA(SHA256()))
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"FileKey({self.public_key.type}, {self.public_key.fingerprint})"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is neither copied nor pickled")


def load_key(reference: str, environ: Mapping[str, str], ask: Ask | None) -> FileKey:
    """The private key in a file or in env://NAME. SigningKeyError.

    Its passphrase is that of MLENV_KEY_PASSWORD, else what `ask` answers; None: there is nobody to ask.
    """
    return _opened(read_key(reference, environ), environ, ask)


def load_public_key(reference: str, environ: Mapping[str, str], ask: Ask | None) -> tuple[PublicKey, tuple[str, ...]]:
    """The public half of a public or private key, and warnings. SigningKeyError.

    A private key is opened for that: the .pub file that lies beside it may be anybody's.
    """
    text = read_key(reference, environ)
    if b"PRIVATE KEY-----" not in text.data:
        return PublicKey.parse(text.data, where=text.where), ()
    key = _opened(text, environ, ask)
    return key.public_key, key.warnings


def signer(environ: Mapping[str, str], *, key: str | None, command: str | None, ask: Ask | None) -> Signer:
    """What --key, --signer-command and MLENV_KEY mean together. UsageError, SigningKeyError.

    With a command the key is a public one, and what the command answers is checked with it.
    """
    reference = key or default_key(environ)
    if not reference:
        what = "the public key that the command's signatures are checked with" if command else "a private key"
        raise UsageError("there is no key to sign with", hint=f"name {what} by --key or MLENV_KEY")
    if command is None:
        return load_key(reference, environ, ask)
    words = _words(command)
    text = read_key(reference, environ)
    return CommandKey(PublicKey.parse(text.data, where=text.where), words, environ)


def _opened(text: KeyText, environ: Mapping[str, str], ask: Ask | None) -> FileKey:
    return FileKey(open_private_key(text, environ.get("MLENV_KEY_PASSWORD"), ask), text.warnings)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        said = str(error).lower()
        raise UsageError(f"--signer-command cannot be split into words: {said}", hint="quote as for a shell") from None
    if not words:
        raise UsageError("--signer-command is empty", hint="name a program and its arguments")
    return words
