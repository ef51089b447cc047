"""Locks that are missing, stale, edited or of another kind: refused, and no output."""

import os
import re
from collections.abc import Callable

import pytest
from support.refusals import Project, assert_refused

BUILD = ("build", "--output", "oci:out")
ZEROS = "sha256:" + "0" * 64


def replace(pattern: str, new: str) -> Callable[[str], str]:
    """An edit of the first place that the pattern matches."""

    def edit(text: str) -> str:
        changed, count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE | re.DOTALL)
        assert count == 1, f"{pattern} is not in the lock"
        return changed

    return edit


@pytest.mark.parametrize("command", [BUILD, ("lock", "--check"), ("inspect",)])
def test_missing(locked: Project, command: tuple[str, ...]) -> None:
    locked.lock.unlink()
    assert_refused(locked.run(*command), status=1, says=["mlenv.lock: there is no lock", "run `mlenv lock`"])


@pytest.mark.parametrize("command", [BUILD, ("lock", "--check"), ("lock", "--check", "--json")])
def test_stale_says_what_changed(locked: Project, command: tuple[str, ...]) -> None:
    locked.edit('version = "1"', 'version = "2"')
    (locked.root / "more.txt").write_text("demo<3\n")
    (locked.root / "app" / "main.py").write_text("print(2)\n")
    says = ["error: mlenv.toml: ", "error: more.txt: ", "error: app: ", "run `mlenv lock`"]
    assert_refused(locked.run(*command), status=1, says=says, problems=3, json_="--json" in command)


def test_a_comment_makes_no_lock_stale(locked: Project) -> None:
    locked.edit("[python]", "# packages of others\n[python]")
    assert locked.run("lock", "--check").status == 0


EDITS = {
    "layer digest": (7, replace(r'(kind = "wheels".*? digest = ")[^"]*', rf"\g<1>{ZEROS}")),
    "layer size": (7, replace(r'(kind = "wheels".*? size = )\d+', r"\g<1>1")),
    "layer diff-id": (7, replace(r'(kind = "wheels".*? diff-id = ")[^"]*', rf"\g<1>{ZEROS}")),
    "wheel digest": (7, replace(r'(name = "demo".*? digest = ")[^"]*', rf"\g<1>{ZEROS}")),
    "image manifest": (7, replace(r'(\[platforms\.image\].*?\nmanifest = ")[^"]*', rf"\g<1>{ZEROS}")),
    "image config": (7, replace(r'(\[platforms\.image\].*?\nconfig = ")[^"]*', rf"\g<1>{ZEROS}")),
    "base manifest": (7, replace(r'(\[platforms\.base\].*?\nmanifest = ")[^"]*', rf"\g<1>{ZEROS}")),
    "interpreter": (7, replace(r'(\ninterpreter = ")[^"]*', r"\g<1>/usr/bin/python3.12")),
    "wheel file name": (2, replace(r'( filename = ")demo-1\.0', r"\g<1>demo-1.1")),
    "negative size": (2, replace(r'(name = "demo".*? size = )\d+', r"\g<1>-1")),
    "digest of another kind": (2, replace(r'(name = "demo".*? digest = ")sha256', r"\g<1>md5")),
    "unknown key": (2, replace(r"\nrecipe = 1\n", '\nrecipe = 1\nsigned-by = "me"\n')),
    "a layer less": (2, replace(r'  \{ kind = "files"[^\n]*\n', "")),
    "later version": (2, replace(r"^version = 1$", "version = 2")),
    "later recipe": (2, replace(r"^recipe = 1$", "recipe = 2")),
    "not TOML": (2, replace(r"^version = 1$", "version 1")),
    "merge conflict": (2, replace(r"^version = 1$", "<<<<<<< ours\nversion = 1\n=======\nversion = 1\n>>>>>>> theirs")),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited(locked: Project, name: str) -> None:
    status, edit = EDITS[name]
    locked.lock.write_text(edit(locked.lock.read_text()))
    assert_refused(locked.run(*BUILD), status=status, says=["mlenv.lock"] if status == 2 else [])


def test_a_wheel_size_that_is_not_true_is_found_when_the_wheel_is_fetched(locked: Project) -> None:
    locked.lock.write_text(replace(r'(name = "demo".*? size = )\d+', r"\g<1>7")(locked.lock.read_text()))
    for blob in (locked.cache / "blobs" / "sha256").iterdir():
        blob.unlink()
    assert_refused(locked.run(*BUILD), status=7, says=["demo-1.0-py3-none-any.whl", "7 bytes"])


def test_not_utf8(locked: Project) -> None:
    locked.lock.write_bytes(locked.lock.read_bytes() + b"# \xff\n")
    assert_refused(locked.run(*BUILD), status=2, says=["mlenv.lock: not UTF-8"])


def test_a_folder_in_its_place(locked: Project) -> None:
    locked.lock.unlink()
    locked.lock.mkdir()
    assert_refused(locked.run(*BUILD), status=2, says=["mlenv.lock"])
    assert_refused(locked.run("lock"), status=2, says=["mlenv.lock"])


def test_a_broken_lock_is_not_overwritten(locked: Project) -> None:
    locked.lock.write_text("version 1")
    assert_refused(locked.run("lock"), status=2, says=["mlenv.lock", "not TOML"])


def test_an_edited_lock_is_made_true_again(locked: Project) -> None:
    """A relock keeps the plan; digests that it can know better are not kept."""
    true = locked.lock.read_text()
    locked.lock.write_text(EDITS["image manifest"][1](true))
    assert locked.run("lock").status == 0
    assert locked.lock.read_text() == true


def test_no_lock_is_waited_for(locked: Project) -> None:
    locked.lock.unlink()
    os.mkfifo(locked.lock)
    for command in (BUILD, ("verify", "--no-signature"), ("inspect",)):
        assert_refused(locked.run(*command), status=2, says=["mlenv.lock: cannot be read: not a regular file"])
