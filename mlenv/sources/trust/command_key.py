"""A key that another program has: a hardware token, a cloud's key service, an agent.

The program gets the bytes to sign on its standard input and writes the signature, as bytes, to its standard output.
"""

import os
import signal
import subprocess
import tempfile
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlenv.errors import SigningKeyError
from mlenv.trust.keys import KeyType, PublicKey

LARGEST: Final = 64 << 10
_DER: Final = "ECDSA signatures are ASN.1 in DER (RFC 3279)"


@dataclass(frozen=True)
class CommandKey:
    """A program that signs (a Signer). It is run without a shell, and its messages go to the user's standard error.

    Messages name the program alone, and so does the repr: its arguments may hold a PIN. It does not get to see the
    passphrase of key files, which is not for it.
    """

    public_key: PublicKey
    command: Sequence[str] = field(repr=False)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def sign(self, data: bytes) -> bytes:
        """What the program wrote, which is the public key's signature of the data. SigningKeyError."""
        signature = self._run(data)
        if not self.public_key.verifies(signature, data):
            message, hint = self._mistake(signature, data)
            raise SigningKeyError(message, where=self.command[0], hint=hint)
        return signature

    def _run(self, data: bytes) -> bytes:
        environ = {name: value for name, value in self.environ.items() if name != "MLENV_KEY_PASSWORD"}
        with tempfile.TemporaryFile() as file:  # nothing waits for anything, however the program reads
            file.write(data)
            file.seek(0)
            try:
                process = subprocess.Popen(self.command, stdin=file, stdout=subprocess.PIPE, env=environ)
            except (OSError, ValueError) as error:
                said = getattr(error, "strerror", None) or error
                hint = "name a program that can be run, by its path or on the PATH; no shell is used"
                raise SigningKeyError(f"cannot be run: {said}", where=self.command[0], hint=hint) from None
        output = _output(process)
        if len(output) > LARGEST:
            raise SigningKeyError(
                f"wrote more than {LARGEST >> 10} KiB", where=self.command[0], hint="let it write the signature alone"
            )
        if process.returncode:
            hint = "what it said stands above; try it by hand with any file as its standard input"
            raise SigningKeyError(_ending(process.returncode), where=self.command[0], hint=hint)
        return output

    def _mistake(self, output: bytes, data: bytes) -> tuple[str, str]:
        """What is wrong with something that is not the signature, and what to do; nothing is converted silently."""
        if not output:
            return "wrote no signature", "let it write the signature to its standard output, as bytes"
        decoded = _from_base64(output)
        if decoded and (self.public_key.verifies(decoded, data) or self._is_raw(decoded, data)):
            return "wrote the signature as base64", "let it write bytes, by `base64 -d` in a script of yours"
        if self._is_raw(output, data):
            return "wrote the signature as two bare numbers", f"let it convert them: {_DER}"
        if self.public_key.type is KeyType.ECDSA_P256 and output[:1] != b"\x30":
            return "wrote something that is not a signature", f"let it write the signature alone: {_DER}"
        return (
            f"what it wrote is no signature by {self.public_key.fingerprint}",
            "name its public key with --key; let it sign its standard input as it is, hashed once by SHA-256 for ECDSA",
        )

    def _is_raw(self, output: bytes, data: bytes) -> bool:
        """Whether it is r and s of 32 bytes each (IEEE P1363), as many key services and PKCS#11 give them."""
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415 -- slow

        if self.public_key.type is not KeyType.ECDSA_P256 or len(output) != 64:
            return False
        r, s = (int.from_bytes(half, "big") for half in (output[:32], output[32:]))
        return self.public_key.verifies(encode_dss_signature(r, s), data)


def _output(process: "subprocess.Popen[bytes]") -> bytes:
    """Its standard output, once it has ended; one byte more than the largest where it writes without end."""
    with process:
        try:
            assert process.stdout is not None  # noqa: S101 -- a pipe
            output = process.stdout.read(LARGEST + 1)
            if len(output) > LARGEST:
                process.kill()
            process.wait()
        except BaseException:  # Ctrl-C, SIGTERM: nothing goes on signing behind the user's back
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return output


def _ending(status: int) -> str:
    if status > 0:
        return f"failed with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _from_base64(output: bytes) -> bytes:
    try:
        return b64decode(b"".join(output.split()), validate=True)
    except ValueError:
        return b""
