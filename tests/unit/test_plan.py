"""Which wheel goes in which layer, and that it stays there."""

from mlenv.layers.plan import plan_wheels

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
