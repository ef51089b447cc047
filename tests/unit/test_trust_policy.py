"""trust.toml: what it means, and one clear problem for everything that is wrong with it."""

import json
import tomllib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from support.home import CHECKOUT
from support.signers import key_table, policy, policy_text, signer

from mlenv.errors import Problem, TrustPolicyError
from mlenv.model.digest import Digest
from mlenv.trust.keys import KeyType
from mlenv.trust.policy import RevocationReason, TrustedKey, TrustPolicy
from mlenv.trust.policy_rules import covers
from mlenv.trust.policy_schema import trust_schema

SCHEMA = CHECKOUT / "schema" / "mlenv.trust.schema.json"
SMALL = policy_text(["alice"])
PEM = signer("alice").public_key.pem
FULL = "\n".join(
    [
        "version = 1",
        key_table("alice", signer("alice").public_key, "valid-from = 2026-01-01T00:00:00+02:00"),
        key_table("'bob@example.com'", signer("bob", KeyType.ED25519).public_key, "valid-until = 2027-01-01T00:00:00Z"),
        key_table(
            "carol",
            signer("carol").public_key,
            "revoked = 2026-06-01T00:00:00Z",
            'revocation-reason = "superseded"',
        ),
        key_table("dave", signer("dave").public_key, "revoked = 2026-06-01T00:00:00Z"),
        key_table("ci", signer("ci").public_key),
        "[[environments]]",
        'name = "fraud-*"',
        'approvers = ["alice", "bob@example.com"]',
        'builders = ["ci"]',
        "threshold = 2",
        "minimum-serial = 7",
        'maximum-age = "90d"',
        "[[environments]]",
        'name = "*"',
        'approvers = ["alice"]',
        "",
    ]
)


def problems(text: str | bytes, filename: str = "trust.toml") -> list[Problem]:
    with pytest.raises(TrustPolicyError) as caught:
        TrustPolicy.parse(text if isinstance(text, bytes) else text.encode(), filename=filename)
    for problem in caught.value.problems:
        assert problem.hint, problem
        assert problem.where.startswith(filename), problem
        assert "\n" not in problem.message + problem.hint + problem.where
    return list(caught.value.problems)


def only(text: str | bytes) -> Problem:
    (problem,) = problems(text)
    return problem


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


# What it means


def test_the_example_of_the_normative_text() -> None:
    text = (CHECKOUT / "schema" / "trust.md").read_text(encoding="utf-8")
    start = text.index("    version = 1\n")
    example = "\n".join(line.removeprefix("    ") for line in text[start : text.index("\n`version`")].splitlines())
    for name in ("alice", "bob", "carol"):
        example = example.replace("…", "\n".join(PEM.splitlines()[1:-1]), 1)
        if name != "alice":
            example += "\n" + key_table(name, signer(name).public_key)
    found = TrustPolicy.parse(example.encode())
    assert [key.name for key in found.keys] == ["alice", "bob", "carol"]
    assert found.environments[0].threshold == 2


def test_every_value_of_a_full_policy() -> None:
    found = TrustPolicy.parse(FULL.encode())
    assert found.digest == Digest.of(FULL.encode())
    alice, bob, carol, dave, ci = found.keys
    assert alice == TrustedKey("alice", signer("alice").public_key, datetime(2025, 12, 31, 22, tzinfo=UTC))
    assert (bob.name, bob.public_key.type) == ("bob@example.com", KeyType.ED25519)
    assert bob.valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    assert (carol.revoked, carol.revocation_reason) == (datetime(2026, 6, 1, tzinfo=UTC), RevocationReason.SUPERSEDED)
    assert dave.revocation_reason is RevocationReason.KEY_COMPROMISE
    assert ci.revoked is None
    fraud, rest = found.environments
    assert (fraud.name, fraud.approvers, fraud.builders) == ("fraud-*", ("alice", "bob@example.com"), ("ci",))
    assert (fraud.threshold, fraud.minimum_serial, fraud.maximum_age) == (2, 7, timedelta(days=90))
    assert (rest.builders, rest.threshold, rest.minimum_serial, rest.maximum_age) == ((), 1, 1, None)


def test_the_first_rule_that_matches_is_the_rule() -> None:
    found = TrustPolicy.parse(FULL.encode())
    assert [found.rule(name) for name in ("fraud-eu", "fraud-", "fraud", "other")] == [
        found.environments[0],
        found.environments[0],
        found.environments[1],
        found.environments[1],
    ]
    assert policy("alice", environment="fraud-?").rule("fraud-eu") is None


def test_a_key_is_found_by_its_hint() -> None:
    found = TrustPolicy.parse(FULL.encode())
    for key in found.keys:
        assert found.key(key.public_key.hint) is key
    assert found.key(signer("mallory").public_key.hint) is None
    assert found.key("") is None


@pytest.mark.parametrize(
    ("written", "meant"), [("24h", timedelta(hours=24)), ("90d", timedelta(days=90)), ("12w", timedelta(weeks=12))]
)
def test_ages(written: str, meant: timedelta) -> None:
    assert policy("alice", lines=[f'maximum-age = "{written}"']).environments[0].maximum_age == meant


def test_line_endings_and_the_order_of_tables_do_not_matter() -> None:
    head, tables = SMALL.split("[[environments]]")
    turned = f"version = 1\n[[environments]]{tables}{head.removeprefix('version = 1')}".replace("\n", "\r\n")
    found = TrustPolicy.parse(turned.encode())
    assert (found.keys, found.environments) == (policy("alice").keys, policy("alice").environments)


# A policy of the moment


def test_keys_of_the_moment() -> None:
    keys = [signer(name).public_key for name in ("alice", "bob")]
    found = TrustPolicy.of_keys([*keys, keys[0]], 2)
    assert [key.name for key in found.keys] == [key.fingerprint.short for key in keys]
    (rule,) = found.environments
    assert (rule.name, rule.threshold, rule.minimum_serial) == ("*", 2, 1)
    assert rule.approvers == tuple(key.name for key in found.keys)
    assert found.digest == TrustPolicy.of_keys(keys[::-1], 2).digest != TrustPolicy.of_keys(keys, 1).digest


@pytest.mark.parametrize(("names", "threshold"), [([], 1), (["alice"], 0), (["alice"], 2), (["alice", "alice"], 2)])
def test_a_threshold_that_no_keys_can_reach(names: list[str], threshold: int) -> None:
    with pytest.raises(TrustPolicyError) as caught:
        TrustPolicy.of_keys([signer(name).public_key for name in names], threshold)
    (problem,) = caught.value.problems
    assert problem.message == f"a threshold of {threshold} for {len(set(names))} different keys"
    assert problem.where == "--threshold"
    assert problem.hint


# Patterns


@pytest.mark.parametrize(
    ("pattern", "name", "does"),
    [
        ("*", "", True),
        ("*", "a", True),
        ("?", "a", True),
        ("?", "", False),
        ("?", "ab", False),
        ("a*c", "ac", True),
        ("a*c", "abbc", True),
        ("a*c", "abcd", False),
        ("a*b*c", "aXbYbZc", True),
        ("*a", "aaa", True),
        ("*ab", "aab", True),
        ("a?c*", "abc", True),
        ("a", "A", False),
        ("a.c", "abc", False),
        ("fraud", "fraud-eu", False),
        ("**", "a", True),
        ("a" * 100 + "*" * 28, "a" * 100, True),
        ("*a" * 60, "a" * 10_000 + "b", False),
        # Patterns that cover patterns
        ("*", "*", True),
        ("*", "a?*", True),
        ("a*", "ab*", True),
        ("ab*", "a*", False),
        ("?", "*", False),
        ("a?", "a?", True),
        ("a?", "ab", True),
        ("ab", "a?", False),
        ("*-eu", "fraud-*-eu", True),
        ("a*b", "a*b", True),
    ],
)
def test_what_patterns_match(pattern: str, name: str, does: bool) -> None:
    assert covers(pattern, name) is does


# What is wrong


def test_a_place_has_the_line_and_the_path() -> None:
    text = SMALL.replace("threshold = 1", "threshold = 2")
    problem = only(text)
    assert problem.where == f"trust.toml:{line_of(text, 'threshold')} environments[0].threshold"
    assert problem.message == "2 of 1 approvers can never have signed"


def test_all_problems_are_told_at_once() -> None:
    text = (
        SMALL.replace("threshold = 1", "treshold = 1")
        + key_table("alicia", signer("alice").public_key, "valid-from = 2026-01-01T00:00:00")
        + key_table("alina", signer("alice").public_key, 'revocation-reason = "superseded"')
        + '[[environments]]\nname = "more"\napprovers = ["nobody"]\n'
    )
    found = problems(text)
    assert [problem.where.partition(" ")[2] for problem in found] == [
        "environments[0].treshold",
        "keys.alicia.valid-from",
        "keys.alina.public-key",
        "keys.alina.revocation-reason",
        "environments[1].approvers[0]",
    ]
    lines = [int(problem.where.partition(":")[2].partition(" ")[0]) for problem in found]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        (SMALL.replace("version = 1", ""), "1", "the key 'version' is missing", "add version"),
        ("version = 2\nanything = 1", "1 version", "policy version 2, this mlenv reads 1", "or a newer one"),
        (SMALL.replace("version = 1", "version = true"), "1 version", "the version is not an integer", "version = 1"),
        (SMALL.replace("version = 1", "version = 1.0"), "1 version", "the version is not an integer", "version = 1"),
        (SMALL.replace("version = 1", 'version = "1"'), "1 version", "the version is not an integer", "version = 1"),
        ("version = \n", "1:11", "not TOML: Invalid value", "see https://toml.io"),
        (SMALL + "a = 1\na = 2\n", "", "not TOML: Cannot overwrite a value", "see https://toml.io"),
        ("\ufeff" + SMALL, "1:1", "not TOML", "without a byte order mark"),
        ("version = nan", "1 version", "not a number: nan", "write a finite number"),
        (f"version = {2**63}", "1 version", "an integer beyond 64 bits", "write a smaller one"),
        (f"version = {'1' * 5000}", "1", "not TOML: Exceeds the limit", "see https://toml.io"),
        (f"a = {'[' * 5000}{']' * 5000}", "1", "values are nested too deep", "no value needs that"),
        ("a" + ".a" * 400_000 + " = 1", "1", "a key of more than 32 parts", "no value needs that"),
        ("'a'" + '. "\\" \u00e9"' * 40 + " = 1", "1", "a key of more than 32 parts", "no value needs that"),
        ("[" + "'a' . " * 40 + "a]", "1", "a key of more than 32 parts", "no value needs that"),
        (f"a = {'[' * 50}{']' * 50}", "1 a[0][0][0]", "values are nested too deep", "no value needs that"),
        ("keys = 1\nenvironments = 1\nversion = 1", "1 keys", "expected a table, found an integer", "write {"),
        (SMALL.partition("[[")[0], "1", "the key 'environments' is missing", "add environments"),
        ("version = 1\nkeys = {}\nenvironments = []", "2 keys", "expected at least one value", "add one"),
    ],
)
def test_documents_that_are_none(text: str, where: str, message: str, hint: str) -> None:
    first = problems(text)[0]
    assert first.where.startswith(f"trust.toml:{where}")
    assert first.message.startswith(message)
    assert hint in first.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version = 1\n# \xff", "not UTF-8"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        ("a".encode("utf-16"), "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, message: str) -> None:
    problem = only(data)
    assert problem.message == message
    if data.startswith(b"version"):
        assert problem.where == "trust.toml:2"


def test_the_largest_policy() -> None:
    text = SMALL + "#" * ((1 << 20) - len(SMALL))
    assert TrustPolicy.parse(text.encode()).environments


def key_with(*lines: str) -> str:
    return policy_text(["alice"], keys={"alice": lines})


def rule_with(**changes: str) -> str:
    """SMALL with other values at keys of its rule, or further ones; written as in TOML."""
    head, rule = SMALL.split("[[environments]]\n")
    held = dict(line.split(" = ") for line in rule.splitlines()) | {
        key.replace("_", "-"): value for key, value in changes.items()
    }
    return f"{head}[[environments]]\n" + "".join(f"{key} = {value}\n" for key, value in held.items())


RULE = 'approvers = ["alice"]\n'


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        (
            SMALL.replace("[keys.alice]", '[keys."al ice"]'),
            "keys.'al ice'",
            "not a name of a key: 'al ice'",
            "up to 64",
        ),
        (key_with("valid_from = 2026-01-01T00:00:00Z"), "keys.alice.valid_from", "unknown key", '"valid-from"?'),
        (key_with("revokd = 2026-01-01T00:00:00Z"), "keys.alice.revokd", "unknown key 'revokd'", '"revoked"?'),
        (key_with("revoked = 2026-01-01"), "keys.alice.revoked", "not a moment in time: a date", "without quotes"),
        (key_with('revoked = "2026-01-01T00:00:00Z"'), "keys.alice.revoked", "not a moment in time", "without quotes"),
        (key_with("revoked = 2026-01-01T00:00:00"), "keys.alice.revoked", "a time without a time zone", "for UTC"),
        (
            key_with("revoked = 2026-01-01T00:00:00Z", 'revocation-reason = "lost"'),
            "keys.alice.revocation-reason",
            "should be 'key-compromise' or 'superseded'",
            "another value",
        ),
        (
            key_with('revocation-reason = "superseded"'),
            "keys.alice.revocation-reason",
            "the key 'alice' has a",
            "since when",
        ),
        (
            key_with("valid-from = 2026-02-01T00:00:00Z", "valid-until = 2026-02-01T00:00:00Z"),
            "keys.alice.valid-until",
            "the key 'alice' is valid until 2026-02-01T00:00:00Z, which is not after",
            "after valid-from",
        ),
        (SMALL.replace("PUBLIC KEY", "PRIVATE KEY"), "keys.alice.public-key", "a private key", ".pub"),
        (SMALL.replace("BEGIN", "START"), "keys.alice.public-key", "not a public key", "PEM"),
        (
            SMALL.replace(f'"""\n{PEM}"""', "1"),
            "keys.alice.public-key",
            "not a public key as PEM text",
            '.pub file, and """',
        ),
        (SMALL.replace(PEM, "x"), "keys.alice.public-key", "not a public key", "PEM"),
        (rule_with(name='"[a-z]"'), "environments[0].name", "not a pattern of environment names: '[a-z]'", "with *"),
        (rule_with(name='"Fraud-*"'), "environments[0].name", "not a pattern of environment names", "with *"),
        (rule_with(name='""'), "environments[0].name", "not a pattern of environment names", "with *"),
        (rule_with(approvers="[]"), "environments[0].approvers", "expected at least one value", "add one"),
        (
            rule_with(builders='["ci"' + ', "ci"' * 1000 + "]"),
            "environments[0].builders",
            "more than 1000",
            "remove some",
        ),
        (rule_with(approvers='"alice"'), "environments[0].approvers", "expected an array, found a string", "[ ]"),
        (
            rule_with(approvers='["alice", "alice"]'),
            "environments[0].approvers[1]",
            "'alice' stands there",
            "remove one",
        ),
        (
            rule_with(approvers='["alice", "bob"]'),
            "environments[0].approvers[1]",
            "there is no key 'bob'",
            "[keys.bob]",
        ),
        (rule_with(builders='["bob"]'), "environments[0].builders[0]", "there is no key 'bob'", "[keys.bob]"),
        (
            rule_with(builders='["alice"]'),
            "environments[0].builders[0]",
            "'alice' is an approver of '*' too",
            "of its own",
        ),
        (rule_with(threshold="0"), "environments[0].threshold", "should be greater than or equal to 1", "another"),
        (rule_with(threshold="1.0"), "environments[0].threshold", "expected an integer, found a number", "point"),
        (rule_with(threshold="true"), "environments[0].threshold", "expected an integer, found a boolean", "point"),
        (rule_with(threshold='"1"'), "environments[0].threshold", "expected an integer, found a string", "quotes"),
        (rule_with(minimum_serial="0"), "environments[0].minimum-serial", "should be greater than or equal", "another"),
        (rule_with(maximum_age='"90"'), "environments[0].maximum-age", "not an age: '90'", '"90d"'),
        (rule_with(maximum_age='"0d"'), "environments[0].maximum-age", "not an age: '0d'", '"90d"'),
        (rule_with(maximum_age='"90 days"'), "environments[0].maximum-age", "not an age: '90 days'", '"90d"'),
        (rule_with(maximum_age="90"), "environments[0].maximum-age", "not an age: '90'", '"90d"'),
        (
            rule_with(expires='"90d"'),
            "environments[0].expires",
            "unknown key 'expires'",
            "known are approvers, builders",
        ),
        (SMALL + "[trust]\n", "trust", "unknown key 'trust'", "known are environments, keys, version"),
        (SMALL.replace('name = "*"\n', ""), "environments[0]", "the key 'name' is missing", "add environments[0].name"),
        (
            SMALL.replace("[keys.alice]\npublic-key", "[keys.alice]\nkey"),
            "keys.alice",
            "the key 'public-key' is",
            "add keys",
        ),
    ],
)
def test_one_thing_that_is_wrong(text: str, path: str, message: str, hint: str) -> None:
    by_path = {problem.where.partition(" ")[2]: problem for problem in problems(text)}
    assert path in by_path
    assert by_path[path].message.startswith(message)
    assert hint in by_path[path].hint


def test_a_kind_of_key_that_mlenv_does_not_use() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    other = ec.derive_private_key(7, ec.SECP384R1()).public_key()
    pem = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert "mlenv does not use" in only(SMALL.replace(PEM, pem)).message


def test_one_key_under_two_names() -> None:
    text = SMALL + key_table("bob", signer("alice").public_key)
    problem = only(text)
    assert problem.message == "the keys 'alice' and 'bob' are one key: a threshold counts keys, not names"
    assert problem.where.endswith(" keys.bob.public-key")


def compressed(pem: str) -> str:
    """A P-256 key with its point compressed (RFC 5480 section 2.2)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    point = load_pem_public_key(pem.encode()).public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    return f"-----BEGIN PUBLIC KEY-----\n{b64encode(head + point).decode()}\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("pem", [f"\n\n{PEM}\n", PEM.replace("\n", "\n\n"), compressed(PEM)])
def test_one_key_written_in_two_ways(pem: str) -> None:
    problem = only(SMALL + f'[keys.bob]\npublic-key = """\n{pem}"""\n')
    assert problem.message.startswith("the keys 'alice' and 'bob' are one key")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("*", "fraud"), ("*", "*"), ("fraud", "fraud"), ("fraud-*", "fraud-eu"), ("fr*", "fraud-*"), ("fraud?", "fraud2")],
)
def test_a_rule_that_is_never_reached(earlier: str, later: str) -> None:
    text = policy_text(["alice"], environment=earlier) + f'[[environments]]\nname = "{later}"\n{RULE}'
    problem = only(text)
    assert problem.where == f"trust.toml:{text[: text.rindex('name')].count(chr(10)) + 1} environments[1].name"
    assert problem.message == (
        f"the rule {later!r} is never reached: {earlier!r} (environments[0].name) matches all of its names"
    )
    turned = policy_text(["alice"], environment=later) + f'[[environments]]\nname = "{earlier}"\n{RULE}'
    if earlier != later:
        TrustPolicy.parse(turned.encode())


def test_the_file_is_called_by_its_name() -> None:
    assert problems("version = 1", "/etc/mlenv/trust.toml")[0].where.startswith("/etc/mlenv/trust.toml:1")


# Its JSON Schema


def as_an_editor_sees_it(value: Any) -> Any:
    """Taplo hands times to the schema as strings."""
    if isinstance(value, dict):
        return {key: as_an_editor_sees_it(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_an_editor_sees_it(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def check(text: str) -> None:
    jsonschema.Draft7Validator(trust_schema()).validate(as_an_editor_sees_it(tomllib.loads(text)))


def test_the_schema_that_is_checked_in_is_what_the_code_says() -> None:
    written = json.dumps(trust_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == written, "run `mlenv schema trust > schema/mlenv.trust.schema.json`"
    jsonschema.Draft7Validator.check_schema(trust_schema())
    assert "$ref" not in written


@pytest.mark.parametrize("text", [SMALL, FULL], ids=["small", "full"])
def test_right_policies_are_right_for_the_schema(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        "version = 1",
        SMALL.replace("version = 1", "version = 2"),
        SMALL.replace("[keys.alice]", '[keys."al ice"]'),
        SMALL.replace("PUBLIC KEY", "PRIVATE KEY"),
        key_with("valid_from = 2026-01-01T00:00:00Z"),
        rule_with(name='"[a-z]"'),
        rule_with(approvers="[]"),
        rule_with(threshold="0"),
        rule_with(maximum_age='"0d"'),
        rule_with(maximum_age="90"),
        rule_with(expires='"90d"'),
    ],
)
def test_wrong_policies_are_wrong_for_the_schema(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(text)
    problems(text)


def test_every_key_of_the_schema_is_described() -> None:
    def walk(schema: dict[str, Any], path: str) -> None:
        inner = schema.get("properties", {}) | schema.get("patternProperties", {})
        for name, one in inner.items():
            assert one.get("description", "").endswith("."), f"{path}.{name}"
            walk(one, f"{path}.{name}")
            walk(one.get("items", {}), f"{path}.{name}[]")

    walk(trust_schema(), "")
