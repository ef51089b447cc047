"""From names to a set of packages: what Depends, Provides, Conflicts and Breaks come to."""

import itertools

import pytest
from support.debs import MadeDeb, make_deb

from mlenv.errors import ResolutionError
from mlenv.layers.debian.relation import Relation, compare_versions, parse_relations
from mlenv.sources.debian.closure import resolve_closure
from mlenv.sources.debian.index import PackageIndex

URL = "file:///archive"


def index_of(*debs: MadeDeb, architecture: str = "amd64") -> PackageIndex:
    return PackageIndex([(URL, "\n".join(deb.stanza for deb in debs).encode())], architecture)


def closure(index: PackageIndex, *wanted: str) -> list[str]:
    return [package.label for package in resolve_closure(index, wanted, {})]


def failure(index: PackageIndex, *wanted: str) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        closure(index, *wanted)
    return caught.value


def test_depends_and_pre_depends_and_nothing_else() -> None:
    index = index_of(
        make_deb("a", Depends="b, c:any", Pre_Depends="d", Recommends="e", Suggests="f"),
        *(make_deb(name) for name in "bcdef"),
        make_deb("essential", Essential="yes"),
    )
    assert closure(index, "a") == ["a 1.0", "b 1.0", "c 1.0", "d 1.0"]


def test_a_circle_is_no_problem() -> None:
    assert closure(index_of(make_deb("a", Depends="b"), make_deb("b", Depends="a")), "a") == ["a 1.0", "b 1.0"]


def test_an_older_version_is_taken_where_the_newest_does_not_fit() -> None:
    index = index_of(
        make_deb("a", Depends="b (<< 2)"), make_deb("b", version="1"), make_deb("b", version="1.5"),
        make_deb("b", version="2"), make_deb("c", Depends="b"),
    )  # fmt: skip
    assert closure(index, "a", "c") == ["a 1.0", "b 1.5", "c 1.0"]


def test_the_first_alternative_that_can_be_had() -> None:
    index = index_of(
        make_deb("first", Depends="b | c"), make_deb("second", Depends="missing | c"),
        make_deb("third", Depends="b (>> 9) | c"), make_deb("fourth", Depends="broken | c"),
        make_deb("broken", Depends="missing"), make_deb("b"), make_deb("c"),
    )  # fmt: skip
    assert "b 1.0" in closure(index, "first")
    for name in ("second", "third", "fourth"):
        assert closure(index, name) == ["c 1.0", f"{name} 1.0"]


def test_what_is_there_already_is_enough() -> None:
    index = index_of(make_deb("a", Depends="b | c"), make_deb("b"), make_deb("c"), make_deb("z", Depends="c"))
    assert closure(index, "a", "z") == ["a 1.0", "c 1.0", "z 1.0"]


def test_a_virtual_package_by_priority_then_name() -> None:
    debs = [
        make_deb("a", Depends="awk"),
        make_deb("gawk", Provides="awk", Priority="optional"),
        make_deb("mawk", Provides="awk", Priority="required"),
        make_deb("nawk", Provides="awk", Priority="required"),
    ]
    for order in itertools.permutations(debs):
        assert closure(index_of(*order), "a") == ["a 1.0", "mawk 1.0"]
    assert closure(index_of(*debs), "awk") == ["mawk 1.0"]


def test_versions_of_what_is_provided() -> None:
    index = index_of(
        make_deb("a", Depends="api (>= 2)"), make_deb("one", Provides="api"), make_deb("two", Provides="api (= 1.9)"),
        make_deb("three", Provides="x, api (= 2.1), y"), make_deb("b", Depends="api (>= 3)"),
    )  # fmt: skip
    assert closure(index, "a") == ["a 1.0", "three 1.0"]
    assert "b needs api (>= 3)" in str(failure(index, "b"))


def test_the_real_package_comes_before_those_that_provide_it() -> None:
    index = index_of(make_deb("a", Depends="b"), make_deb("aa", Provides="b", Priority="required"), make_deb("b"))
    assert closure(index, "a") == ["a 1.0", "b 1.0"]


def test_unknown_packages_are_all_named_with_what_is_close() -> None:
    error = failure(index_of(make_deb("python3"), make_deb("ffmpeg")), "python", "ffmpg", "zzzz")
    assert [problem.message for problem in error.problems] == [
        "the suite has no Debian package 'python'",
        "the suite has no Debian package 'ffmpg'",
        "the suite has no Debian package 'zzzz'",
    ]
    hints = [problem.hint for problem in error.problems]
    assert hints[:2] == ["did you mean python3?", "did you mean ffmpeg?"]
    assert all(hints)


def test_the_chain_that_cannot_be_satisfied_is_told() -> None:
    index = index_of(make_deb("a", Depends="b"), make_deb("b", Depends="c (>= 2)"), make_deb("c", version="1.5"))
    (problem,) = failure(index, "a").problems
    assert problem.message == (
        "Debian packages cannot be satisfied: b <- a needs c (>= 2) (the suite has 1.5)"
    )  # fmt: skip
    assert problem.hint


def test_two_needs_that_do_not_meet_are_both_told() -> None:
    index = index_of(
        make_deb("a", Depends="c (<< 2)"), make_deb("b", Depends="c (>= 2)"), make_deb("c", version="1"),
        make_deb("c", version="2"),
    )  # fmt: skip
    message = str(failure(index, "a", "b"))
    assert "a needs c (<< 2)" in message
    assert "b needs c (>= 2)" in message


def test_a_conflict_between_what_was_asked_for_names_both() -> None:
    index = index_of(make_deb("a", Conflicts="b (<< 2)"), make_deb("b"))
    assert "a 1.0 conflicts with b (<< 2), and b 1.0 is there" in str(failure(index, "a", "b"))


def test_a_conflict_is_gone_around_by_another_alternative_or_version() -> None:
    index = index_of(
        make_deb("a", Depends="b | c", Breaks="b"), make_deb("b"), make_deb("c"),
        make_deb("d", Depends="e", Conflicts="e (= 2)"), make_deb("e", version="1"), make_deb("e", version="2"),
    )  # fmt: skip
    assert closure(index, "a") == ["a 1.0", "c 1.0"]
    assert closure(index, "d") == ["d 1.0", "e 1"]


def test_a_package_does_not_conflict_with_itself_but_with_others_that_provide_the_same() -> None:
    index = index_of(
        make_deb("a", Provides="mta", Conflicts="mta"), make_deb("b", Provides="mta"), make_deb("c")
    )  # fmt: skip
    assert closure(index, "a", "c") == ["a 1.0", "c 1.0"]
    assert "a 1.0 conflicts with mta, and b 1.0 is there" in str(failure(index, "a", "b"))


def test_another_architecture_is_not_taken() -> None:
    index = index_of(
        make_deb("a", Depends="b:any, c"), make_deb("b", architecture="arm64"), make_deb("b", version="0.9"),
        make_deb("c", architecture="all"), make_deb("d", Depends="b:i386"),
    )  # fmt: skip
    assert closure(index, "a") == ["a 1.0", "b 0.9", "c 1.0"]
    assert "d needs b:i386" in str(failure(index, "d"))


def test_the_answer_does_not_depend_on_any_order() -> None:
    debs = [
        make_deb("a", Depends="x | y, b"), make_deb("b", Depends="y | z"), make_deb("c", Depends="v"),
        make_deb("x", Conflicts="y"), make_deb("y"), make_deb("z", Provides="v"), make_deb("w", Provides="v"),
    ]  # fmt: skip
    answers = {
        tuple(closure(index_of(*order), *wanted))
        for order in itertools.islice(itertools.permutations(debs), 0, 5040, 397)
        for wanted in itertools.permutations("abc")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1", "1.0"), ("1.0", "1.0-1"), ("1.0-1", "1.0-1+b1"), ("1.0-1", "1.0-1+deb13u1"), ("9", "10"),
        ("2.0", "1:1.0"), ("1.0a", "1.0+"), ("1.0-1~bpo12+1", "1.0-1"), ("0.9.10", "0.10"), ("1.2-9", "1.2-10"),
    ],
)  # fmt: skip
def test_versions_are_ordered_as_debian_orders_them(older: str, newer: str) -> None:
    assert compare_versions(older, newer) < 0 < compare_versions(newer, older)
    assert compare_versions(newer, newer) == 0


def test_relations_are_read() -> None:
    assert parse_relations("a, b:any (>= 1:2~) | c (= 3),\n d(<<4)") == (
        (Relation("a"),),
        (Relation("b", ">=", "1:2~", "any"), Relation("c", "=", "3")),
        (Relation("d", "<<", "4"),),
    )
    assert parse_relations("a (< 1), b (> 2)") == ((Relation("a", "<=", "1"),), (Relation("b", ">=", "2"),))
    assert parse_relations("") == ()
    for bad in ("a b", "a (1)", "(>= 1)", "a (>= 1", "a | ", "a (>= é)"):
        with pytest.raises(ValueError, match="not a"):
            parse_relations(bad)
