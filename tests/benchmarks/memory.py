#!/usr/bin/env python3
"""The most memory that locking and building a CUDA build of torch takes, with everything that it pulls in.

    python tests/benchmarks/memory.py [--package torch==2.9.1] [--folder FOLDER]

Fetches several gigabytes from the configured package index and needs three times as much room on the disk. Prints the
largest resident set of any single process, mlenv's or one that it starts, and exits with 1 where it is 300 MiB or more.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 300  # MiB

MANIFEST = """[environment]
name = "memory"
version = "1"
[python]
packages = ["{package}"]
"""


def run(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds, and the largest resident set so far, in MiB (Linux counts ru_maxrss in KiB)."""
    environ = os.environ | {"MLENV_CACHE_DIR": str(folder / "cache")}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mlenv", *arguments], cwd=folder, env=environ, check=True)
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", default="torch==2.9.1")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder or "/var/tmp") as name:
        folder = Path(name)
        (folder / "mlenv.toml").write_text(MANIFEST.format(package=options.package))
        rows = [
            ("lock, empty cache", run(folder, "lock")),
            ("build", run(folder, "build", "-o", "oci:image")),
        ]
        size = sum(path.stat().st_size for path in (folder / "image").rglob("*") if path.is_file())
        subprocess.run([sys.executable, "-m", "mlenv", "inspect"], cwd=folder, check=True)
    print(f"\nimage of {size / 1e9:.2f} GB\n\n{'':<22}{'seconds':>9}{'peak MiB so far':>18}")
    for label, (seconds, peak) in rows:
        print(f"{label:<22}{seconds:>9.1f}{peak:>18.0f}")
    sys.exit(max(peak for _, (_, peak) in rows) >= LIMIT)


if __name__ == "__main__":
    main()
