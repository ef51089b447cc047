"""What a stage is given from outside: where the project and the cache lie, the clock, the environment, who watches."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from mlenv.model.progress import SILENT, Progress
from mlenv.sources.cache import Cache, default_root


def processors() -> int:
    """How many processors this process may use, where the system says so (Linux), else how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that differs from one run to the next and must not reach a digest.

    `project` is the folder of mlenv.toml. `jobs` is how many threads work at once. With `offline`, what is not in the
    cache is an error.
    """

    project: Path
    cache: Cache
    environ: Mapping[str, str]
    now: datetime
    progress: Progress = SILENT
    offline: bool = False
    jobs: int = field(default_factory=processors)

    @classmethod
    def of_this_process(cls, project: Path, *, progress: Progress = SILENT, offline: bool = False) -> Self:
        """The process's own environment variables, the system's clock, the user's cache.

        Variables of keys are left out: uv and whatever else is started has no use for them.
        """
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MLENV_KEY")}
        return cls(project, Cache(default_root()), environ, datetime.now(UTC), progress, offline)
