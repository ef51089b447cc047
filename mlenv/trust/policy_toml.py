"""The bytes of trust.toml -> its tables, or everything that is wrong with them at once."""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mlenv.errors import Problem, TrustPolicyError
from mlenv.model.toml_file import Contradiction, NotTomlError, described, impossible_numbers, located, read_toml
from mlenv.trust.policy_file import LARGEST_POLICY, MOST_RULES, POLICY_VERSION, EnvironmentRule, KeyTable, PolicyFile
from mlenv.trust.policy_rules import contradictions

Kind = TypeVar("Kind", bound=BaseModel)


def read_policy(data: bytes, filename: str) -> PolicyFile:
    """The tables, or a TrustPolicyError with every problem: `trust.toml:12 environments[0].threshold`, and a hint."""
    text = _text(data, filename)
    try:
        document = read_toml(text, filename)
    except NotTomlError as error:
        raise TrustPolicyError(problems=[error.problem]) from None
    found = [*impossible_numbers(document)] or [*_version(document)] or [*_problems(document)]
    if found:
        raise TrustPolicyError(problems=located(found, text, filename))
    return PolicyFile.model_validate(document)


def _text(data: bytes, filename: str) -> str:
    if len(data) > LARGEST_POLICY:
        problem = f"larger than {LARGEST_POLICY >> 20} MiB"
        raise TrustPolicyError(problem, where=filename, hint="is it a trust policy at all?")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TrustPolicyError(
            problems=[Problem("not UTF-8", f"{filename}:{line}", "save the file as UTF-8")]
        ) from None


def _version(document: dict[str, Any]) -> Iterator[Contradiction]:
    """Another version is the only thing that is said of its file: all else may mean something else there."""
    version = document.get("version", POLICY_VERSION)
    if type(version) is not int:  # for Python, true and 1.0 are 1
        yield Contradiction(("version",), "the version is not an integer", f"write version = {POLICY_VERSION}")
    elif version != POLICY_VERSION:
        message = f"policy version {version}, this mlenv reads {POLICY_VERSION}"
        yield Contradiction(("version",), message, "use the mlenv that it was written for, or a newer one")


def _problems(document: dict[str, Any]) -> Iterator[Contradiction]:
    try:
        PolicyFile.model_validate(document)
    except ValidationError as error:
        yield from described(error, PolicyFile)
    keys, rules = document.get("keys"), document.get("environments")
    yield from contradictions(
        {name: _read(KeyTable, key) for name, key in keys.items()} if isinstance(keys, dict) else {},
        [_read(EnvironmentRule, rule) for rule in rules[:MOST_RULES]] if isinstance(rules, list) else [],
    )


def _read(table: type[Kind], value: Any) -> Kind | None:
    try:
        return table.model_validate(value)
    except ValidationError:
        return None
