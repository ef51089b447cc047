"""Which wheel goes in which layer, and that it stays there."""

from hypothesis import given
from hypothesis import strategies as st

from mlenv.layers.plan import OWN_LAYER, plan_wheels

MIB = 1 << 20


def test_large_wheels_have_a_layer_of_their_own_and_small_ones_share() -> None:
    sizes = {"torch": 800 * MIB, "scipy": 32 * MIB, "numpy": 18 * MIB, "pandas": 12 * MIB, "six": 1, "idna": 2}
    assert plan_wheels(sizes, [], 60) == [("torch",), ("scipy",), ("idna", "numpy", "pandas", "six")]


def test_a_shared_layer_is_full_at_the_size_of_an_own_one() -> None:
    sizes = {"a": 20 * MIB, "b": 20 * MIB, "c": 12 * MIB}
    assert plan_wheels(sizes, [], 60) == [("a",), ("b", "c")]


def test_a_new_package_does_not_move_the_others() -> None:
    before = plan_wheels({"a": 5, "c": 4}, [], 60)
    after = plan_wheels({"a": 5, "b": 9, "c": 4}, before, 60)
    assert after[:1] == before
    assert after[1:] == [("b",)]


def test_what_is_gone_leaves_its_layer() -> None:
    assert plan_wheels({"a": 1}, [("a", "b"), ("c",)], 60) == [("a",)]


def test_a_package_that_grew_stays_where_it_was() -> None:
    assert plan_wheels({"a": 900 * MIB, "b": 1}, [("a", "b")], 60) == [("a", "b")]


names = st.text("abcdefgh", min_size=1, max_size=4)


@given(
    st.dictionaries(names, st.integers(0, 3 * OWN_LAYER), max_size=40),
    st.lists(st.lists(names, max_size=5).map(tuple), max_size=10),
    st.integers(1, 8),
)
def test_every_wheel_is_in_one_layer_and_the_layers_are_few(
    sizes: dict[str, int], previous: list[tuple[str, ...]], room: int
) -> None:
    earlier: list[tuple[str, ...]] = []
    for group in previous:  # a real plan names a wheel once
        taken = {name for other in earlier for name in other}
        earlier.append(tuple(dict.fromkeys(name for name in group if name not in taken)))
    groups = plan_wheels(sizes, earlier, room)
    assert sorted(name for group in groups for name in group) == sorted(sizes)
    assert len(groups) <= room
    assert all(group == tuple(sorted(group)) and group for group in groups)
    assert groups == plan_wheels(dict(reversed(sizes.items())), earlier, room)
