"""Any bytes as a root: refused as one, or read as what was signed. Never a traceback, never another policy."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from support.roots import POLICY, followed_by_tuf, next_root, root_of_tuf
from support.signers import NOW, KeyOfTests, signer

from mlenv.errors import TrustPolicyError
from mlenv.model.digest import Digest
from mlenv.trust.keys import KeyType
from mlenv.trust.root import TrustRoot, first_root, parse_root

ED: KeyOfTests = signer("ed", KeyType.ED25519)
OLD = root_of_tuf("alice", ids={"ed": ED}, threshold=2)
NEW = root_of_tuf("alice", ids={"ed": ED}, threshold=2, version=2)
DOCUMENT = json.loads(NEW)


def believed(data: bytes) -> TrustRoot | None:
    """The root that a client would go to, or None; any other error fails the test."""
    reads: tuple[Callable[[], object], ...] = (
        lambda: parse_root(data, where="x"),
        lambda: first_root(data, NOW, where="x"),
    )
    for read in reads:
        try:
            read()
        except TrustPolicyError as error:
            for problem in error.problems:
                text = f"{problem.where} {problem.message} {problem.hint}"
                assert text.isprintable(), text
                assert len(text) < 600
    try:
        return next_root(OLD, data, NOW, where="x")
    except TrustPolicyError:
        return None


def assert_says_the_same(root: TrustRoot) -> None:
    signed = next_root(OLD, NEW, NOW, where="x")
    assert root.policy.digest == Digest.of(POLICY.encode())
    assert (root.version, root.expires, root.threshold) == (signed.version, signed.expires, signed.threshold)
    assert (root.keys, root.policy) == (signed.keys, signed.policy)


@given(st.integers(0, len(NEW) * 8 - 1))
def test_a_flipped_bit(bit: int) -> None:
    data = bytearray(NEW)
    data[bit // 8] ^= 1 << bit % 8
    root = believed(bytes(data))
    if root is not None:  # white space, or a digit of a signature in capitals
        assert_says_the_same(root)
        assert followed_by_tuf(OLD, bytes(data))


@given(st.binary(max_size=200))
@example(b"")
@example(b"{}")
@example(b'{"signed": {}, "signatures": []}')
@example(b'{"signed": {"_type": "root", "version": 2, "roles": {}}, "signatures": []}')
def test_any_bytes(data: bytes) -> None:
    assert believed(data) is None


@given(st.integers(0, len(NEW)), st.integers(0, len(NEW)), st.binary(max_size=20))
def test_a_piece_replaced(start: int, end: int, piece: bytes) -> None:
    root = believed(NEW[: min(start, end)] + piece + NEW[max(start, end) :])
    if root is not None:
        assert_says_the_same(root)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON document has a value."""
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


STRINGS = st.text(max_size=5) | st.sampled_from(["root", "ed25519", "ecdsa", "ed", "1.0.31", "2999-01-01T00:00:00Z"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(list(places(DOCUMENT))), VALUES, st.none() | STRINGS)
def test_a_value_replaced(path: tuple[Any, ...], value: Any, key: str | None) -> None:
    """A value of the document, or one more in it, is anything that JSON can be."""
    document: Any = copy.deepcopy([DOCUMENT])
    parent: Any = document
    last: Any = 0
    for step in path:
        parent, last = parent[last], step
    if key is not None and isinstance(parent[last], dict):
        parent, last = parent[last], key
    parent[last] = value
    root = believed(json.dumps(document[0]).encode())
    if root is not None:
        assert_says_the_same(root)
