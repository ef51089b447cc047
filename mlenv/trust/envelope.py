"""DSSE envelopes (secure-systems-lab/dsse, v1.0.2): a payload, its type, and one signature over both."""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Final, Self

from mlenv.trust.fields import members, text
from mlenv.trust.keys import PublicKey, Signer

IN_TOTO: Final = "application/vnd.in-toto+json"
"""The payload type of in-toto statements."""

_PAYLOAD_TYPE: Final = re.compile(r"[\x21-\x7e]{1,255}")  # a media type or a URI (protocol.md, "PAYLOAD_TYPE")


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
        """Read a JSON object; ValueError for what is not an envelope with exactly one signature.

        A key id is refused: nobody signed it, so it must not decide anything. An empty one says that there is none.
        """
        envelope = members(value, "the envelope", ["payload", "payloadType", "signatures"])
        payload_type = text(envelope["payloadType"], "payloadType")
        if _PAYLOAD_TYPE.fullmatch(payload_type) is None:
            raise ValueError("payloadType is not 1 to 255 visible ASCII characters")
        signatures = envelope["signatures"]
        if not isinstance(signatures, list) or not signatures:
            raise ValueError("the envelope is not signed")
        if len(signatures) > 1:
            raise ValueError(f"the envelope has {len(signatures)} signatures; each signer has a bundle of its own")
        signature = members(signatures[0], "the signature", ["sig"], ["keyid"])
        if signature.get("keyid", "") != "":
            raise ValueError("the signature has a keyid, which nobody signed; mlenv goes by the hint and the key")
        found = cls(payload_type, decode(envelope["payload"], "payload"), decode(signature["sig"], "sig"))
        if not found.signature:
            raise ValueError("the signature is empty")
        return found


def decode(value: Any, what: str = "the text") -> bytes:
    """Standard base64 with its padding and nothing else (RFC 4648 sections 3.3, 3.5 and 4); ValueError."""
    written = text(value, what)
    try:
        data = b64decode(written, validate=True)
    except ValueError:
        data = b""
    if b64encode(data).decode() != written:
        raise ValueError(f"{what} is not standard base64 with padding")
    return data
