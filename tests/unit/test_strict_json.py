import time

import pytest

from mlenv.model.strict_json import LIMIT, parse_json


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'[{"x": {"a": 1, "b": 0, "a": 1}}]', "twice"),
        (b"NaN", "not JSON"),
        (b"[Infinity]", "not JSON"),
        (b"1e999", "out of range"),
        (b"9007199254740992", "out of range"),
        (b"-9007199254740992", "out of range"),
        (b"1" * 5000, "out of range"),
        (b"[" * 65 + b"]" * 65, "deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "deeply"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeply"),
        (b'"\xff"', "UTF-8"),
        (b'"\\ud800"', "surrogates"),
        ("{}".encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"{} {}", "Extra data"),
        (b"{'a': 1}", "property name"),
        (b"", "Expecting value"),
        (b" " * (LIMIT + 1), "limit"),
    ],
)
def test_a_document_that_two_readers_could_read_differently_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(data)


def test_everything_else_is_read_as_json() -> None:
    assert parse_json(b'{"a": [1, -2.5, null, true, "\\u00e9"], "b": {}}') == {"a": [1, -2.5, None, True, "é"], "b": {}}
    assert parse_json(b"9007199254740991") == 2**53 - 1


def test_one_key_twice_among_a_hundred_thousand_is_refused_at_once() -> None:
    keys = ",".join(f'"{number}":0' for number in range(100_000))
    began = time.monotonic()

    with pytest.raises(ValueError, match="'99999' appears twice"):
        parse_json(f'{{{keys},"99999":1}}'.encode())
    assert time.monotonic() - began < 10  # two and a half minutes where each key is counted for itself
