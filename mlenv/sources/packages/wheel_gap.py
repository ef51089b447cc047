"""What to say of a package that has no wheel for the base: which tags exist, learnt from uv."""

from collections.abc import Sequence
from dataclasses import replace

from mlenv.errors import ManifestError, Problem, ResolutionError
from mlenv.model.tags import PythonTarget, target_tags
from mlenv.sources.packages.pylock import available_tags, no_wheel, read_pylock, wheel_tags
from mlenv.sources.packages.uv_project import Compilation

_OLDEST_PYTHON = 8  # 3.8: what only ran on older ones is called by its source distribution


def missing_wheels(
    question: Compilation, packages: Sequence[tuple[str, str]], target: PythonTarget
) -> ResolutionError | None:
    """The error that names each package without a fitting wheel, or None where there turns out to be one.

    `packages` are (name, version or "") that uv found no wheel for while answering `question`.
    """
    problems: list[Problem] = []
    tags = set(target_tags(target))
    for name, version in packages:
        known = _files(question, name, version, target)
        if known is not None and not any(tags & wheel_tags(filename) for filename in known[1]):
            problems += no_wheel(name, known[0], target, known[2]).problems
    return ResolutionError(problems=problems) if problems else None


def _files(
    question: Compilation, name: str, version: str, target: PythonTarget
) -> tuple[str, list[str], list[str]] | None:
    """Version, wheel names and tags of what the index has, for any platform.

    uv shows only wheels for the Python asked for or later ones, so older ones are tried until there is one.
    """
    found = None
    for minor in range(target.python_version[1], _OLDEST_PYTHON - 1, -1):
        outcome = replace(
            question,
            target=None,
            python=f"3.{minor}",
            dependencies=[f"{name}=={version}" if version else name],
            files=(),
            bound=(),
            preferences={},
            # Without dependencies uv needs no metadata: it neither builds nor runs what it lists.
            with_dependencies=False,
        ).run()
        if not outcome.ok:
            continue
        try:
            packages = read_pylock(outcome.output, where="uv", folder=outcome.folder).packages
        except ManifestError:
            return None
        for package in packages:
            if package.name != name:
                continue
            filenames = [wheel.filename for wheel in package.wheels or ()]
            found = (str(package.version or version), filenames, available_tags(package))
            if filenames:
                return found
    return found
