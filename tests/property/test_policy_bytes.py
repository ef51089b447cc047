"""Any bytes are a policy or a TrustPolicyError; any bytes beside a lock approve it or are refused with a reason."""

import re
import time
from functools import cache

from hypothesis import example, given
from hypothesis import strategies as st
from support.locks import lock
from support.signers import NOW, key_table, policy, policy_text, signed_lock, signer

from mlenv.errors import TrustPolicyError
from mlenv.model.report import Status
from mlenv.trust.judge import Judgement, NamedBundle, judge_lock
from mlenv.trust.policy import TrustPolicy
from mlenv.trust.policy_rules import covers

TEXT = policy_text(
    ["alice", "bob"],
    threshold=2,
    builders=["ci"],
    environment="fraud-*",
    keys={"alice": ["valid-from = 2026-01-01T00:00:00Z", "valid-until = 2027-01-01T00:00:00Z"]},
    lines=["minimum-serial = 7", 'maximum-age = "90d"'],
) + key_table("carol", signer("carol").public_key, "revoked = 2026-06-01T00:00:00Z", 'revocation-reason = "superseded"')
TEXT += '[[environments]]\nname = "*"\napprovers = ["alice"]\n'
LINES = TEXT.splitlines(keepends=True)
PATTERNS = st.text("ab*?", max_size=8)
NAMES = st.text("abc", max_size=8)

LOCK = lock()
DATA = LOCK.to_toml().encode()
APPROVERS = ("alice", "bob", "carol")


def read(data: bytes) -> TrustPolicy | None:
    """The policy, which then holds what it promises, or None after looking at every problem."""
    try:
        found = TrustPolicy.parse(data)
    except TrustPolicyError as error:
        for problem in error.problems:
            line = int(re.split("[: ]", problem.where)[1]) if ":" in problem.where else 1
            assert 1 <= line <= data.count(b"\n") + 1
            assert problem.message
            assert problem.hint
            assert "\n" not in str(problem) + problem.hint
        return None
    names = {key.name for key in found.keys}
    assert len(names) == len({key.public_key.spki for key in found.keys}) == len(found.keys)
    for rule in found.environments:
        assert set(rule.approvers) | set(rule.builders) <= names
        assert not set(rule.approvers) & set(rule.builders)
        assert 1 <= rule.threshold <= len(set(rule.approvers))
    return found


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    read(data)


@given(st.text(alphabet="[]{}\"'=.,#\n\r\t ab1-_\\é\x00\ufeff", max_size=60))
def test_any_text_of_the_characters_that_toml_is_made_of(text: str) -> None:
    read(text.encode())


@given(st.lists(st.sampled_from(LINES), max_size=40).map("".join))
@example(TEXT)
def test_lines_of_a_policy_in_any_order(text: str) -> None:
    read(text.encode())


@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.binary(max_size=6))
def test_one_changed_place_in_a_policy(start: int, length: int, other: bytes) -> None:
    data = TEXT.encode()
    read(data[:start] + other + data[start + length :])


@given(PATTERNS, NAMES)
def test_a_pattern_matches_as_the_regular_expression_does(pattern: str, name: str) -> None:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    assert covers(pattern, name) is bool(re.fullmatch(expression, name))


@given(PATTERNS, PATTERNS, NAMES)
def test_a_pattern_that_covers_another_matches_all_that_it_matches(outer: str, inner: str, name: str) -> None:
    if covers(outer, inner) and covers(inner, name):
        assert covers(outer, name)


# A lock and what lies beside it


@cache
def bundle(name: str, serial: int = 1) -> NamedBundle:
    return signed_lock(LOCK, signer(name), name=f"mlenv.lock.{name}-{serial}.sigstore.json", serial=serial)


def judge(data: bytes, *bundles: NamedBundle, threshold: int = 1) -> Judgement:
    found = judge_lock(data, bundles, policy(*APPROVERS, threshold=threshold), NOW)
    for one in found.findings:
        assert "\n" not in one.message + one.hint + one.expected + one.observed
    assert (found.approval is None) is any(one.status is Status.FAIL for one in found.findings)
    return found


@given(st.binary(max_size=300))
def test_any_bytes_approve_nothing(data: bytes) -> None:
    assert judge(DATA, NamedBundle("x", data)).approval is None


def flipped(data: bytes, bit: int) -> bytes:
    position, bit = divmod(bit % (len(data) * 8), 8)
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


@given(st.integers(0, 1 << 20))
def test_a_flipped_bit_in_a_bundle_is_refused(bit: int) -> None:
    assert judge(DATA, bundle("alice")).approval
    assert judge(DATA, NamedBundle("x", flipped(bundle("alice").data, bit))).approval is None


@given(st.integers(0, 1 << 20))
def test_a_flipped_bit_in_a_lock_is_refused(bit: int) -> None:
    assert judge(flipped(DATA, bit), bundle("alice")).approval is None


@given(
    st.lists(st.tuples(st.sampled_from([*APPROVERS, "mallory"]), st.integers(1, 3)), max_size=8),
    st.integers(1, len(APPROVERS)),
)
def test_a_threshold_counts_different_approvers_of_one_statement(signed: list[tuple[str, int]], threshold: int) -> None:
    found = judge(DATA, *(bundle(name, serial) for name, serial in signed), threshold=threshold)
    signers = {serial: {name for name, at in signed if at == serial} - {"mallory"} for serial in (1, 2, 3)}
    reached = [serial for serial, names in signers.items() if len(names) >= threshold]
    assert bool(found.approval) is bool(reached)
    if found.approval:
        assert found.approval.statement.serial == max(reached)
        assert {key.name for key in found.approval.signers} == signers[max(reached)]


def test_patterns_that_could_match_in_many_ways_take_no_time() -> None:
    begun = time.monotonic()
    assert not covers("*a" * 60 + "b", "a" * 128)
    names = [f"*{'a' * 120}{index:03d}" if index % 2 else f"{'a' * 120}{index:03d}" for index in range(500)]
    rules = "".join(f'[[environments]]\nname = "{name}"\napprovers = ["alice"]\n' for name in names)
    table = policy_text(["alice"]).partition("[[environments]]")[0]
    assert len(TrustPolicy.parse((table + rules).encode()).environments) == 500
    assert time.monotonic() - begun < 10, "a few tenths of a second on a machine that has nothing else to do"
