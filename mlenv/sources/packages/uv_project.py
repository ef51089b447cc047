"""One run of `uv pip compile` on a project that is written for it, in a folder of its own.

The folder holds a pyproject.toml with a [tool.uv] table: uv looks no further up for configuration then, also not into
a file that somebody else left in a shared temporary folder.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from mlenv.model.tags import PythonTarget
from mlenv.sources.packages.uv import PROJECT, Outcome, compile_arguments, run_uv


@dataclass(frozen=True, slots=True)
class BoundIndex:
    """An index (PEP 503 or 691) for some packages: these come from nowhere else, and nothing else from it."""

    name: str
    url: str
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """What is asked for.

    `packages` are PEP 508 requirements; `requirements` are requirements files, pylock.toml or uv.lock, with absolute
    paths, as are the folders in `find_links`. `exclude_newer` hides what was uploaded later.
    """

    packages: tuple[str, ...] = ()
    requirements: tuple[Path, ...] = ()
    indexes: tuple[BoundIndex, ...] = ()
    find_links: tuple[Path, ...] = ()
    exclude_newer: datetime | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Compilation:
    """One question to uv.

    `dependencies` can come from bound indexes, `files` are read by uv, `bound` are packages that are asked for only
    so that their index is known. Without a `target` the question is for all platforms and sdists count too.
    """

    request: PackageRequest
    environ: Mapping[str, str]
    target: PythonTarget | None
    python: str
    dependencies: Sequence[str] = ()
    files: Sequence[Path] = ()
    bound: Sequence[str] = ()
    preferences: Mapping[str, str] = field(default_factory=dict)
    refresh: Sequence[str] = ()
    refresh_all: bool = False
    with_dependencies: bool = True

    def run(self, *, annotated: bool = False) -> Outcome:
        """Ask. The answer is a pylock.toml, or, when `annotated`, lines of name==version with who wants them."""
        with tempfile.TemporaryDirectory(prefix="mlenv-") as name:
            folder = Path(name)
            projects = self._write_projects(folder)
            output = folder / ("requirements.txt" if annotated else "pylock.toml")
            self._write_preferences(folder / "pylock.toml")
            outcome = run_uv(
                [
                    *self._arguments(annotated=annotated),
                    *map(str, (*projects, *self.files)),
                    "--output-file",
                    str(output),
                ],
                folder=folder,
                environ=self.environ,
            )
            answer = output.read_text("utf-8") if outcome.ok else ""
        return Outcome(outcome.status, answer, outcome.messages, folder)

    def _arguments(self, *, annotated: bool) -> list[str]:
        request = self.request
        arguments = compile_arguments(self.target, self.python)
        if annotated:
            arguments[arguments.index("pylock.toml")] = "requirements.txt"
            arguments += ["--annotation-style", "line", "--no-strip-extras"]
        if self.target is not None:
            arguments.append("--no-build")
        if not self.with_dependencies:
            arguments.append("--no-deps")
        if request.offline:
            arguments.append("--offline")
        elif self.refresh_all:
            arguments.append("--refresh")
        else:
            arguments += [f"--refresh-package={name}" for name in self.refresh]
        arguments += [f"--find-links={folder}" for folder in request.find_links]
        if request.exclude_newer is not None:
            arguments.append(f"--exclude-newer={rfc3339(request.exclude_newer)}")
        return arguments

    def _write_projects(self, folder: Path) -> list[Path]:
        """A project with the dependencies, and a second one, `bound/`, that only ties packages to their index."""
        sources = _sources(self.request.indexes)
        (folder / "pyproject.toml").write_text(_project(self.dependencies, sources), "utf-8")
        projects = [folder / "pyproject.toml"]
        if self.bound:
            (folder / "bound").mkdir()
            (folder / "bound" / "pyproject.toml").write_text(_project(self.bound, sources), "utf-8")
            projects.append(folder / "bound" / "pyproject.toml")
        return projects

    def _write_preferences(self, path: Path) -> None:
        """The versions to keep where they still fit, as an earlier answer, of which uv reads name and version."""
        if self.preferences:
            packages = "".join(
                f"\n[[packages]]\nname = {json.dumps(name)}\nversion = {json.dumps(version)}\n"
                for name, version in sorted(self.preferences.items())
            )
            path.write_text('lock-version = "1.0"\ncreated-by = "mlenv"\n' + packages, "utf-8")


def _project(dependencies: Sequence[str], sources: str) -> str:
    # JSON strings are TOML strings, but for DEL, which no requirement holds.
    listed = "".join(f"  {json.dumps(dependency)},\n" for dependency in dependencies)
    return f'[project]\nname = "{PROJECT}"\nversion = "0"\ndependencies = [\n{listed}]\n\n[tool.uv]\n{sources}'


def _sources(indexes: Sequence[BoundIndex]) -> str:
    """`explicit` keeps every other package away from an index, `sources` binds a package to it."""
    text = "".join(
        f"\n[[tool.uv.index]]\nname = {json.dumps(index.name)}\nurl = {json.dumps(index.url)}\nexplicit = true\n"
        for index in indexes
    )
    if indexes:
        text += "\n[tool.uv.sources]\n"
    for index in indexes:
        for package in index.packages:
            text += f"{json.dumps(canonicalize_name(package))} = {{ index = {json.dumps(index.name)} }}\n"
    return text


def rfc3339(moment: datetime) -> str:
    """A time as RFC 3339 has it; one without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
