"""Whatever is signed in the place of provenance, it is refused in one line, or it is what a builder says."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.locks import lock
from support.signers import NOW, policy, signed, signer

from mlenv.model.digest import Digest
from mlenv.model.report import Status
from mlenv.signing.provenance import Build, provenance
from mlenv.trust.judge_provenance import judge_provenance
from mlenv.trust.slsa import Provenance

LOCK = lock()
DATA = LOCK.to_toml().encode()
PLATFORMS = tuple(one.platform for one in LOCK.platforms)
BUILD = Build(LOCK.image_digest, PLATFORMS, NOW - timedelta(hours=1), NOW - timedelta(minutes=50), "1")
TRUE = provenance(LOCK, DATA, BUILD)
POLICY = policy("alice", builders=["ci"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every member of a document."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, child in steps for found in ((*path, step), *places(child, (*path, step)))]


PLACES = places(json.loads(TRUE.to_bytes()))


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """The true statement with something else, or nothing, at one of its places."""
    document = json.loads(TRUE.to_bytes())
    *parents, last = draw(st.sampled_from(PLACES))
    place = document
    for step in parents:
        place = place[step]
    if draw(st.booleans()):
        place[last] = draw(JSON)
    else:
        del place[last]
    return json.dumps(document).encode()


def parsed(payload: bytes) -> Provenance | None:
    try:
        return Provenance.parse(payload)
    except ValueError as error:
        if not str(error) or "\n" in str(error):
            pytest.fail(f"not one line: {error}")
        return None


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused(payload: bytes) -> None:
    assert parsed(payload) is None


@given(changed())
def test_a_changed_statement_is_refused_or_written_back(payload: bytes) -> None:
    found = parsed(payload)
    if found is not None:
        assert Provenance.parse(found.to_bytes()) == found


@given(changed())
def test_a_changed_statement_is_judged_without_an_error(payload: bytes) -> None:
    bundle = signed(payload, signer("ci"), name="built.json")
    findings = judge_provenance(bundle, POLICY, "small", Digest.of(DATA), [LOCK.image_digest], NOW)
    assert findings[0].status is Status.PASS  # the signature
    if all(one.status is Status.PASS for one in findings):
        found = parsed(payload)
        assert found is not None
        assert found.locks == {Digest.of(DATA)}
        assert LOCK.image_digest in {one.digest for one in found.subjects}
        assert found.environment == "small"
