"""Lines of TOML values, against documents whose lines a reader can count."""

import tomllib

import pytest

from mlenv.model.toml_places import Path, dotted, line_of, places

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
top = 1
a.b."c d" = 2

[table]  # [not.a.table]
x = [
  "one",   # ] and "
  [ "two", 3 ],
  { k = 1, l = [2,
    3] },

  """
many # lines
" and ""quotes"" """"",
  \'\'\'
raw \\\'\'\',
]
after = 1979-05-27 07:32:00Z
y = { p.q = 1, r = { s = "}" } }

[[rows]]
n = 1
[rows.sub]
m = 2
[[rows.more]]
o = 3
[[rows.more]]
o = 4

[[rows]]
n = 5
[[rows.more]]
"o\\u0070" = 6
[table.'deep er'.z]
w = """\\
  \\"""
  # not a comment
"""
v = 'last'
'''

EXPECTED: dict[Path, int] = {
    ("top",): 2,
    ("a", "b", "c d"): 3,
    ("table",): 5,
    ("table", "x"): 6,
    ("table", "x", 0): 7,
    ("table", "x", 1): 8,
    ("table", "x", 1, 1): 8,
    ("table", "x", 2): 9,
    ("table", "x", 2, "k"): 9,
    ("table", "x", 2, "l", 1): 10,
    ("table", "x", 3): 12,
    ("table", "x", 4): 15,
    ("table", "after"): 18,
    ("table", "y"): 19,
    ("table", "y", "p", "q"): 19,
    ("table", "y", "r", "s"): 19,
    ("rows",): 21,
    ("rows", 0): 21,
    ("rows", 0, "n"): 22,
    ("rows", 0, "sub"): 23,
    ("rows", 0, "sub", "m"): 24,
    ("rows", 0, "more", 0, "o"): 26,
    ("rows", 0, "more", 1): 27,
    ("rows", 0, "more", 1, "o"): 28,
    ("rows", 1): 30,
    ("rows", 1, "n"): 31,
    ("rows", 1, "more", 0, "op"): 33,
    ("table", "deep er"): 34,
    ("table", "deep er", "z", "w"): 35,
    ("table", "deep er", "z", "v"): 39,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("path", EXPECTED, ids=dotted)
def test_lines(path: Path, newline: str) -> None:
    text = DOCUMENT.replace("\n", newline)
    tomllib.loads(text)
    assert places(text)[path] == EXPECTED[path]


def test_every_value_that_tomllib_finds_has_a_line() -> None:
    found = places(DOCUMENT)

    def check(value: object, path: Path) -> None:
        assert path == () or path in found
        if isinstance(value, dict):
            for key, item in value.items():
                check(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                check(item, (*path, index))

    check(tomllib.loads(DOCUMENT), ())


def test_what_is_not_there_has_the_line_of_what_is_around_it() -> None:
    found = places(DOCUMENT)
    assert line_of(found, ("rows", 1, "missing", 3)) == 30
    assert line_of(found, ("missing",)) == line_of(found, ()) == 1


@pytest.mark.parametrize("text", ["", "\n\n# only\n", "a=1", "[a]", "a=[]\nb={}\nc=''", "a=''''''\nb=\"\"\"\"\"\""])
def test_small_documents(text: str) -> None:
    assert {path[0] for path in places(text)} == tomllib.loads(text).keys()


def test_paths_as_people_write_them() -> None:
    assert dotted(("python", "packages", 0)) == "python.packages[0]"
    assert dotted(("container", "env", "a b", 1, 2, "c")) == "container.env.'a b'[1][2].c"
    assert dotted(()) == ""
