"""What the lock's writer writes is the same when TOML's own reader reads it."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from mlenv.model.toml_writer import write_toml

keys = st.text(min_size=1, max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
)
values = st.recursive(
    scalars.filter(lambda value: value is not None),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=12,
)


def in_toml(value: object) -> bool:
    """Whether the writer has a spelling: no lists in which tables stand beside other things or inside lists."""
    if isinstance(value, dict):
        return all(in_toml(one) for one in value.values())
    if isinstance(value, list):
        tables = [isinstance(one, dict) for one in value]
        if any(tables):
            return all(tables) and all(in_toml(one) for one in value)
        return all(not isinstance(one, list) or in_toml(one) for one in value) and not _holds_table(value)
    return True


def _holds_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_holds_table(one) for one in value))


@given(st.dictionaries(keys, values.filter(in_toml), max_size=4))
def test_what_the_writer_writes_is_the_same_when_read(document: dict[str, object]) -> None:
    assert tomllib.loads(write_toml(document)) == document
