"""Keys of tests as files, and projects whose locks are signed with them."""

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.refusals import Project
from support.signers import signed_lock, signer

from mlenv.model.lock import Lock
from mlenv.trust.keys import KeyType


def key_file(folder: Path, name: str, kind: KeyType = KeyType.ECDSA_P256) -> Path:
    """The private key of a name, not encrypted, as `<name>.key`, and the public one beside it as `<name>.key.pub`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = signer(name, kind)
    path = folder / f"{name}.key"
    path.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    public_file(folder, name, kind)
    return path


def public_file(folder: Path, name: str, kind: KeyType = KeyType.ECDSA_P256) -> Path:
    """The public key of a name as `<name>.key.pub`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.key.pub"
    path.write_text(signer(name, kind).public_key.pem)
    return path


def trust(project: Project, text: str) -> Path:
    """Make that text the user's trust policy."""
    path = project.root.with_name("config") / "mlenv" / "trust.toml"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(0o644)
    return path


def sign_at(project: Project, name: str, issued: datetime, *, as_: str = "", **changes: Any) -> Path:
    """Sign the project's lock as if it were that time, for thirty days; `changes` are fields of the statement."""
    lock = Lock.parse(project.lock.read_text())
    assert lock.to_toml().encode() == project.lock.read_bytes()
    times = {"issued_at": issued, "expires": issued + timedelta(days=30)}
    path = project.root / f"mlenv.lock.{f'{as_}.' if as_ else ''}sigstore.json"
    path.write_bytes(signed_lock(lock, signer(name), **(times | changes)).data)
    return path


def statement_in(bundle: Path) -> dict[str, Any]:
    """What a bundle says, without looking at its signature."""
    envelope = json.loads(bundle.read_bytes())["dsseEnvelope"]
    said: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return said
