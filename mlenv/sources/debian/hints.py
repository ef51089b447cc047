"""What to do about a mirror that does not give what it should."""

from mlenv.sources.http import Hints

ANOTHER_MIRROR = "try again, or use another mirror: what this one serves is broken, or not what is signed"
"""What to do about an index or a package that is refused."""

HINTS = Hints(
    missing="the mirror is being updated: try again in some minutes, or use another one",
    unreachable="check the network, and the mirror: base.debian.mirror, MLENV_DEBIAN_MIRROR, or the apt sources",
    changed=ANOTHER_MIRROR,
)
"""What to do about a mirror that does not give a file."""
