"""`mlenv cache` and `mlenv cache prune`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlenv.cli.cache import app, readable
from mlenv.sources.cache import Cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("MLENV_CACHE_DIR", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")


def test_show(cache: Cache) -> None:
    cache.put([b"x" * 2048])
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert str(cache.root) in result.stdout
    assert "blobs" in result.stdout
    assert "2.0 KiB" in result.stdout
    found = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert found == {
        "path": str(cache.root),
        "size": 2048,
        "kinds": [{"kind": "blobs", "count": 1, "size": 2048}],
    }


def test_an_empty_cache(cache: Cache) -> None:
    assert CliRunner().invoke(app, []).exit_code == 0
    assert CliRunner().invoke(app, ["prune", "--all"]).exit_code == 0
    assert not cache.root.exists()


def test_prune(cache: Cache) -> None:
    digest = cache.put([b"x" * 2048])
    assert "removed 0 files" in CliRunner().invoke(app, ["prune"]).stdout
    assert "removed 0 files" in CliRunner().invoke(app, ["prune", "--older-than", "1"]).stdout
    assert cache.has(digest)
    assert "removed 1 file, 2.0 KiB" in CliRunner().invoke(app, ["prune", "--all"]).stdout
    assert not cache.has(digest)


@pytest.mark.parametrize("arguments", [["--all", "--older-than", "1"], ["--older-than", "-1"], ["--older-than", "nan"]])
def test_wrong_options(cache: Cache, arguments: list[str]) -> None:
    digest = cache.put([b"x"])
    result = CliRunner().invoke(app, ["prune", *arguments])
    assert result.exit_code == 2
    assert cache.has(digest)


def test_sizes_for_people() -> None:
    assert [readable(size) for size in (0, 1023, 1024, 1 << 20, 5 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "1.0 MiB", "5.0 TiB",
    ]  # fmt: skip
