"""Roots of trust as their owners make them: an unsigned draft, then one signature after another."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlenv.errors import SigningKeyError, UsageError
from mlenv.trust.keys import PublicKey, Signer
from mlenv.trust.root import POLICY_FIELD, RootFile, parse_root
from mlenv.trust.root_form import public_key, read_metadata

if TYPE_CHECKING:
    from securesystemslib.signer import Key
    from securesystemslib.signer import Signer as LibrarySigner
    from tuf.api.metadata import Metadata, Root


def draft_root(
    policy: bytes,
    *,
    expires: datetime,
    keys: Sequence[PublicKey] = (),
    threshold: int | None = None,
    previous: RootFile | None = None,
) -> bytes:
    """An unsigned root for the text of a trust.toml: version 1, or the one that follows `previous`.

    Keys and threshold that are not given are those of `previous`; the threshold of a first root is 1.
    TrustPolicyError, UsageError.
    """
    from tuf.api.metadata import TOP_LEVEL_ROLE_NAMES, Metadata, Role, Root  # noqa: PLC0415 -- slow to import

    old = read_metadata(previous.data, where=previous.name).signed if previous else None
    before = [old.keys[keyid] for keyid in old.roles["root"].keyids] if old else []
    named = _library_keys(keys, before) if keys else before
    if not named:
        raise UsageError("a first root needs keys", hint="name the public keys of its signers with --key")
    if threshold is None:
        threshold = old.roles["root"].threshold if old else 1
    if threshold > len(named):
        hint = f"give a --threshold of 1 to {len(named)}, or more keys"
        raise UsageError(f"{threshold} signatures of {len(named)} different keys can never be made", hint=hint)
    # TUF has four roles in every root. Nothing is ever signed in the other three here; the root's own keys hold them,
    # so that no TUF program that reads this root would believe anybody else.
    roles = {name: Role([key.keyid for key in named], threshold) for name in sorted(TOP_LEVEL_ROLE_NAMES)}
    root = Root(
        version=old.version + 1 if old else 1,
        expires=expires,
        keys={key.keyid: key for key in named},
        roles=roles,
        unrecognized_fields={POLICY_FIELD: policy.decode()},
    )
    data = _to_bytes(Metadata(root))
    parse_root(data, where="the new root")
    return data


def sign_root(draft: RootFile, signer: Signer, previous: RootFile | None = None) -> bytes:
    """A root with one signature more, or with the signer's own replaced.

    SigningKeyError where the key is none of the root's, nor of `previous`, the root that it follows. TrustPolicyError.
    """
    metadata = read_metadata(draft.data, where=draft.name)
    roots = [read_metadata(one.data, where=one.name).signed for one in (draft, previous) if one]
    # A key may have another id in the root before, where that one was made by another program: then it signs for both.
    ids = {
        keyid: root.keys[keyid]
        for root in roots
        for keyid in root.roles["root"].keyids
        if public_key(root.keys[keyid], where=draft.name) == signer.public_key
    }
    if not ids:
        hint = "sign with one of the keys that `mlenv trust root show` lists"
        if previous is None:
            hint += "; for a key of the root before, name that root with --previous"
        raise SigningKeyError(f"{signer.public_key.fingerprint} is no key of this root", where=draft.name, hint=hint)
    for key in ids.values():
        _sign(metadata, key, signer)
    return _to_bytes(metadata)


def _library_keys(keys: Sequence[PublicKey], before: "Sequence[Key]") -> "list[Key]":
    """The same keys as python-tuf has them; one that was there before keeps its id, so that it signs once for both."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 -- slow to import
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415 -- as above

    known = {public_key(key, where="the previous root"): key for key in before}
    return [
        known.get(key) or SSlibKey.from_crypto(load_pem_public_key(key.pem.encode())) for key in dict.fromkeys(keys)
    ]


def _sign(metadata: "Metadata[Root]", key: "Key", signer: Signer) -> None:
    from tuf.api.exceptions import UnsignedMetadataError  # noqa: PLC0415 -- slow to import

    try:
        signature = metadata.sign(_wrapped(signer, key), append=True)
    except UnsignedMetadataError as error:
        raise error.__cause__ or error from None
    if not signer.public_key.verifies(bytes.fromhex(signature.signature), metadata.signed_bytes):
        raise SigningKeyError(
            "what signs made no signature of this key", hint="check that --key and --signer-command belong together"
        )


def _wrapped(signer: Signer, key: "Key") -> "LibrarySigner":
    """A signer of ours as one of securesystemslib's; both have ECDSA in DER."""
    from securesystemslib.signer import SecretsHandler, Signature  # noqa: PLC0415 -- slow to import
    from securesystemslib.signer import Signer as Base  # noqa: PLC0415 -- as above

    class Wrapped(Base):
        @property
        def public_key(self) -> "Key":
            return key

        @classmethod
        def from_priv_key_uri(
            cls, priv_key_uri: str, public_key: "Key", secrets_handler: SecretsHandler | None = None
        ) -> "LibrarySigner":
            raise NotImplementedError  # the library demands the method; whoever signs here has its key already

        def sign(self, payload: bytes) -> Signature:
            return Signature(key.keyid, signer.sign(payload).hex())

    return Wrapped()


def _to_bytes(metadata: "Metadata[Root]") -> bytes:
    from tuf.api.serialization.json import JSONSerializer  # noqa: PLC0415 -- slow to import

    return metadata.to_bytes(JSONSerializer()) + b"\n"
