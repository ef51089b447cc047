"""Edits of trust.toml: what they write, what they leave as it is, and what they refuse."""

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from support.signers import signer

from mlenv.errors import TrustPolicyError, UsageError
from mlenv.trust.keys import KeyType, PublicKey
from mlenv.trust.policy import RevocationReason, TrustPolicy
from mlenv.trust.policy_check import policy_problems
from mlenv.trust.policy_edit import FIRST_TEXT, add_key, revoke_key

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def public(name: str) -> PublicKey:
    return signer(name, KeyType.ED25519).public_key


def pem(name: str) -> str:
    return public(name).pem


COMMENTED = f"""\
# head
version = 1  # always 1

# Alice's laptop
[keys.alice] # since spring
public-key = '''
{pem("alice")}'''
# Bob signs from home

[keys . "bob"]
public-key = \"\"\"
{pem("bob")}\"\"\"  # old one

# The money:
# two of them
[[environments]]
name = "fraud-*"   # all of them
approvers = [
    "alice",  # head of it
    # and
    "bob",
]
threshold = 2

# The rest
[[environments]]
approvers = ["bob"]
name = "*"
# the end
"""


def added(text: str, new: str) -> list[str]:
    """The lines of `new` that are more than those of `text`, which are all there in their order."""
    old, more = text.splitlines(), []
    for line in new.splitlines():
        if old and line == old[0]:
            old.pop(0)
        else:
            more.append(line)
    assert old == [], f"gone or changed: {old}"
    return more


def test_a_first_key_makes_a_policy() -> None:
    text = add_key(FIRST_TEXT, "alice", public("alice"))
    assert tomllib.loads(text) == {
        "version": 1,
        "keys": {"alice": {"public-key": pem("alice")}},
        "environments": [{"name": "*", "approvers": ["alice"]}],
    }
    assert text.startswith(FIRST_TEXT)
    assert TrustPolicy.parse(text.encode()).key(public("alice").hint)


def test_a_key_joins_the_rule_of_that_very_pattern() -> None:
    text = add_key(COMMENTED, "carol", public("carol"), pattern="fraud-*", threshold=3)
    assert text.count("# ") == COMMENTED.count("# ")
    assert '    "bob",\n    "carol",\n]\nthreshold = 3\n' in text
    assert text.index("[keys.carol]") < text.index("# The money:\n# two of them\n[[environments]]")
    rule = TrustPolicy.parse(text.encode()).environments[0]
    assert (rule.approvers, rule.threshold) == (("alice", "bob", "carol"), 3)


def test_a_first_builder_and_a_first_threshold_get_lines_of_their_own() -> None:
    text = add_key(COMMENTED, "ci", public("ci"), role="builder")
    assert added(COMMENTED, text) == [
        "[keys.ci]",
        'public-key = """',
        *pem("ci").splitlines(),
        '"""',
        "",
        'builders = ["ci"]',
    ]
    assert 'name = "*"\nbuilders = ["ci"]\n# the end\n' in text
    text = add_key(COMMENTED, "alice", public("alice"), threshold=2)
    assert 'approvers = ["bob", "alice"]\nname = "*"\nthreshold = 2\n# the end\n' in text


@pytest.mark.parametrize(
    ("pattern", "order"),
    [
        ("small", ["fraud-*", "small", "*"]),
        ("fraud-eu", ["fraud-eu", "fraud-*", "*"]),
        ("fraud-e?", ["fraud-e?", "fraud-*", "*"]),
        ("f*", ["fraud-*", "f*", "*"]),
    ],
)
def test_a_new_rule_stands_where_it_is_reached(pattern: str, order: list[str]) -> None:
    text = add_key(COMMENTED, "alice", public("alice"), pattern=pattern)
    policy = TrustPolicy.parse(text.encode())
    assert [rule.name for rule in policy.environments] == order
    assert added(COMMENTED, text) == ["[[environments]]", f'name = "{pattern}"', 'approvers = ["alice"]', ""]
    assert "# The rest\n[[environments]]\napprovers" in text
    assert "# The money:\n# two of them\n[[environments]]\nname" in text


def test_a_rule_that_nothing_covers_comes_last() -> None:
    text = COMMENTED.replace('name = "*"', 'name = "small"')
    edited = add_key(text, "alice", public("alice"))
    assert edited == f'{text}\n[[environments]]\nname = "*"\napprovers = ["alice"]\n'


def test_what_is_there_already_changes_nothing() -> None:
    assert add_key(COMMENTED, "alice", public("alice"), pattern="fraud-*") == COMMENTED
    assert add_key(COMMENTED, "alice", public("alice"), pattern="fraud-*", threshold=2) == COMMENTED


def test_windows_line_ends_and_a_missing_last_one() -> None:
    windows = COMMENTED.replace("\n", "\r\n")
    for text in (
        add_key(windows, "carol", public("carol"), pattern="small"),
        add_key(windows, "carol", public("carol"), role="builder"),
        revoke_key(windows, "bob", at=NOW),
    ):
        assert "\n" not in text.replace("\r\n", "")
    text = add_key(COMMENTED.rstrip("\n").replace('name = "*"', 'name = "x"'), "alice", public("alice"))
    assert TrustPolicy.parse(text.encode()).environments[2].name == "*"


def test_characters_that_only_python_takes_for_line_ends() -> None:
    text = COMMENTED.replace("# head", "# head \u2028 \x85 of it")
    edited = add_key(text, "carol", public("carol"), pattern="small")
    assert edited.replace("# head \u2028 \x85 of it", "# head") == add_key(
        COMMENTED, "carol", public("carol"), pattern="small"
    )


def test_a_name_that_is_no_bare_key() -> None:
    text = add_key(COMMENTED, "ci@x.org", public("ci"), role="builder")
    assert '[keys."ci@x.org"]' in text
    assert revoke_key(text, "ci@x.org", at=NOW) != text


@pytest.mark.parametrize(
    ("name", "key", "options", "says"),
    [
        ("carol d", "carol", {}, "not a name of a key: 'carol d'"),
        ("", "carol", {}, "not a name of a key: ''"),
        ("carol", "carol", {"pattern": "Fraud"}, "not a pattern of environment names: 'Fraud'"),
        ("carol", "carol", {"pattern": ""}, "not a pattern of environment names: ''"),
        ("alice", "carol", {}, "alice is another key in the policy"),
        ("carol", "alice", {}, "this key is in the policy already, as alice"),
        ("carol", "carol", {"role": "builder", "pattern": "new"}, "a rule needs an approver"),
        ("alice", "alice", {"role": "builder", "pattern": "fraud-*"}, "alice is one of the approvers of 'fraud-*'"),
        ("carol", "carol", {"threshold": 3}, "a threshold of 3 where '*' has 2 approvers (bob, carol)"),
        ("carol", "carol", {"threshold": 0}, "a threshold of 0"),
        ("carol", "carol", {"threshold": 2, "pattern": "new"}, "a threshold of 2 where 'new' has 1 approver (carol)"),
    ],
)
def test_what_cannot_be_added(name: str, key: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        add_key(COMMENTED, name, public(key), **options)
    assert says in str(caught.value)
    assert all(problem.hint for problem in caught.value.problems)


def test_a_builder_does_not_become_an_approver_and_a_revoked_key_nothing() -> None:
    text = add_key(COMMENTED, "ci", public("ci"), role="builder")
    with pytest.raises(UsageError, match="ci is one of the builders of"):
        add_key(text, "ci", public("ci"))
    with pytest.raises(UsageError, match="alice is revoked"):
        add_key(revoke_key(COMMENTED, "alice", at=NOW), "alice", public("alice"))


def test_a_revoked_key_stays_and_does_not_count() -> None:
    text = revoke_key(COMMENTED, "alice", at=NOW)
    assert added(COMMENTED, text) == ["revoked = 2026-06-01T12:00:00Z", 'revocation-reason = "key-compromise"']
    assert "[keys.alice] # since spring\nrevoked" in text
    key = TrustPolicy.parse(text.encode()).named("alice")
    assert key.refusal(NOW - timedelta(days=1), NOW)
    text = revoke_key(COMMENTED, "bob", at=NOW, reason=RevocationReason.SUPERSEDED)
    key = TrustPolicy.parse(text.encode()).named("bob")
    assert key.refusal(NOW, NOW)
    assert not key.refusal(NOW - timedelta(seconds=1), NOW)


def test_the_time_is_written_in_utc_with_whole_seconds() -> None:
    at = datetime(2026, 6, 1, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert revoke_key(COMMENTED, "alice", at=at) == revoke_key(COMMENTED, "alice", at=NOW)


COMPROMISED, SUPERSEDED = RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED


@pytest.mark.parametrize(
    ("first", "second", "changes"),
    [
        ((NOW, COMPROMISED), (NOW, COMPROMISED), False),
        ((NOW, COMPROMISED), (NOW + timedelta(days=1), COMPROMISED), False),
        ((NOW, COMPROMISED), (NOW - timedelta(days=1), SUPERSEDED), False),
        ((NOW, SUPERSEDED), (NOW + timedelta(days=1), SUPERSEDED), False),
        ((NOW, SUPERSEDED), (NOW - timedelta(days=1), SUPERSEDED), True),
        ((NOW, SUPERSEDED), (NOW + timedelta(days=1), COMPROMISED), True),
        ((NOW, COMPROMISED), (NOW - timedelta(days=1), COMPROMISED), True),
    ],
)
def test_a_revocation_only_becomes_stricter(
    first: tuple[datetime, RevocationReason], second: tuple[datetime, RevocationReason], changes: bool
) -> None:
    once = revoke_key(COMMENTED, "alice", at=first[0], reason=first[1])
    twice = revoke_key(once, "alice", at=second[0], reason=second[1])
    assert (twice != once) == changes
    key = TrustPolicy.parse(twice.encode()).named("alice")
    assert (key.revoked, key.revocation_reason) == (second if changes else first)
    assert len(twice.splitlines()) == len(once.splitlines())


def test_who_is_not_there_cannot_be_revoked() -> None:
    with pytest.raises(UsageError, match="the policy has no key 'eve'") as caught:
        revoke_key(COMMENTED, "eve", at=NOW)
    assert caught.value.problems[0].hint == "its keys are alice, bob"


INLINE = 'environments = [{ name = "*", approvers = ["alice"] }]\n'
TABLES = '[[environments]]\nname = "*"\napprovers = ["alice"]\n'
SHAPES = {
    "all inline": 'version = 1\nkeys = { alice = { public-key = "KEY" } }\n' + INLINE,
    "dotted keys": 'version = 1\nkeys.alice.public-key = "KEY"\n' + TABLES,
    "inline keys": 'version = 1\n[keys]\nalice = { public-key = "KEY" }\n' + TABLES,
    "inline rules": "version = 1\n" + INLINE + '[keys.alice]\npublic-key = "KEY"',
    "rules first": "version = 1\n" + TABLES + '[keys.alice]\npublic-key = "KEY"\n',
    "a name of two lines": 'version = 1\n[keys.alice]\npublic-key = "KEY"\n' + TABLES.replace('"*"', '"""\n*"""'),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_however_it_is_written_an_edit_says_what_is_meant_or_is_refused(shape: str) -> None:
    text = shape.replace("KEY", pem("alice").replace("\n", "\\n"))
    before = TrustPolicy.parse(text.encode())
    edits: list[Callable[[], str]] = [
        lambda: add_key(text, "bob", public("bob")),
        lambda: add_key(text, "bob", public("bob"), threshold=2),
        lambda: add_key(text, "bob", public("bob"), role="builder"),
        lambda: add_key(text, "bob", public("bob"), pattern="small"),
        lambda: add_key(text, "alice", public("alice"), pattern="small"),
        lambda: revoke_key(text, "alice", at=NOW),
    ]
    done, said = [], []
    for edit in edits:
        try:
            edited = edit()
        except TrustPolicyError as error:
            said.append(str(error))
            continue
        done.append(TrustPolicy.parse(edited.encode()))
        assert done[-1] != before
    assert done, "not one edit is possible"
    assert all("cannot be edited" in one for one in said)


def test_a_policy_that_is_wrong_is_not_edited() -> None:
    for broken in ("version = ", COMMENTED + "more = 1\n", COMMENTED.replace('["bob"]', '["eve"]')):
        with pytest.raises(TrustPolicyError):
            add_key(broken, "carol", public("carol"))
        with pytest.raises(TrustPolicyError):
            revoke_key(broken, "alice", at=NOW)


def test_a_rule_that_cannot_be_fulfilled_is_a_problem() -> None:
    whole = TrustPolicy.parse(COMMENTED.encode())
    assert policy_problems(whole, NOW) == []
    text = revoke_key(COMMENTED, "alice", at=NOW)
    policy = TrustPolicy.parse(text.encode())
    (problem,) = policy_problems(policy, NOW, where="trust.toml")
    assert problem.where == "trust.toml"
    assert problem.message == (
        "the rule 'fraud-*' needs 2 of its approvers, and only 1 can sign now: "
        "alice was revoked on 2026-06-01T12:00:00Z"
    )
    assert policy_problems(policy, NOW, "fraud-eu") == policy_problems(policy, NOW)
    assert policy_problems(policy, NOW, "small") == []
    text = revoke_key(text, "bob", at=NOW, reason=RevocationReason.SUPERSEDED)
    policy = TrustPolicy.parse(text.encode())
    assert [one.message.partition(":")[0] for one in policy_problems(policy, NOW)] == [
        "the rule 'fraud-*' needs 2 of its approvers, and none can sign now",
        "the rule '*' needs 1 of its approvers, and none can sign now",
    ]
    assert len(policy_problems(policy, NOW - timedelta(days=1))) == 1, "bob is revoked later than that"


def test_keys_that_are_not_yet_or_no_longer_valid_do_not_sign() -> None:
    text = COMMENTED.replace("[keys.alice] # since spring\n", "[keys.alice]\nvalid-from = 2026-07-01T00:00:00Z\n")
    text = text.replace('[keys . "bob"]\n', '[keys . "bob"]\nvalid-until = 2026-05-01T00:00:00Z\n')
    policy = TrustPolicy.parse(text.encode())
    first, _ = policy_problems(policy, NOW)
    assert "alice is not valid before" in first.message
    assert "bob" in first.message


def test_an_environment_without_a_rule_is_a_problem() -> None:
    policy = TrustPolicy.parse(COMMENTED.replace('"*"', '"small"').encode())
    (problem,) = policy_problems(policy, NOW, "large")
    assert "no rule decides for the environment 'large'" in problem.message
    assert "--environment 'large'" in problem.hint
