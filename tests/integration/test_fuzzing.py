"""A short run of every fuzzing target from its kept corpus: what once was found is found again, and a little is new."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.home import CHECKOUT

pytest.importorskip("atheris", reason="atheris has no wheel for this machine")

FUZZ = CHECKOUT / "tests" / "fuzz"
TARGETS = sorted(path.name for path in (FUZZ / "corpus").iterdir())


def test_every_target_has_a_corpus() -> None:
    source = (FUZZ / "trust.py").read_text()
    listed = source.partition("for one in (")[2].partition(")")[0]
    assert TARGETS
    assert all(f"        {name}," in source for name in TARGETS)
    assert listed.count(",\n") == len(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_documented_errors(target: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    corpus = FUZZ / "corpus" / target
    runs = len(list(corpus.iterdir())) + 2000
    options = [f"-runs={runs}", "-max_total_time=20", "-seed=1", "-timeout=20", f"-artifact_prefix={tmp_path}/"]

    done = subprocess.run(
        [sys.executable, FUZZ / "trust.py", target, *options, found, corpus],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done " in done.stderr
