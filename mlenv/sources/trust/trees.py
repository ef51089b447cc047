"""Whether a policy lies in the tree of the lock that it shall judge, by whichever links one gets there."""

import os
from pathlib import Path

from mlenv.errors import TrustPolicyError

_MOST_LINKS = 40  # as Linux has it (path_resolution(7))


def tree_of(lock_path: Path) -> Path:
    """The nearest folder around a lock that has `.git`, which is a file in a work tree, else the lock's own folder."""
    folder = _real(lock_path.parent)
    return next((one for one in (folder, *folder.parents) if os.path.lexists(one / ".git")), folder)


def refuse_inside_tree(policy: Path, lock_path: Path, *, shown: str) -> None:
    """TrustPolicyError where the policy, or a link that leads to it, lies in the lock's tree.

    A lock that is a link has two trees: that of the link, and that of the file.
    """
    for tree in {tree_of(lock_path), tree_of(_real(lock_path))}:
        if any(_inside(place, tree) for place in _places(policy)):
            raise TrustPolicyError(
                f"the policy lies in {tree}, as the lock does: whoever changes the one could change the other",
                where=shown,
                hint=f"keep it outside, or name it by hand: --trust {policy}",
            )


def _real(path: Path) -> Path:
    """The path without links; one that goes round in circles stays as it is, and is refused where it is read."""
    return Path(os.path.realpath(path))


def _inside(place: Path, tree: Path) -> bool:
    """By name, and by what the folders are: one folder may be mounted at two places."""
    return any(folder == tree or _same(folder, tree) for folder in (place, *place.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _places(path: Path) -> list[Path]:
    """Where a path leads to in the end, and every place on the way that a link in it leads through."""
    places = [_real(path)]
    step = Path(os.path.normpath(path.absolute()))
    for _ in range(_MOST_LINKS):
        places.append(step)
        # Unlike Path.is_symlink, this is no error where a folder may not be looked into.
        link = next((one for one in (*reversed(step.parents), step) if os.path.islink(one)), None)  # noqa: PTH114
        if link is None:
            break
        step = Path(os.path.normpath(link.parent / link.readlink() / step.relative_to(link)))
    return places
