"""Any text is a manifest or a ManifestError; and a manifest says the same however it is written."""

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from support.manifests import FULL, SMALL

from mlenv.errors import ManifestError
from mlenv.model.manifest import EnvironmentManifest
from mlenv.model.manifest_edit import pin_text
from mlenv.model.manifest_toml import parse_manifest, unpinned_images
from mlenv.model.toml_places import Path, places

LINES = FULL.splitlines(keepends=True)


def read(text: str) -> EnvironmentManifest | None:
    """The manifest, or None after looking at every problem."""
    unpinned_images(text)
    try:
        return parse_manifest(text)
    except ManifestError as error:
        for problem in error.problems:
            place = problem.where.removeprefix("mlenv.toml:").split(" ")[0].split(":")
            assert 1 <= int(place[0]) <= text.count("\n") + 1
            assert problem.message
            assert problem.hint
            assert "\n" not in str(problem) + problem.hint
        return None


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    read(text)


@given(st.text(alphabet="[]{}\"'=.,#\n\r\t ab1-_\\é\x00\ufeff\ud800", max_size=60))
def test_any_text_of_the_characters_that_toml_is_made_of(text: str) -> None:
    read(text)


@given(st.lists(st.sampled_from(LINES), max_size=30).map("".join))
def test_lines_of_a_manifest_in_any_order(text: str) -> None:
    read(text)


@given(st.data())
def test_one_changed_place_in_a_manifest(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(FULL)))
    length = data.draw(st.integers(0, 12))
    read(FULL[:start] + data.draw(st.text(max_size=6)) + FULL[start + length :])


def values() -> st.SearchStrategy[Any]:
    leaves = (
        st.text(max_size=20)
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.booleans()
        | st.datetimes()
        | st.datetimes(timezones=st.just(UTC))
        | st.dates()
        | st.times()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


SECTIONS = EnvironmentManifest.model_fields
KEYS = sorted({key for line in LINES if "=" in line and (key := line.partition("=")[0].strip())} | {"exclude", "uri"})


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from([*SECTIONS, "other"]), st.dictionaries(st.sampled_from(KEYS), values()) | values())
)
def test_any_values_under_the_known_keys(document: dict[str, Any]) -> None:
    try:
        text = tomlkit.dumps(document)
        tomllib.loads(text)
    except (ValueError, TypeError):  # what tomlkit cannot write
        return
    read(text)
    found = places(text)

    def check(value: Any, path: Path) -> None:
        assert not path or path in found
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in children:
            check(item, (*path, key))

    check(tomllib.loads(text), ())


names = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,4})?", fullmatch=True)
paths = st.from_regex(r"(/m[a-z]{1,6}){1,3}", fullmatch=True)
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
moments = st.datetimes(datetime(1971, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)


def table(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key.replace("_", "-"): value for key, value in keys.items()})


def unique(item: st.SearchStrategy[Any], by: Callable[[Any], Any] | None = None) -> st.SearchStrategy[list[Any]]:
    return st.lists(item, max_size=3, unique_by=by or (lambda value: value))


MANIFESTS = st.fixed_dictionaries(
    {
        "environment": st.fixed_dictionaries(
            {"name": names, "version": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True)},
            optional={"epoch": moments, "platforms": st.permutations(["linux/amd64", "linux/arm64"])},
        )
    },
    optional={
        "python": table(packages=unique(names), exclude_newer=moments, find_links=unique(names)),
        "system": table(packages=unique(names.map("x".__add__))),
        "container": table(
            env=st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), words, max_size=3),
            command=st.lists(words, max_size=3),
            read_only=st.booleans(),
            ports=unique(st.integers(1, 65535)).map(lambda ports: [str(port) for port in ports]),
            healthcheck=st.fixed_dictionaries(
                {"command": st.lists(words, min_size=1, max_size=2)},
                optional={"interval": st.integers(1, 86400).map("{}s".format)},
            ),
        ),
        "resources": table(
            memory=st.integers(1, 2**53 - 1) | st.integers(1, 2**20).map("{}MiB".format),
            cpus=st.integers(1, 4096) | st.floats(0.01, 4096),
            gpus=table(memory=st.integers(1, 2**40)),
            ulimits=st.dictionaries(st.sampled_from(["memlock", "nofile"]), st.integers(-1, 2**53 - 1)),
        ),
        "models": st.lists(
            st.fixed_dictionaries({"name": names, "uri": st.just("hf://o/m"), "path": paths}), max_size=1
        ),
    },
)


def moment(value: Any) -> Any:
    """Canonical JSON with the times that TOML has a type for."""
    if isinstance(value, dict):
        times = {"epoch", "exclude-newer", "snapshot"}
        return {key: datetime.fromisoformat(item) if key in times else moment(item) for key, item in value.items()}
    return [moment(item) for item in value] if isinstance(value, list) else value


@given(MANIFESTS, st.randoms(use_true_random=False))
def test_the_canonical_form_survives_a_round_trip_and_another_order_of_keys(
    document: dict[str, Any], random: Any
) -> None:
    once = parse_manifest(tomlkit.dumps(document))
    again = parse_manifest(tomlkit.dumps(moment(json.loads(once.canonical()))))
    assert again == once
    assert again.canonical() == once.canonical()
    keys = list(document)
    random.shuffle(keys)
    assert parse_manifest(tomlkit.dumps({key: document[key] for key in keys})).digest == once.digest


@given(st.text(alphabet="# \t\n", max_size=10), st.sampled_from(["\n", "\r\n"]))
def test_white_space_and_comments_change_nothing(noise: str, newline: str) -> None:
    noisy = "".join(f"{line}#{noise}\n".replace("\n", newline) for line in SMALL.splitlines())
    assert parse_manifest(noisy).canonical() == parse_manifest(SMALL).canonical()
    assert pin_text(noisy, {}) == noisy
