"""Verifiers of a signed lock that nobody here wrote, each asked in the same way.

None of them looks at everything; what each refuses is a table in interop/test_signatures.py. The commands for openssl
and cosign are those of schema/auditing.md.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from support import auditing
from support.peers import fetch_peer
from support.sigstore_js import verify_bundles


@dataclass(frozen=True)
class Signed:
    """What an auditor has: a lock, one bundle, and the PEM of the key that is said to have made it."""

    lock: bytes
    bundle: bytes
    key: bytes

    def write(self, folder: Path) -> None:
        """The three files, with the names that they have in schema/auditing.md."""
        (folder / "mlenv.lock").write_bytes(self.lock)
        (folder / "mlenv.lock.sigstore.json").write_bytes(self.bundle)
        (folder / "alice.pub").write_bytes(self.key)


@dataclass(frozen=True)
class Verdict:
    """Whether a verifier is content, and what it said."""

    accepted: bool
    said: str


Verifier = Callable[[Signed], Verdict]


def openssl(signed: Signed) -> Verdict:
    """openssl, jq and coreutils, used as the auditor's page says."""
    return _by_the_page(signed, auditing.OPENSSL)


def cosign(signed: Signed) -> Verdict:
    """cosign out of Debian's next suite, used as the auditor's page says."""
    return _by_the_page(signed, auditing.COSIGN, fetch_peer("cosign"))


def sigstore_js(signed: Signed) -> Verdict:
    """The library that npm verifies provenance with."""
    ((accepted, said),) = verify_bundles([signed.bundle.decode()], [signed.key.decode()])
    return Verdict(accepted, said)


def securesystemslib(signed: Signed) -> Verdict:
    """The library below python-tuf and in-toto. It wants a key id, which our envelopes do not have."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import Error
    from securesystemslib.signer import SSlibKey

    envelope = deepcopy(json.loads(signed.bundle)["dsseEnvelope"])  # from_dict changes its input
    envelope["signatures"][0]["keyid"] = "the only one"
    try:
        key = SSlibKey.from_crypto(load_pem_public_key(signed.key), keyid="the only one")
        Envelope.from_dict(envelope).verify([key], 1)
    except (Error, ValueError) as error:
        return Verdict(accepted=False, said=f"{type(error).__name__}: {error}")
    return Verdict(accepted=True, said="")


OTHERS: dict[str, Verifier] = {
    "openssl": openssl,
    "cosign": cosign,
    "sigstore-js": sigstore_js,
    "securesystemslib": securesystemslib,
}


def _by_the_page(signed: Signed, heading: str, *programs: Path) -> Verdict:
    with TemporaryDirectory() as folder:
        signed.write(Path(folder))
        done = auditing.follow(Path(folder), heading, programs=programs)
    return Verdict(done.returncode == 0, done.stdout + done.stderr)
