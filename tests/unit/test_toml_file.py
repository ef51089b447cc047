"""Keys of many parts, for which tomllib needs memory with the square of their number: found wherever they stand."""

import time

import pytest

from mlenv.model.toml_file import has_deep_key

DEEP = ".".join("b" * 33) + " = 1"


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        f"[{DEEP.partition(' ')[0]}]",
        '"b" . ' * 33 + "b = 1",
        "'b'." * 33 + "b = 1",
        f"# don't\n{DEEP}",
        f'x = {{ a = "\'", {DEEP} }}',
        f'x = {{ a = """\n\'""", {DEEP} }}',
        f'x = {{ a = """a""""", {DEEP} }}',
        f"x = {{ a = '''\n\"'''', {DEEP} }}",
    ],
)
def test_a_key_of_many_parts(text: str) -> None:
    assert has_deep_key(text)


@pytest.mark.parametrize(
    "text",
    [
        ".".join("b" * 32) + " = 1",
        f'x = "{DEEP}"',
        f"x = '{DEEP}'",
        f'x = """\n{DEEP}"""',
        f"x = 1  # {DEEP}",
        f'"""{DEEP}',
    ],
)
def test_what_is_no_such_key(text: str) -> None:
    assert not has_deep_key(text)


@pytest.mark.parametrize("piece", ['"\\', '"\\"', "a ", "' ", '""', '"""', "'''", "a", "#", "b" * 31 + "."])
def test_hostile_texts_take_no_time(piece: str) -> None:
    start = time.process_time()
    has_deep_key(piece * (400_000 // len(piece)))
    assert time.process_time() - start < 1
