"""Which wheels a base can run, and what the environment markers of a requirement say there.

Both are made from the base's facts alone. The machine that resolves is never asked: a lock for linux/arm64 that was
made on amd64 is the one made on arm64 (packaging.python.org: "Platform compatibility tags", "Dependency specifiers").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

from packaging.markers import Environment
from packaging.tags import Tag, compatible_tags, cpython_tags

from mlenv.model.facts import BaseFacts
from mlenv.model.platform import Platform

# Names from before PEP 600, each for the glibc 2.x that it stands for.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
# The oldest glibc 2.x for which manylinux defines tags.
_OLDEST_GLIBC = {Platform.LINUX_AMD64: 5, Platform.LINUX_ARM64: 17}


@dataclass(frozen=True, slots=True)
class PythonTarget:
    """The interpreter that packages are resolved for: CPython with the GIL, not a debug build.

    `libc_version` is major.minor ("2.41", "1.2"), `python` the full version ("3.13.5").
    """

    platform: Platform
    libc: Literal["glibc", "musl"]
    libc_version: str
    python: str

    @classmethod
    def of(cls, platform: Platform, facts: BaseFacts) -> Self:
        """The target that a base is."""
        return cls(platform, facts.libc, facts.libc_version, facts.python)

    @property
    def python_version(self) -> tuple[int, int]:
        """Major and minor: (3, 13)."""
        major, minor = self.python.split(".")[:2]
        return int(major), int(minor)

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform} with {self.libc} {self.libc_version}"


def target_tags(target: PythonTarget) -> list[Tag]:
    """The tags that fit, best first: as `packaging.tags.sys_tags` would list them on the base itself."""
    version = target.python_version
    interpreter = f"cp{version[0]}{version[1]}"
    platforms = list(_platforms(target))
    # The ABI is spelled out: left to itself, packaging takes debug and free threading from the running interpreter.
    tags = [*cpython_tags(version, [interpreter], platforms), *compatible_tags(version, interpreter, platforms)]
    return list(dict.fromkeys(tags))


def _platforms(target: PythonTarget) -> Iterator[str]:
    machine = target.platform.machine
    major, minor = (int(part) for part in target.libc_version.split(".")[:2])
    yield f"linux_{machine}"
    if target.libc == "musl":
        yield from (f"musllinux_{major}_{older}_{machine}" for older in range(minor, -1, -1))
        return
    for older in range(minor, _OLDEST_GLIBC[target.platform] - 1, -1):
        yield f"manylinux_{major}_{older}_{machine}"
        if older in _LEGACY:
            yield f"{_LEGACY[older]}_{machine}"


def target_environment(target: PythonTarget) -> Environment:
    """The values of all environment markers.

    `platform_release` and `platform_version` are the kernel's, which a base does not have: they are empty, as uv has
    them when it resolves for another platform.
    """
    major, minor = target.python_version
    return {
        "implementation_name": "cpython",
        "implementation_version": target.python,
        "os_name": "posix",
        "platform_machine": target.platform.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": target.python,
        "python_version": f"{major}.{minor}",
        "sys_platform": "linux",
    }
