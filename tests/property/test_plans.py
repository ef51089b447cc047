"""What holds for every division of wheels into layers."""

from hypothesis import given
from hypothesis import strategies as st

from mlenv.layers.plan import OWN_LAYER, plan_wheels

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
