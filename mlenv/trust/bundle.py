"""Sigstore bundles v0.3 with a plain key (sigstore/protobuf-specs, sigstore_bundle.proto): one signer each."""

from dataclasses import dataclass
from typing import Final, Self

from mlenv.model.canonical import canonical_json
from mlenv.model.strict_json import parse_json
from mlenv.trust.envelope import IN_TOTO, Envelope, decode
from mlenv.trust.keys import Signer

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An envelope, and the hint at the key that signed it: standard base64 of the sha256 of its DER SPKI."""

    hint: str
    envelope: Envelope

    @classmethod
    def sign(cls, statement: bytes, signer: Signer) -> Self:
        """Sign the bytes of an in-toto statement."""
        return cls(signer.public_key.hint, Envelope.sign(IN_TOTO, statement, signer))

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
        """Read a bundle; ValueError, which names what it holds that mlenv does not check."""
        value = parse_json(data)
        if not isinstance(value, dict) or value.get("mediaType") != BUNDLE_TYPE:
            raise ValueError(f"not a Sigstore bundle of media type {BUNDLE_TYPE}")
        if set(value) != {"mediaType", "verificationMaterial", "dsseEnvelope"}:
            raise ValueError("the bundle holds something other than a DSSE envelope")
        material = value["verificationMaterial"]
        if not isinstance(material, dict) or set(material) != {"publicKey"} or set(material["publicKey"]) != {"hint"}:
            raise ValueError("the bundle is not signed with a plain key alone")
        hint = material["publicKey"]["hint"]
        if len(decode(hint)) != 32:
            raise ValueError("the hint is not a sha256")
        return cls(hint, Envelope.parse(value["dsseEnvelope"]))
