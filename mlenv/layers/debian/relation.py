"""Relations between Debian packages (Debian policy, chapter 7) and the order of versions (deb-version(7))."""

import re
from dataclasses import dataclass
from functools import lru_cache

_RELATION = re.compile(
    r"(?P<name>[a-zA-Z0-9][a-zA-Z0-9+.-]*)(?::(?P<qualifier>[a-z0-9-]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s()]+)\s*\))?"
)
_VERSION = re.compile(r"(?:[0-9]+:)?[0-9A-Za-z.+:~-]+")
_OBSOLETE = {"<": "<=", ">": ">="}  # policy 7.1: what the two mean where somebody still writes them


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """One package, perhaps of certain versions: `libc6 (>= 2.38)`. `qualifier` is what follows a colon: `any`."""

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def holds(self, version: str) -> bool:
        """Whether a package of that name and version is meant."""
        if not self.operator:
            return True
        order = compare_versions(version, self.version)
        return {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}[self.operator]

    def holds_for_provided(self, provided: "Relation") -> bool:
        """Whether a `Provides` fits. One without a version fits only where no version is asked for (policy 7.5)."""
        if provided.name != self.name:
            return False
        return not self.operator or (provided.operator == "=" and self.holds(provided.version))

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


Group = tuple[Relation, ...]
"""Alternatives, of which one is enough: `debconf (>= 0.5) | debconf-2.0`."""


def parse_relations(text: str) -> tuple[Group, ...]:
    """The groups of a field such as Depends. Raises ValueError."""
    parts = (part.strip() for part in text.replace("\n", " ").split(","))
    return tuple(tuple(_relation(one.strip()) for one in part.split("|")) for part in parts if part)


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a relation: {text[:80]!r}")
    operator = match["operator"] or ""
    version = valid_version(match["version"]) if match["version"] else ""
    return Relation(match["name"], _OBSOLETE.get(operator, operator), version, match["qualifier"] or "")


def valid_version(text: str) -> str:
    """The version as it is. Raises ValueError where it is none."""
    if not _VERSION.fullmatch(text):
        raise ValueError(f"not a version: {text[:80]!r}")
    return text


@lru_cache(maxsize=65536)
def compare_versions(a: str, b: str) -> int:
    """Less than, equal to or greater than 0, as `a` is older than, the same as or newer than `b`."""
    # NativeVersion, since `Version` is apt's own comparison where python-apt is installed.
    from debian.debian_support import NativeVersion  # noqa: PLC0415 -- loads the package only for a fresh lock

    first, second = NativeVersion(a), NativeVersion(b)
    return int(first > second) - int(first < second)
