"""In CI a skip is a failure, wherever it comes from; elsewhere it stays a skip."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.home import CHECKOUT

FILES = {
    "test_body.py": "import pytest\ndef test_it():\n    pytest.skip('no such program')\n",
    "test_mark.py": "import pytest\n@pytest.mark.skip(reason='no such program')\ndef test_it(): pass\n",
    "test_fixture.py": (
        "import pytest\n@pytest.fixture\ndef tool():\n    pytest.skip('no such program')\ndef test_it(tool): pass\n"
    ),
    "test_module.py": "import pytest\npytest.skip('no such program', allow_module_level=True)\n",
    "test_allowed.py": (
        "import pytest\ndef test_it():\n    pytest.skip('the test vectors of others are not beside this checkout')\n"
    ),
    "test_expected.py": "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n",
}


def outcomes(folder: Path, *, ci: str) -> dict[str, str]:
    """File -> what pytest's short summary says of it."""
    for name, code in FILES.items():
        (folder / name).write_text(code)
    options = ["-p", "support.strict_skips", "-p", "no:cacheprovider", "-rA", "--no-fold-skipped"]
    command = [sys.executable, "-m", "pytest", *options, "--continue-on-collection-errors", str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"CI": ci, "PYTHONPATH": str(CHECKOUT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    summary = done.stdout.partition("short test summary info")[2]
    return {file: word for word, file in re.findall(r"^([A-Z]+) .*?(test_\w+\.py)", summary, re.MULTILINE)}


def test_every_skip_fails_in_ci_but_those_that_are_allowed(tmp_path: Path) -> None:
    assert outcomes(tmp_path, ci="true") == {
        "test_body.py": "FAILED",
        "test_mark.py": "ERROR",
        "test_fixture.py": "ERROR",
        "test_module.py": "ERROR",
        "test_allowed.py": "SKIPPED",
        "test_expected.py": "XFAIL",
    }


def test_a_skip_elsewhere_is_a_skip(tmp_path: Path) -> None:
    words = outcomes(tmp_path, ci="")
    assert words.pop("test_expected.py") == "XFAIL"
    assert set(words.values()) == {"SKIPPED"}
    assert len(words) == 5
