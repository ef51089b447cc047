"""Changes to the text of trust.toml that leave comments, order and white space as somebody wrote them."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from mlenv.errors import TrustPolicyError, UsageError
from mlenv.model.toml_places import Path, places
from mlenv.model.toml_writer import write_toml
from mlenv.trust.keys import PublicKey
from mlenv.trust.policy import RevocationReason, TrustedKey, TrustPolicy
from mlenv.trust.policy_file import KeyName, Pattern
from mlenv.trust.policy_rules import covers

FIRST_TEXT: Final = """\
# Whose approval of a lock counts here. `mlenv trust` edits this file, and so may you.
version = 1
"""
"""What a policy begins with that nobody wrote anything into yet."""

Role = Literal["approver", "builder"]


def add_key(
    text: str,
    name: str,
    public_key: PublicKey,
    *,
    pattern: str = "*",
    role: Role = "approver",
    threshold: int | None = None,
    filename: str = "trust.toml",
) -> str:
    """The policy with that key in that role of the rule of that very pattern.

    A rule that is new stands before the first one that would otherwise decide for all that it matches, else at the end.
    UsageError where the policy says otherwise already, TrustPolicyError where it is wrong or cannot be edited.
    """
    _check_word(KeyName, name)
    _check_word(Pattern, pattern)
    document = _document(text, filename)
    known = document.get("keys", {})
    if known:
        _check_key(TrustPolicy.parse(text.encode(), filename=filename), name, public_key)
    if name not in known:
        document.setdefault("keys", {})[name] = {"public-key": public_key.pem}
        block = f'[keys.{_key(name)}]\npublic-key = """\n{public_key.pem}"""\n'
        text = _with_block(text, block, _first_rule(text))
    rules = document.setdefault("environments", [])
    index = next((index for index, rule in enumerate(rules) if rule["name"] == pattern), None)
    if index is None:
        text = _with_rule(text, rules, _new_rule(name, pattern, role, threshold))
    else:
        text = _with_member(text, index, rules[index], name, role, filename)
        if threshold is not None:
            _check_threshold(threshold, rules[index])
            text = _with_value(text, ("environments", index), "threshold", threshold, rules[index], filename)
    return _checked(text, document, filename)


def revoke_key(
    text: str,
    name: str,
    *,
    at: datetime,
    reason: RevocationReason = RevocationReason.KEY_COMPROMISE,
    filename: str = "trust.toml",
) -> str:
    """The policy with that key revoked; the same text where it is revoked as strictly already.

    A compromised key stays one, and a revocation never moves to a later time. UsageError for a name that the policy
    does not have, TrustPolicyError where it is wrong or cannot be edited.
    """
    key = _named(TrustPolicy.parse(text.encode(), filename=filename), name)
    if key.revoked and (key.revocation_reason, key.revoked) <= (reason, at):  # "key-compromise" < "superseded"
        return text
    document = _document(text, filename)
    table = document["keys"][name]
    moment = at.astimezone(UTC).replace(microsecond=0)
    text = _with_value(text, ("keys", name), "revocation-reason", str(reason), table, filename)
    text = _with_value(text, ("keys", name), "revoked", moment, table, filename)
    return _checked(text, document, filename)


def _check_word(kind: Any, word: str) -> None:
    """UsageError for a name or a pattern that no policy can have."""
    try:
        TypeAdapter(kind).validate_python(word)
    except ValidationError as error:
        cause = error.errors()[0]["ctx"]["error"]
        raise UsageError(str(cause), hint=cause.hint) from None


def _check_key(policy: TrustPolicy, name: str, public_key: PublicKey) -> None:
    """UsageError where the name is another key's, or the key has another name, or is revoked."""
    for key in policy.keys:
        if (key.name == name) != (key.public_key == public_key):
            raise UsageError(
                f"{name} is another key in the policy ({key.public_key.fingerprint.short}…)"
                if key.name == name
                else f"this key is in the policy already, as {key.name}",
                hint="give the new key another name, and revoke the old one"
                if key.name == name
                else f"add it under that name: `mlenv trust add {key.name} …`",
            )
        if key.name == name and key.revoked:
            raise UsageError(f"{name} is revoked", hint="add a new key, under another name")


def _named(policy: TrustPolicy, name: str) -> TrustedKey:
    for key in policy.keys:
        if key.name == name:
            return key
    names = ", ".join(key.name for key in policy.keys)
    raise UsageError(f"the policy has no key {name!a}", hint=f"its keys are {names}")


def _new_rule(name: str, pattern: str, role: Role, threshold: int | None) -> dict[str, Any]:
    if role == "builder":
        hint = f"add an approver first: `mlenv trust add NAME --key FILE --environment '{pattern}'`"
        raise UsageError(f"there is no rule for {pattern!r} yet, and a rule needs an approver", hint=hint)
    rule: dict[str, Any] = {"name": pattern, "approvers": [name]}
    if threshold is not None:
        _check_threshold(threshold, rule)
        rule["threshold"] = threshold
    return rule


def _check_threshold(threshold: int, rule: Mapping[str, Any]) -> None:
    approvers = rule["approvers"]
    if not 1 <= threshold <= len(approvers):
        there = f"{len(approvers)} approver{'s' * (len(approvers) != 1)}"
        raise UsageError(
            f"a threshold of {threshold} where {rule['name']!r} has {there} ({', '.join(approvers)})",
            hint="give --threshold with the last approver that you add"
            if threshold > 1
            else "give a threshold of at least 1",
        )


def _with_rule(text: str, rules: list[dict[str, Any]], rule: dict[str, Any]) -> str:
    """A rule after the first that decides for all that it matches would never be tried: it goes before that one."""
    at = next((index for index, other in enumerate(rules) if covers(other["name"], rule["name"])), len(rules))
    block = "[[environments]]\n" + write_toml(rule)
    line = places(text).get(("environments", at)) if at < len(rules) else None
    rules.insert(at, rule)
    return _with_block(text, block, line)


def _with_member(text: str, index: int, rule: dict[str, Any], name: str, role: Role, filename: str) -> str:
    field, other = ("approvers", "builders") if role == "approver" else ("builders", "approvers")
    if name in rule.get(other, ()):
        hint = "give the other role to a key of its own: who approves does not build"
        raise UsageError(f"{name} is one of the {other} of {rule['name']!r} already", hint=hint)
    members: list[str] = rule.get(field, [])
    if name in members:
        return text
    if field not in rule:
        return _with_value(text, ("environments", index), field, [name], rule, filename)
    rule[field] = [*members, name]
    with _editing(filename) as tomlkit:
        document = tomlkit.parse(text)
        document["environments"][index][field].append(name)
        return str(tomlkit.dumps(document))


def _with_value(text: str, table: Path, key: str, value: Any, there: dict[str, Any], filename: str) -> str:
    """A key of a table, where it stands already, else on a line of its own at the head of the table."""
    present = key in there
    there[key] = value
    lines = _lines(text)
    head = places(text)[table]
    if not present and lines[head - 1].lstrip().startswith("["):
        named = places(text).get((*table, "name"), head)
        lines.insert(max(head, named), _newlines(text, write_toml({key: value})))
        return "".join(lines)
    with _editing(filename) as tomlkit:
        document = tomlkit.parse(text)
        place: Any = document
        for part in table:
            place = place[part]
        place[key] = value
        return str(tomlkit.dumps(document))


def _with_block(text: str, block: str, before: int | None) -> str:
    """A table of its own, before that line and the comments right above it, else at the end."""
    lines = _lines(text)
    if before is None:
        end = "" if not text or text.endswith("\n") else "\n"
        return text + _newlines(text, f"{end}\n{block}")
    at = before - 1
    while at and lines[at - 1].startswith("#"):
        at -= 1
    lines.insert(at, _newlines(text, f"{block}\n"))
    return "".join(lines)


def _first_rule(text: str) -> int | None:
    line = places(text).get(("environments", 0))
    return line if line and _lines(text)[line - 1].startswith("[[") else None


def _lines(text: str) -> list[str]:
    """The lines of TOML, each with its end."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _newlines(text: str, added: str) -> str:
    return added.replace("\n", "\r\n") if "\r\n" in text else added


def _key(name: str) -> str:
    """The name as a key in TOML."""
    return write_toml({name: 0}).partition(" = ")[0]


def _document(text: str, filename: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise TrustPolicyError(f"not TOML: {error}", where=filename, hint="correct it by hand first") from None


@contextmanager
def _editing(filename: str) -> Iterator[Any]:
    """tomlkit; what it cannot do is a TrustPolicyError."""
    import tomlkit  # noqa: PLC0415 -- only an edit needs it
    from tomlkit.exceptions import TOMLKitError  # noqa: PLC0415 -- as above

    try:
        yield tomlkit
    except TOMLKitError as error:
        raise _uneditable(filename) from error


def _checked(text: str, wanted: Mapping[str, Any], filename: str) -> str:
    """The text, once it says what is wanted and nothing else, and is a policy."""
    try:
        same = tomllib.loads(text) == wanted
    except ValueError:
        same = False
    if not same:
        raise _uneditable(filename)
    TrustPolicy.parse(text.encode(), filename=filename)
    return text


def _uneditable(filename: str) -> TrustPolicyError:
    hint = "write [keys.NAME] and [[environments]] as tables of their own, or edit it by hand"
    return TrustPolicyError("cannot be edited without changing more", where=filename, hint=hint)
