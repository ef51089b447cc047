"""Files that appear whole or not at all."""

import tempfile
from pathlib import Path

import pytest

from mlenv.sources.whole_file import write_whole


def test_a_file_that_another_process_took_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a file's making and its lock another writer of the same name may tidy it away."""
    make, made = tempfile.mkstemp, list[str]()

    def make_and_lose_the_first(*, prefix: str, dir: Path) -> tuple[int, str]:  # noqa: A002 -- the name in tempfile
        descriptor, name = make(prefix=prefix, dir=dir)
        if not made:
            Path(name).unlink()
        made.append(name)
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", make_and_lose_the_first)
    write_whole(tmp_path / "new.key", [b"key"], replace=False)
    assert len(made) == 2
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("new.key", b"key")]
