"""The high-water mark of serials: never lower, never lost, never begun anew by itself."""

import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlenv.errors import SignatureError, TrustPolicyError, UnavailableError
from mlenv.model.digest import Digest
from mlenv.sources.trust.folders import configuration_folder, state_folder
from mlenv.sources.trust.serials import Serials
from mlenv.trust.judge import Mark

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


@pytest.fixture
def serials(tmp_path: Path) -> Serials:
    return Serials(tmp_path / "state" / "serials.json")


def text_of(serials: Serials) -> str:
    assert serials.path is not None
    return serials.path.read_text()


def test_a_mark_is_kept_per_source_and_environment(serials: Serials) -> None:
    assert serials.marks("policy") == {}
    serials.raise_mark("policy", "small", Mark(3, ONE, NOON))
    serials.raise_mark("policy", "large", Mark(1, ONE, NOON))
    serials.raise_mark("keys:ab", "small", Mark(2, OTHER, NOON))
    again = Serials(serials.path)
    assert again.marks("policy") == {"small": Mark(3, ONE, NOON), "large": Mark(1, ONE, NOON)}
    assert again.marks("keys:ab") == {"small": Mark(2, OTHER, NOON)}
    assert again.marks("another") == {}


def test_what_is_read_is_a_copy(serials: Serials) -> None:
    serials.raise_mark("policy", "small", Mark(3, ONE, NOON))
    serials.marks("policy").clear()
    assert serials.marks("policy")


@pytest.mark.parametrize(
    ("then", "kept"),
    [
        (Mark(4, OTHER, LATER), Mark(4, OTHER, LATER)),
        (Mark(3, ONE, LATER), Mark(3, ONE, LATER)),
        (Mark(3, ONE, NOON - timedelta(hours=1)), Mark(3, ONE, NOON)),
        (Mark(2, OTHER, LATER), Mark(3, ONE, LATER)),
        (Mark(4, OTHER, NOON - timedelta(hours=1)), Mark(4, OTHER, NOON)),
    ],
)
def test_neither_serial_nor_time_goes_back(serials: Serials, then: Mark, kept: Mark) -> None:
    serials.raise_mark("policy", "small", Mark(3, ONE, NOON))
    serials.raise_mark("policy", "small", then)
    assert serials.marks("policy") == {"small": kept}


def test_another_lock_with_the_same_serial_is_refused(serials: Serials) -> None:
    serials.raise_mark("policy", "small", Mark(3, ONE, NOON))
    before = text_of(serials)
    with pytest.raises(SignatureError, match="another lock with serial 3 was accepted for 'small'"):
        serials.raise_mark("policy", "small", Mark(3, OTHER, LATER))
    assert text_of(serials) == before


def test_the_file_is_private(serials: Serials) -> None:
    serials.raise_mark("policy", "small", Mark(3, ONE, NOON))
    assert serials.path is not None
    assert serials.path.stat().st_mode & 0o777 == 0o600
    assert serials.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in serials.path.parent.iterdir()) == ["serials.json", "serials.json.lock"]


MARK = {"serial": 3, "lock": str(ONE), "seen": "2026-06-01T12:00:00Z"}


def document(**changes: object) -> str:
    return json.dumps({"version": 1, "marks": {"policy": {"small": MARK | changes}}})


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": 2, "marks": {}}',
        '{"version": 1, "version": 1, "marks": {}}',
        '{"version": true, "marks": {}}',
        '{"version": 1.0, "marks": {}}',
        '{"version": 1, "marks": []}',
        '{"version": 1, "marks": {"policy": 3}}',
        '{"version": 1, "marks": {"policy": {"small": [3]}}}',
        '{"version": 1, "marks": {"policy": {"small": {"serial": 3}}}}',
        '{"version": 1, "marks": {}, "more": 1}',
        document(serial=0),
        document(serial=-1),
        document(serial=True),
        document(serial=3.0),
        document(serial="3"),
        document(serial=1 << 60),
        document(lock="sha256:ab"),
        document(lock=3),
        document(seen="yesterday"),
        document(seen="2026-06-01T12:00:00+02:00"),
        document(seen=3),
        document(more=1),
        '{"version": 1, "marks": {"policy": {"\\ud800": {}}}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_an_error_and_stays(serials: Serials, damaged: str) -> None:
    assert serials.path is not None
    serials.path.parent.mkdir()
    serials.path.write_text(damaged)
    with pytest.raises(TrustPolicyError, match="the record of serials is damaged") as caught:
        serials.marks("policy")
    (problem,) = caught.value.problems
    assert problem.where == str(serials.path)
    assert "backup" in problem.hint
    with pytest.raises(TrustPolicyError):
        serials.raise_mark("policy", "small", Mark(9, ONE, NOON))
    assert serials.path.read_text() == damaged


def test_what_the_damaged_cases_are_made_of_is_whole(serials: Serials) -> None:
    assert serials.path is not None
    serials.path.parent.mkdir()
    serials.path.write_text(document())
    assert serials.marks("policy") == {"small": Mark(3, ONE, NOON)}


def test_a_file_that_is_none(serials: Serials) -> None:
    assert serials.path is not None
    serials.path.mkdir(parents=True)
    with pytest.raises(TrustPolicyError, match="cannot be read: Is a directory"):
        serials.marks("policy")


@pytest.mark.parametrize("home", ["/nonexistent", "/proc", "/dev/null"])
def test_a_home_that_takes_no_files(home: str) -> None:
    """As in a container or in CI: nothing is known, and that nothing can be kept is said."""
    serials = Serials.of({"HOME": home if home != "/nonexistent" else "/proc/nonexistent"})
    assert serials.marks("policy") == {}
    with pytest.raises(UnavailableError, match="the serial of this lock cannot be remembered") as caught:
        serials.raise_mark("policy", "small", Mark(1, ONE, NOON))
    assert "XDG_STATE_HOME" in caught.value.problems[0].hint


def test_a_user_without_a_home() -> None:
    serials = Serials(None)
    assert serials.marks("policy") == {}
    with pytest.raises(UnavailableError, match="there is no home folder"):
        serials.raise_mark("policy", "small", Mark(1, ONE, NOON))


def test_a_lock_file_that_is_a_link_is_not_followed(serials: Serials, tmp_path: Path) -> None:
    assert serials.path is not None
    serials.path.parent.mkdir()
    serials.path.with_name("serials.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="cannot be remembered"):
        serials.raise_mark("policy", "small", Mark(1, ONE, NOON))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("environ", "configuration", "state"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.config/mlenv", "/home/ada/.local/state/mlenv"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/mlenv", "/s/mlenv"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "./s"}, "/h/.config/mlenv", "/h/.local/state/mlenv"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}, "/h/.config/mlenv", "/h/.local/state/mlenv"),
    ],
)
def test_the_folders_of_the_specification(environ: dict[str, str], configuration: str, state: str) -> None:
    assert configuration_folder(environ) == Path(configuration)
    assert state_folder(environ) == Path(state)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_home_the_users_entry_counts(environ: dict[str, str]) -> None:
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        assert configuration_folder(environ) is None
    else:
        assert configuration_folder(environ) == Path(home) / ".config" / "mlenv"
