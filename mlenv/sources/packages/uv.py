"""uv as a program: how it is started, so that nothing but what it was given and the user's indexes decides.

What uv takes from outside: the user's and the system's uv.toml, and the environment variables that say where indexes
are and how they are reached. What it does not take: variables that change the answer (UV_RESOLUTION, UV_CONSTRAINT,
...), and a uv.toml or pyproject.toml above the working directory. A project's own uv.toml is left out on purpose: a
lock covers mlenv.toml and the files that it names, so an index that another file brings in would change the answer
while the lock still looks fresh. mlenv.toml binds indexes itself.
"""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlenv.errors import ResolutionError
from mlenv.model.tags import PythonTarget

# The glibc versions 2.x for which uv knows a platform.
_UV_GLIBC = (17, 28, *range(31, 41))

# Environment variables of uv that say where bytes come from and how they are reached. Others are not passed on.
_REACH = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|OFFLINE|INDEX_\w+_(USERNAME|PASSWORD)"
    r"|KEYRING_PROVIDER|CREDENTIALS_DIR|PREVIEW_FEATURES|CACHE_DIR|NO_CACHE|CONFIG_FILE|NO_CONFIG|NATIVE_TLS"
    r"|SYSTEM_CERTS|INSECURE_HOST|HTTP_\w+|UPLOAD_HTTP_TIMEOUT|REQUEST_TIMEOUT|CONCURRENT_\w+|NO_SYSTEM_CONFIG)"
)


# What the project that is written for uv is called: a name that nobody would ask an index for.
PROJECT = "x-mlenv-requirements-of-the-manifest"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of uv ended with. Relative paths in the output start at `folder`."""

    status: int
    output: str
    messages: str
    folder: Path = Path("/")

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status == 0


def run_uv(arguments: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> Outcome:
    """Run uv in `folder`. Never raises for what uv itself says: the caller knows what it means."""
    import uv  # noqa: PLC0415 -- it looks for its binary when imported; only a resolution needs it

    done = subprocess.run(
        [uv.find_uv_bin(), *arguments],
        cwd=folder,
        env=clean_environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that uv sees: without what would change the answer, the colour or the language of it."""
    kept = {name: value for name, value in environ.items() if not name.startswith("UV_") or _REACH.fullmatch(name)}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "FORCE_COLOR", "CLICOLOR_FORCE"):
        kept.pop(name, None)
    return kept | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}


def compile_arguments(target: PythonTarget | None, python: str) -> list[str]:
    """`uv pip compile` to a pylock.toml, with every choice that configuration could make made here.

    Without a `target` the answer is for all platforms, with Python `python` or later.
    """
    where = ["--universal"] if target is None else ["--python-platform", uv_platform(target)]
    return [
        *("pip", "compile", "--quiet", "--no-header", "--format", "pylock.toml"),
        # Any interpreter will do, since version and platform are overridden; this one is certain to be here.
        *("--python", sys.executable, "--python-version", python, "--no-python-downloads", "--no-managed-python"),
        *("--index-strategy", "first-index", "--resolution", "highest", "--prerelease", "if-necessary-or-explicit"),
        *where,
    ]


def uv_platform(target: PythonTarget) -> str:
    """The platform that uv is told: of those that it knows, the one with the highest libc that the base reaches."""
    machine = target.platform.machine
    if target.libc == "musl":
        return f"{machine}-unknown-linux-musl"
    major, minor = (int(part) for part in target.libc_version.split(".")[:2])
    fitting = [known for known in _UV_GLIBC if (2, known) <= (major, minor)]
    if not fitting:
        raise ResolutionError(
            f"the base has glibc {target.libc_version}; the oldest that wheels are resolved for is 2.{_UV_GLIBC[0]}",
            hint="take a newer base",
        )
    return f"{machine}-manylinux_2_{fitting[-1]}"
