"""The JSON Schema of mlenv.toml, by which editors complete and check it.

Draft 7 with no references: what Taplo (Even Better TOML), VS Code, JetBrains and Python's jsonschema all read alike.
TOML has no null, so that an optional key is one that may be absent.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel

from mlenv.model.manifest import EnvironmentManifest, Table

SCHEMA_ID = "https://mlenv.dev/schema/mlenv.schema.json"


def manifest_schema() -> dict[str, Any]:
    """The schema as a JSON value. It says what each key may hold; contradictions between keys are the parser's."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": SCHEMA_ID, "title": "mlenv.toml"}
    return {**head, **plain_schema(EnvironmentManifest)}


def plain_schema(model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    """What pydantic generates, without references, each key described by the text below it in the source."""
    generated = model.model_json_schema(mode=mode)
    definitions = generated.pop("$defs")
    tables: dict[str, type[BaseModel]] = {table.__name__: table for table in Table.__subclasses__()}
    _describe(generated, model)
    for name, definition in definitions.items():
        if name in tables:
            _describe(definition, tables[name])
    plain: dict[str, Any] = _plain(generated, definitions)
    return plain


def _describe(schema: dict[str, Any], table: type[BaseModel]) -> None:
    """Put the texts of a table's keys into its schema.

    pydantic can do that where the class is made (`use_attribute_docstrings`), but every command would then read the
    source of all tables once more, which takes as long as checking a signature does.
    """
    if not issubclass(table, Table):
        return
    for name, text in _texts(inspect.getsource(table)):
        key = table.model_fields[name].alias or name
        described = schema["properties"][key] | {"description": text}
        schema["properties"][key] = dict(sorted(described.items()))


def _texts(source: str) -> Iterator[tuple[str, str]]:
    """The fields of a class that a text stands below, and the text."""
    (tree,) = ast.parse(textwrap.dedent(source)).body
    for field, below in pairwise(getattr(tree, "body", ())):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references, null, and titles that only repeat the key."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = dict(node)
    if reference := node.pop("$ref", None):
        node = {**definitions[reference.rpartition("/")[2]], **node}
        if node.get("type") == "object":
            node.pop("default", None)  # a table's defaults stand at its keys
    if choices := node.get("anyOf"):
        choices = [choice for choice in choices if choice != {"type": "null"}]
        if len(choices) == 1:
            del node["anyOf"]
            return _plain({**choices[0], **node}, definitions)
        node["anyOf"] = choices
    node.pop("title", None)
    if node.get("default", ...) is None:
        del node["default"]
    if "patternProperties" in node:
        node["additionalProperties"] = False
    return {key: _child(key, value, definitions) for key, value in node.items()}


def _child(key: str, value: Any, definitions: dict[str, Any]) -> Any:
    """What stands under a keyword: `properties` maps names to schemas, and a default is a value, not a schema."""
    if key in {"properties", "patternProperties"}:
        return {name: _plain(schema, definitions) for name, schema in value.items()}
    return value if key in {"default", "examples", "enum", "required"} else _plain(value, definitions)
