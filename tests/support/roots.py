"""Roots of trust as python-tuf makes them, with no more of mlenv than the keys that tests sign with; and one step."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from securesystemslib.signer import CryptoSigner, SSlibKey
from support.signers import NOW, KeyOfTests, policy_text, signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Role, Root
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from mlenv.trust.root import RootFile, TrustRoot, last_root

LATER = NOW + timedelta(days=365)
POLICY = policy_text(["alice"])


def library_key(public: PublicKeyTypes, keyid: str | None = None) -> SSlibKey:
    return SSlibKey.from_crypto(public, keyid)


def root_of_tuf(
    *keys: str,
    by: Sequence[str] | None = None,
    version: int = 1,
    threshold: int = 1,
    expires: datetime = LATER,
    fields: Mapping[str, Any] | None = None,
    ids: Mapping[str, KeyOfTests] | None = None,
) -> bytes:
    """A root with the keys of these names, signed by those of `by`, or by all of its own.

    `fields` are the further fields of the signed part, by default the policy; `ids` are keys under ids of a test's own,
    which all sign.
    """
    signers = [CryptoSigner(signer(name).private) for name in (keys if by is None else by)]
    held = [library_key(signer(name).private.public_key()) for name in keys]
    for keyid, key in (ids or {}).items():
        held.append(library_key(key.private.public_key(), keyid))
        signers.append(CryptoSigner(key.private, held[-1]))
    named = [key.keyid for key in held]
    root = Root(
        version=version,
        expires=expires,
        keys={key.keyid: key for key in held},
        roles={name: Role(list(named), threshold) for name in ("root", "timestamp", "snapshot", "targets")},
        unrecognized_fields=dict({"x-mlenv-trust": POLICY} if fields is None else fields),
    )
    metadata = Metadata(root)
    for one in signers:
        metadata.sign(one, append=True)
    return metadata.to_bytes(JSONSerializer())


def followed_by_tuf(trusted: bytes, *chain: bytes, now: datetime = NOW) -> bool:
    """Whether python-tuf's client goes from a trusted root to the last of these, which has not expired."""
    try:
        known = TrustedMetadataSet(trusted, EnvelopeType.METADATA)
        for root in chain:
            known.update_root(root)
    except RepositoryError:
        return False
    return not known.root.is_expired(now)


def next_root(trusted: bytes, new: bytes, now: datetime, *, where: str) -> TrustRoot:
    """One step of a chain, as `last_root` judges it; `where` names the new root."""
    return last_root(RootFile("the trusted root", trusted), [RootFile(where, new)], now)
