"""A key that another program has: an HSM, a KMS, an agent. It is given the data, and its signature is checked."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mlenv.errors import SigningKeyError
from mlenv.trust.keys import PublicKey

LARGEST: Final = 64 << 10


@dataclass(frozen=True)
class CommandKey:
    """A program that signs its standard input (a Signer). It is run without a shell."""

    public_key: PublicKey
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def sign(self, data: bytes) -> bytes:
        """What the program writes, if it is this key's signature of the data. SigningKeyError."""
        signature = self._run(data)
        if not self.public_key.verifies(signature, data):
            raise SigningKeyError("not a signature of the key", where=self.command[0], hint="name its public key")
        return signature

    def _run(self, data: bytes) -> bytes:
        environ = {name: value for name, value in self.environ.items() if name != "MLENV_KEY_PASSWORD"}
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            done = subprocess.run(self.command, stdin=file, stdout=subprocess.PIPE, env=environ, check=False)
        return done.stdout
