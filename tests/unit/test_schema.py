"""The JSON Schema of mlenv.toml: the one that is checked in, and what it accepts and refuses."""

import json
import tomllib
from datetime import datetime
from functools import cache
from typing import Any

import jsonschema
import pytest
from support.home import CHECKOUT
from support.manifests import FULL, SMALL

from mlenv.errors import ManifestError
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_schema import manifest_schema
from mlenv.model.manifest_starter import starter_text
from mlenv.model.manifest_toml import parse_manifest

SCHEMA = CHECKOUT / "schema" / "mlenv.schema.json"


def as_an_editor_sees_it(text: str) -> Any:
    """Taplo hands times to the schema as strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.isoformat() if isinstance(value, datetime) else value

    return plain(tomllib.loads(text))


@cache
def the_schema() -> dict[str, Any]:
    return manifest_schema()


def check(text: str) -> None:
    jsonschema.Draft7Validator(the_schema()).validate(as_an_editor_sees_it(text))


def test_the_file_is_what_the_code_says() -> None:
    written = json.dumps(the_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == written, "run `mlenv schema > schema/mlenv.schema.json`"


def test_it_is_a_schema_of_draft_7_without_references() -> None:
    jsonschema.Draft7Validator.check_schema(the_schema())
    text = json.dumps(the_schema())
    for word in ("$ref", "$defs", '"null"', "prefixItems"):
        assert word not in text


@pytest.mark.parametrize("text", [SMALL, FULL, starter_text("a", schema=True)], ids=["small", "full", "starter"])
def test_right_files(text: str) -> None:
    check(text)
    parse_manifest(text)


@pytest.mark.parametrize(
    "lines",
    [
        "[enviroment]",
        "[python]\npackges = []",
        "[python]\npackages = 'x'",
        "[python]\nversion = '3'",
        "[base]\nimage = 'python:3.12@sha256:00'",
        "[base]\nimage = 'python'\ndebian = {}",
        "[base.debian]\npackages = []",
        "[[models]]\nname = 'a'",
        "[[models]]\nname='a'\nuri='ftp://x'\npath='/m'",
        "[[files]]\nsource='a'\ntarget='relative'",
        "[container]\nports = [8000]",
        "[container]\nread-only = 'yes'",
        "[container]\nenv = { 'a b' = 'c' }",
        "[container]\nenv = { a = 1 }",
        "[container.healthcheck]\ninterval = '1s'",
        "[container.healthcheck]\ncommand = ['a']\ninterval = 'soon'",
        "[resources]\nmemory = '16 gigs'",
        "[resources]\nmemory = 0",
        "[resources]\npids = 0",
        "[resources]\ncpus = 0",
        "[resources]\ngpus = { count = 1, mig = '1g.5gb' }",
        "[resources]\nulimits = { nofile = -2 }",
    ],
)
def test_wrong_files_are_wrong_for_both(lines: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(SMALL + lines)
    with pytest.raises(ManifestError):
        parse_manifest(SMALL + lines)


def test_every_key_is_described() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        for name, inner in schema.get("properties", {}).items():
            assert inner.get("description", "").endswith("."), f"{path}.{name}"
            walk(inner, f"{path}.{name}")
            walk(inner.get("items", {}), f"{path}.{name}[]")

    walk(the_schema(), "")


def test_every_key_of_the_model_is_in_the_schema() -> None:
    assert the_schema()["properties"].keys() == EnvironmentManifest.model_fields.keys()
