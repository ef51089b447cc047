"""Sigstore bundles v0.3 with a plain key (sigstore/protobuf-specs, sigstore_bundle.proto): one signer each.

The normative text is schema/signature.md.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

from mlenv.errors import SigningKeyError
from mlenv.model.canonical import canonical_json
from mlenv.model.strict_json import shown
from mlenv.trust.envelope import IN_TOTO, Envelope, decode
from mlenv.trust.fields import document, members, text
from mlenv.trust.keys import Signer

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
LIMIT: Final = 4 << 20
"""The most bytes that a bundle may have."""

_MOST_PARTS: Final = 1000  # lists, objects and their members; a bundle that mlenv writes has about twenty

_UNCHECKED: Final = {
    "x509CertificateChain": "is signed with a certificate chain",
    "certificate": "is signed with a certificate",
    "tlogEntries": "has entries of a transparency log",
    "timestampVerificationData": "has timestamps",
}
_NOTHING: Final[dict[str, tuple[Any, ...]]] = {  # how writers say that there is none (sigstore-js: `{}`)
    "tlogEntries": ([],),
    "timestampVerificationData": ({}, {"rfc3161Timestamps": []}),
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """An envelope, and the hint at the key that signed it: standard base64 of the sha256 of its DER SPKI.

    The hint is not signed. It says which key to try; only `envelope.is_signed_by` says whose signature it is.
    """

    hint: str
    envelope: Envelope

    @classmethod
    def sign(cls, statement: bytes, signer: Signer) -> Self:
        """Sign the bytes of an in-toto statement.

        SigningKeyError where what comes back is not the key's signature: a faulty key or program leaves no wrong one.
        """
        envelope = Envelope.sign(IN_TOTO, statement, signer)
        if not envelope.is_signed_by(signer.public_key):
            raise SigningKeyError("the signature is not one of the key's", hint="check the key, and sign again")
        return cls(signer.public_key.hint, envelope)

    def to_bytes(self) -> bytes:
        """The bundle as a file holds it."""
        return (
            canonical_json(
                {
                    "mediaType": BUNDLE_TYPE,
                    "verificationMaterial": {"publicKey": {"hint": self.hint}},
                    "dsseEnvelope": self.envelope.to_json(),
                }
            )
            + b"\n"
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a bundle of at most 4 MiB; ValueError, which names what it holds that mlenv does not check."""
        if sum(map(data.count, (b"[", b"{", b",", b":"))) > _MOST_PARTS:
            raise ValueError(f"not a Sigstore bundle: it has more than {_MOST_PARTS} parts")
        value = document(data, LIMIT)
        kind = value.get("mediaType") if isinstance(value, dict) else None
        if not isinstance(kind, str):
            raise ValueError("not a Sigstore bundle: it has no mediaType")  # noqa: TRY004 -- parsers raise ValueError
        if kind != BUNDLE_TYPE:
            raise ValueError(f"not of media type {BUNDLE_TYPE}, but of '{shown(kind)}'")
        if "messageSignature" in value:
            raise ValueError("the bundle has a messageSignature, a signature of bare bytes, and no in-toto statement")
        bundle = members(value, "the bundle", ["mediaType", "verificationMaterial", "dsseEnvelope"])
        hint = _hint(bundle["verificationMaterial"])
        envelope = Envelope.parse(bundle["dsseEnvelope"])
        if envelope.payload_type != IN_TOTO:
            raise ValueError(f"the payload is no in-toto statement, but of type '{shown(envelope.payload_type)}'")
        return cls(hint, envelope)


def _hint(value: Any) -> str:
    """The hint of `verificationMaterial`, which must hold a plain key and nothing that would have to be checked."""
    material = members(value, "verificationMaterial", [], ["publicKey", *_UNCHECKED])
    for name, meaning in _UNCHECKED.items():
        if name in material and material[name] not in _NOTHING.get(name, ()):
            raise ValueError(f"the bundle {meaning} ({name}), which mlenv does not check")
    if "publicKey" not in material:
        raise ValueError("the bundle does not say which key signed it: verificationMaterial has no publicKey")
    hint = text(members(material["publicKey"], "publicKey", ["hint"])["hint"], "hint")
    if len(decode(hint, "hint")) != 32:
        raise ValueError("the hint is not the sha256 of a key")
    return hint
