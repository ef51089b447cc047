"""mlenv.lock: one spelling, read strictly."""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from support.locks import contents, layer, lock, wheel

from mlenv.errors import LockFormatError
from mlenv.model.digest import Digest
from mlenv.model.lock import Lock
from mlenv.model.lock_schema import lock_schema
from mlenv.model.manifest import Container, Environment
from mlenv.model.platform import Platform
from mlenv.model.toml_writer import write_toml

SCHEMA = Path(__file__).resolve().parents[2] / "schema" / "mlenv.lock.schema.json"


def test_a_lock_is_read_back_as_it_was_written() -> None:
    made = lock(contents(), contents(Platform.LINUX_ARM64))
    text = made.to_toml()
    assert Lock.parse(text) == made
    assert Lock.parse(text).to_toml() == text


def test_rows_stand_on_a_line_each() -> None:
    lines = lock().to_toml().splitlines()
    rows = [line for line in lines if line.startswith('  { name = "alpha"')]
    assert len(rows) == 1
    assert "requested = true" in rows[0]


def test_every_setting_of_a_container_survives() -> None:
    container = Container.model_validate(
        {
            "user": "root",
            "entrypoint": ["tini", "--"],
            "command": ["python", "-c", 'print("\\"ä\\n")'],
            "env": {"A": "b=c"},
            "ports": ["8000/tcp"],
            "secrets": ["HF_TOKEN"],
            "healthcheck": {"command": ["true"], "interval": "1m30s", "retries": 3},
            "stop-signal": "SIGINT",
        }
    )
    environment = Environment(name="small", version="1.0", epoch=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    made = lock(container=container, environment=environment)
    assert Lock.parse(made.to_toml()) == made
    assert "epoch = 2026-01-02T03:04:05Z" in made.to_toml()


def test_the_schema_that_is_checked_in_is_the_code_s() -> None:
    assert json.loads(SCHEMA.read_text()) == lock_schema()


def test_a_lock_is_valid_by_its_schema() -> None:
    document = tomllib.loads(lock(contents(), contents(Platform.LINUX_ARM64)).to_toml())
    jsonschema.validate(json.loads(json.dumps(document, default=lambda moment: moment.isoformat())), lock_schema())


def problems(text: str) -> list[str]:
    with pytest.raises(LockFormatError) as refused:
        Lock.parse(text)
    assert all(problem.hint for problem in refused.value.problems)
    return [str(problem) for problem in refused.value.problems]


def test_a_later_version_is_refused() -> None:
    (problem,) = problems(lock().to_toml().replace("version = 1\n", "version = 2\n", 1))
    assert "lock version 2" in problem


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("recipe = 1", "recipe = 2"), "recipe"),
        (("size = 7 }", "size = -7 }"), "platforms[0].debs[0].size"),
        (('name = "beta", version = "1.0"', 'name = "beta", version = "1.1"'), "is not a wheel of beta 1.1"),
        (("beta-1.0-py3-none-any.whl", "beta.whl"), "platforms[0].wheels[1]"),
        (("size = 7 }", "size = 7.0 }"), "platforms[0].debs[0].size"),
        (("size = 7 }", f"size = {1 << 60} }}"), "platforms[0].debs[0].size"),
        (("size = 7 }", "size = 7, url = 'x' }"), "platforms[0].debs[0].url"),
        (('contents = ["alpha", "beta"]', 'contents = ["alpha"]'), "do not hold each locked item once"),
        (('contents = ["alpha", "beta"]', 'contents = ["alpha", "beta", "beta"]'), "do not hold each locked item once"),
        (('source = "app"', 'source = "../app"'), "trees"),
        (('target = "/app"', 'target = "/proc/app"'), "trees"),
        (('platforms = ["linux/amd64"]', 'platforms = ["linux/arm64"]'), "not those of the environment"),
        (("[platforms.image]", "[platforms.picture]"), "platforms[0].image"),
        (("sha256:", "sha512:"), "manifest"),
        (("recipe = 1", "recipe = 1\nrecipe = 1"), "not TOML"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], says: str) -> None:
    text = lock().to_toml()
    assert change[0] in text
    assert any(says in problem for problem in problems(text.replace(*change, 1)))


def test_every_wheel_is_in_one_layer() -> None:
    with pytest.raises(ValueError, match="do not hold each locked item once"):
        contents(layers=(layer("debian", "libc6"), layer("venv"), layer("files", "/app")))


def test_the_index_is_the_image_of_several_platforms() -> None:
    one, two = lock(), lock(contents(), contents(Platform.LINUX_ARM64))
    assert one.image_digest == one.platforms[0].image.manifest
    assert two.image_digest == two.index
    assert two.platforms[0].image.manifest == one.platforms[0].image.manifest


def test_requested_is_part_of_a_wheel() -> None:
    assert wheel("alpha", requested=True) != wheel("alpha")


def test_a_digest_is_written_as_its_text() -> None:
    assert tomllib.loads(write_toml({"a": Digest.of(b"")}))["a"] == str(Digest.of(b""))
