"""Where the tests keep what is expensive to make: Debian trees, programs, environments."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_home() -> Path:
    """`MLENV_TEST_HOME`, or `.cache/tests` in the checkout. Everything in it can be deleted."""
    return Path(os.environ.get("MLENV_TEST_HOME") or CHECKOUT / ".cache" / "tests").absolute()


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """Holds the lock `name` over all test processes that share the home."""
    path = test_home() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
