"""A content digest: parsed once at the edge, never a bare string after that."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest in the form of the OCI image specification (descriptor.md, "Digests").

    `hex` is 64 lower-case hexadecimal digits. `str()` gives `sha256:<hex>`. Other algorithms are refused: every
    digest in mlenv is one that mlenv can recompute.
    """

    hex: str

    def __post_init__(self) -> None:
        if len(self.hex) != 64 or not set(self.hex) <= set("0123456789abcdef"):
            msg = f"not the hexadecimal form of a sha256: {self.hex[:80]!r}"
            raise ValueError(msg)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hexadecimal digits>`; anything else is a ValueError."""
        match = _SHA256.fullmatch(text)
        if match is None:
            msg = f"not a digest of the form sha256:<64 hexadecimal digits>: {text[:80]!r}"
            raise ValueError(msg)
        return cls(match.group(1))

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of some bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        parse = core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=parse,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), parse]),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
