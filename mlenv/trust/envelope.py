"""DSSE envelopes (secure-systems-lab/dsse, v1.0.2): a payload, its type, and one signature over both."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final, Self

from mlenv.trust.keys import PublicKey, Signer

IN_TOTO: Final = "application/vnd.in-toto+json"
"""The payload type of in-toto statements."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the pre-authentication encoding (protocol.md, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope with one signature and no key id. `payload` and `signature` are the bytes themselves."""

    payload_type: str
    payload: bytes
    signature: bytes

    @classmethod
    def sign(cls, payload_type: str, payload: bytes, signer: Signer) -> Self:
        """Sign a payload."""
        return cls(payload_type, payload, signer.sign(pae(payload_type, payload)))

    def is_signed_by(self, key: PublicKey) -> bool:
        """Whether the signature is that key's, over these very bytes."""
        return key.verifies(self.signature, pae(self.payload_type, self.payload))

    def to_json(self) -> dict[str, Any]:
        """The envelope as a JSON object (envelope.md)."""
        return {
            "payload": b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"sig": b64encode(self.signature).decode()}],
        }

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read a JSON object; ValueError for what is not an envelope with exactly one signature."""
        if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
            raise ValueError("the envelope is not an object of payload, payloadType and signatures")
        signatures = value["signatures"]
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise ValueError("the envelope does not hold exactly one signature")
        (signature,) = signatures
        if not isinstance(signature, dict) or set(signature) != {"sig"}:
            raise ValueError("the signature is not an object of sig alone")
        if not isinstance(value["payloadType"], str):
            raise ValueError("payloadType is not a string")  # noqa: TRY004 -- ValueError is what parsers raise here
        return cls(value["payloadType"], decode(value["payload"]), decode(signature["sig"]))


def decode(text: Any) -> bytes:
    """Standard base64 with its padding and nothing else (RFC 4648 section 4); ValueError."""
    if not isinstance(text, str):
        raise ValueError("not a string of base64")  # noqa: TRY004 -- as above
    data = b64decode(text, validate=True)
    if b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data
