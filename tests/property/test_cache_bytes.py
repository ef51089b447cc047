"""What goes into the cache comes out of it, however it was cut; what was changed does not come out."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlenv.errors import DigestMismatchError
from mlenv.model.digest import Digest
from mlenv.sources.cache import Cache

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_the_cut_does_not_matter(chunks: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        digest = cache.put(chunks)
        assert digest == Digest.of(b"".join(chunks))
        with cache.open(digest) as file:
            assert file.read() == b"".join(chunks)


@given(st.binary(min_size=1, max_size=500), st.data())
def test_any_change_is_found(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        digest = cache.put([content])
        cache.path(digest).chmod(0o644)
        cache.path(digest).write_bytes(changed)
        with pytest.raises(DigestMismatchError), cache.open(digest):
            pass


@given(st.text(), JSON)
def test_a_record_is_what_was_remembered(key: str, value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        cache.remember("kind", key, value)
        assert cache.record("kind", key) == value
        assert cache.record("kind", key + "x") is None


@given(st.binary(max_size=300))
def test_a_record_of_any_bytes_is_read_without_an_error(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        cache.remember("kind", "key", 1)
        cache._record_path("kind", "key").write_bytes(garbage)
        assert cache.record("kind", "key") is None
