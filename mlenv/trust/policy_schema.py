"""The JSON Schema of trust.toml, by which editors complete and check it. What it cannot say, schema/trust.md does."""

from typing import Any

from mlenv.model.manifest_schema import plain_schema
from mlenv.trust.policy_file import PolicyFile

SCHEMA_ID = "https://mlenv.dev/schema/mlenv.trust.schema.json"


def trust_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID, "title": "trust.toml"}
    return {**head, **plain_schema(PolicyFile)}
