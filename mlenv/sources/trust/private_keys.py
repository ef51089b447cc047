"""Private keys: what signs, with the key in this process's memory or in that of another program.

No key and no passphrase is ever part of a message, a repr or a pickle; what cryptography or another library says of a
key that it cannot read is not passed on.
"""

import resource
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Never

from mlenv.errors import UsageError
from mlenv.sources.trust.command_key import CommandKey
from mlenv.sources.trust.key_files import KeyText, default_key, read_key
from mlenv.sources.trust.key_pem import open_private_key
from mlenv.trust.keys import PublicKey, Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Ask = Callable[[str], str]
"""Asks for a passphrase, given the text of the question, on a terminal that does not show the answer."""


class FileKey:
    """A private key in memory (a Signer). `warnings` are lines for the user that stop nothing."""

    __slots__ = ("_key", "public_key", "warnings")

    def __init__(self, key: "EllipticCurvePrivateKey | Ed25519PrivateKey", warnings: tuple[str, ...] = ()) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 -- slow

        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._key = key
        self.public_key = PublicKey.parse(public)
        self.warnings = warnings

    def sign(self, data: bytes) -> bytes:
        """DER (RFC 3279) for ECDSA P-256 with SHA-256, 64 bytes for Ed25519 (RFC 8032)."""
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

    The passphrase is that of MLENV_KEY_PASSWORD, else what `ask` answers; None: there is nobody to ask.
    """
    forbid_core_files()
    text = read_key(reference, environ)
    return FileKey(open_private_key(text, environ.get("MLENV_KEY_PASSWORD"), ask), text.warnings)


def load_public_key(reference: str, environ: Mapping[str, str], ask: Ask | None) -> tuple[PublicKey, tuple[str, ...]]:
    """The public key of a public or a private key, and warnings. SigningKeyError.

    A private key is opened for that: a .pub file that lies beside it may be anybody's.
    """
    forbid_core_files()
    text = read_key(reference, environ)
    if b"PRIVATE KEY-----" not in text.data:
        return PublicKey.parse(text.data, where=text.where), ()
    key = FileKey(open_private_key(text, environ.get("MLENV_KEY_PASSWORD"), ask), text.warnings)
    return key.public_key, key.warnings


def signer(environ: Mapping[str, str], *, key: str | None, command: str | None, ask: Ask | None) -> Signer:
    """What --key, --signer-command and MLENV_KEY mean together. UsageError, SigningKeyError.

    With a command, the key is the public one, with which what the command answers is checked.
    """
    reference = key or default_key(environ)
    if not reference:
        what = "the public key of what the command signs with" if command else "a private key"
        raise UsageError("no key to sign with", hint=f"name {what} with --key, or with MLENV_KEY")
    if command is None:
        return load_key(reference, environ, ask)
    text: KeyText = read_key(reference, environ)
    return CommandKey(PublicKey.parse(text.data, where=text.where), _words(command), environ)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        said = str(error).lower()
        raise UsageError(f"--signer-command cannot be split: {said}", hint="quote it as for a shell") from None
    if not words:
        raise UsageError("--signer-command is empty", hint="name a program and its arguments")
    return words


def forbid_core_files() -> None:
    """From here on a crash of this process leaves no copy of its memory, and so of its keys.

    The limit is one byte: as 0 it would stop files, but not core dumps that the kernel pipes to a program (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))
