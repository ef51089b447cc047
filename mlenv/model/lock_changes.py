"""What a relock changed, for whoever reviews it."""

from collections.abc import Iterable

from mlenv.model.lock import LockedDeb, LockedPlatform, LockedWheel


def package_changes(before: LockedPlatform | None, after: LockedPlatform) -> list[str]:
    """One line a package: `+ numpy 2.3.4`, `- six 1.17.0`, `numpy 2.3.3 -> 2.3.4`; wheels, then Debian packages."""
    wheels = _changes(before.wheels if before else (), after.wheels)
    return wheels + [f"{line} (Debian)" for line in _changes(before.debs if before else (), after.debs)]


def _changes(before: Iterable[LockedWheel | LockedDeb], after: Iterable[LockedWheel | LockedDeb]) -> list[str]:
    old, new = ({one.name: one.version for one in packages} for packages in (before, after))
    lines = []
    for name in sorted(old.keys() | new.keys()):
        match old.get(name), new.get(name):
            case None, version:
                lines.append(f"+ {name} {version}")
            case version, None:
                lines.append(f"- {name} {version}")
            case earlier, later if earlier != later:
                lines.append(f"{name} {earlier} -> {later}")
    return lines
