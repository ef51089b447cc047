"""Many processes raise marks in one file at once."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from mlenv.model.digest import Digest
from mlenv.sources.trust.serials import Serials
from mlenv.trust.judge import Mark

RAISES = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from mlenv.model.digest import Digest
from mlenv.sources.trust.serials import Serials
from mlenv.trust.judge import Mark

serials, me = Serials(Path(sys.argv[1])), int(sys.argv[2])
for serial in range(1, 11):
    lock = Digest.of(str(serial).encode())
    serials.raise_mark("policy", "shared", Mark(serial, lock, datetime(2026, 6, 1, 12, serial, tzinfo=UTC)))
    assert serials.marks("policy")["shared"].serial >= serial
    serials.raise_mark("policy", f"own-{me}", Mark(serial, lock, datetime(2026, 6, 1, tzinfo=UTC)))
"""


def test_many_processes_lose_nothing(tmp_path: Path) -> None:
    serials = Serials(tmp_path / "serials.json")
    count = 8
    running = [
        subprocess.Popen([sys.executable, "-c", RAISES, str(serials.path), str(number)], stderr=subprocess.PIPE)
        for number in range(count)
    ]
    for process in running:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
    marks = serials.marks("policy")
    assert marks["shared"] == Mark(10, Digest.of(b"10"), datetime(2026, 6, 1, 12, 10, tzinfo=UTC))
    assert {name: mark.serial for name, mark in marks.items() if name != "shared"} == {
        f"own-{number}": 10 for number in range(count)
    }
