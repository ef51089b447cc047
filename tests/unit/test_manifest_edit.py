"""`mlenv pin` and `mlenv init`: what they write, and what they leave as it is."""

import stat
from pathlib import Path

import pytest
from support.manifests import FULL, PINNED, SMALL
from typer.testing import CliRunner

from mlenv.cli import app
from mlenv.errors import UsageError
from mlenv.model.digest import Digest
from mlenv.model.manifest_edit import image_references, is_pinned, pin_text
from mlenv.model.manifest_starter import starter_name, starter_text
from mlenv.model.manifest_toml import parse_manifest
from mlenv.sources.manifest_file import create_file, replace_manifest_text

NEW = Digest("cd" * 32)
TAGGED = PINNED.partition("@")[0]


@pytest.mark.parametrize(
    "base",
    [
        "[base]  # the base\nimage =   '{}' # why\n# after\n",
        'base = {{ image = "{}" }}  # why\n',
        'base.image = "{}"\r\n# after\r\n',
        '[base]\n"image" = """{}"""',
        "[python]\n\n[base]\nimage='{}'\n[base . debian]\n",
    ],
)
def test_a_digest_is_written_and_nothing_else_changes(base: str) -> None:
    small = (
        SMALL.replace("[environment]\n", "")
        .replace("name", "environment.name")
        .replace("version", "environment.version")
    )
    before = f"# head\n{small}{base.format(TAGGED)}"
    after = pin_text(before, {TAGGED: NEW})
    pinned = f"{TAGGED}@{NEW}"
    assert pinned in after
    for quote in ('"""', "'", '"'):
        before, after = (text.replace(quote, "") for text in (before, after))
    assert after == before.replace(TAGGED, pinned)


def test_a_digest_can_be_replaced_and_others_stay() -> None:
    assert pin_text(FULL, {PINNED: NEW}) == FULL.replace("ab" * 32, NEW.hex)
    assert pin_text(FULL, {"other:1": NEW}) == pin_text(FULL, {}) == FULL
    assert pin_text(SMALL, {"other:1": NEW}) == SMALL


def test_references_as_they_are_written() -> None:
    assert image_references(FULL) == (PINNED,)
    assert image_references(FULL.replace(PINNED, "oci:base:3")) == ("oci:base:3",)
    assert image_references(SMALL) == ()


@pytest.mark.parametrize(
    ("reference", "now", "later"),
    [
        ("python:3.12", False, False),
        ("python", False, False),
        (f"python:3.12@{NEW}", True, False),
        (f"python@{NEW}", True, True),
        (f"host:5000/python@{NEW}", True, True),
        (f"oci:dir@{NEW}", True, True),
        (f"oci:dir:tag@{NEW}", True, False),
    ],
)
def test_what_is_pinned(reference: str, now: bool, later: bool) -> None:
    assert (is_pinned(reference), is_pinned(reference, upgrade=True)) == (now, later)


def test_what_init_writes_is_a_manifest() -> None:
    for schema in (True, False):
        text = starter_text("My Project", schema=schema)
        assert parse_manifest(text).environment.name == "my-project"
        assert text.startswith("#:schema ./mlenv.schema.json\n") == schema


def test_every_line_of_what_init_writes_works_without_its_comment_mark() -> None:
    """But the second of the two bases, which the first excludes."""
    text = starter_text("a", schema=False).replace("# [base]\n# image", "# image")
    lines = [
        line.removeprefix("# ") if line.startswith(("# [", "# ")) and "=" in line else line
        for line in text.splitlines()
    ]
    lines = [line.removeprefix("# ") if line.startswith("# [") else line for line in lines]
    lines = [line for line in lines if not line.startswith("image")]
    found = parse_manifest("\n".join(lines))
    assert found.files[0].target == "/app"
    assert found.resources.memory == 16 * 2**30


@pytest.mark.parametrize(
    ("folder", "name"),
    [("a", "a"), ("My Project!", "my-project"), ("", "environment"), ("été", "t"), ("a__b..c", "a-b-c")],
)
def test_a_folder_gives_a_name(folder: str, name: str) -> None:
    assert starter_name(folder) == name


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "mlenv.toml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        create_file(path, "theirs")
    assert path.read_text() == "mine"


def test_replacing_keeps_permissions_and_links_and_leaves_nothing_behind(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("before")
    real.chmod(0o640)
    link = tmp_path / "mlenv.toml"
    link.symlink_to("real.toml")
    replace_manifest_text(link, "after\r\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"after\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(item.name for item in tmp_path.iterdir()) == ["mlenv.toml", "real.toml"]


def test_the_commands(tmp_path: Path) -> None:
    manifest = tmp_path / "mlenv.toml"
    run = CliRunner().invoke
    assert run(app, ["init", "--manifest", str(manifest)]).exit_code == 0
    schema = run(app, ["schema"])
    assert (tmp_path / "mlenv.schema.json").read_text() == schema.stdout
    again = run(app, ["init", "--manifest", str(manifest)])
    assert again.exit_code == 2
    assert "there already" in again.stderr
    pinned = run(app, ["pin", "--manifest", str(manifest), "--json"])
    assert (pinned.exit_code, pinned.stdout) == (0, '{\n  "pinned": {}\n}\n')
