"""The JSON Schema of mlenv.lock, for programs that read locks. What it cannot say, schema/lock.md does."""

from typing import Any

from mlenv.model.lock import Lock
from mlenv.model.manifest_schema import plain_schema

SCHEMA_ID = "https://mlenv.dev/schema/mlenv.lock.schema.json"


def lock_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID, "title": "mlenv.lock"}
    return {**head, **plain_schema(Lock, "serialization")}
