"""Whether a lock still belongs to mlenv.toml and to the files that it names."""

from pathlib import Path

from mlenv.errors import MlenvError, Problem, StaleLockError
from mlenv.layers.complete import complete
from mlenv.layers.tree import tree_digest, tree_entries
from mlenv.model.lock import Lock
from mlenv.model.manifest import EnvironmentManifest
from mlenv.sources.project_files import requirements_digests


def changes_since(lock: Lock, manifest: EnvironmentManifest, project: Path) -> list[Problem]:
    """What is no longer as it was locked; nothing where the lock is fresh. Reads files of the project only."""
    problems = []
    if manifest.digest != lock.manifest:
        problems.append(Problem("says something else than when it was locked", "mlenv.toml"))
    locked_files = {one.path: one.digest for one in lock.requirements}
    for path, digest in requirements_digests(manifest, project):
        if locked_files.get(path) != digest:
            problems.append(Problem("has changed since it was locked", path))
    problems += _changed_trees(lock, manifest, project)
    return problems


def require_fresh(lock: Lock, manifest: EnvironmentManifest, project: Path) -> None:
    """Raise StaleLockError, with everything that changed, where the lock is not fresh."""
    if problems := changes_since(lock, manifest, project):
        hint = "run `mlenv lock` and commit the new mlenv.lock"
        raise StaleLockError(problems=[Problem(p.message, p.where, hint) for p in problems])


def _changed_trees(lock: Lock, manifest: EnvironmentManifest, project: Path) -> list[Problem]:
    locked = {tree.target: tree.digest for platform in lock.platforms[:1] for tree in platform.trees}
    problems: list[Problem] = []
    for tree in manifest.files:
        try:
            found = tree_digest(complete(tree_entries(project, tree)))
        except MlenvError as error:
            problems.extend(error.problems)
            continue
        if locked.get(tree.target) != found:
            problems.append(Problem("has changed since it was locked", tree.source))
    return problems
