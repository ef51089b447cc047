"""The user's folders of configuration and state (XDG base directory specification, 0.8)."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def configuration_folder(environ: Mapping[str, str]) -> Path | None:
    """`mlenv` in $XDG_CONFIG_HOME, else in ~/.config; None where this user has no home."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config")


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """`mlenv` in $XDG_STATE_HOME, else in ~/.local/state; None where this user has no home."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state")


def _folder(environ: Mapping[str, str], variable: str, usual: str) -> Path | None:
    explicit = environ.get(variable, "")
    if explicit.startswith("/"):  # the specification has relative paths ignored
        return Path(explicit) / "mlenv"
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # a container's user without an entry
            return None
    return Path(home) / usual / "mlenv" if home.startswith("/") else None
