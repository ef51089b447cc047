"""Whole Debian systems in a folder, and commands run inside them.

A tree is made once by mmdebstrap and hardly written to again: whoever works in it gets a private mount
namespace with an empty /tmp and /run, which vanishes, mounts and all, with the last process in it.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from support import programs
from support.home import only_one, test_home

# One tree per suite serves everything that the tests take from it: an engine, an interpreter.
CONTENTS = {
    "trixie": ("python3", "ca-certificates"),
    "forky": ("python3", "ca-certificates", "docker.io"),
}

# $1 the tree, $2 the working directory, then the paths to be bound, then --, then the command.
ENTER = """\
set -e
tree=$1 cwd=$2
shift 2
mount --make-rprivate /
mount --rbind "$tree" "$tree"
mount -t tmpfs tmpfs "$tree/tmp"
mount -t tmpfs tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/root"
for folder in proc sys dev; do mount --rbind "/$folder" "$tree/$folder"; done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mkdir -p "$tree$1"
    else
        mkdir -p "$tree${1%/*}"
        [ -e "$tree$1" ] || : > "$tree$1"
    fi
    mount --rbind "$1" "$tree$1"
    shift
done
shift
exec chroot "$tree" sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
"""


@cache
def debian_mirror() -> str:
    """The mirror in this machine's own apt sources, as `http://HOST/debian/`; skips where there is none."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs a Debian machine: there is no apt-get")
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages"]
    targets = subprocess.run(wanted, capture_output=True, text=True, check=True).stdout.splitlines()
    mirrors = [line.split()[0] for line in targets if line.split()[1:] == ["Debian", "Debian"]]
    if not mirrors:
        pytest.skip("needs a Debian mirror: apt's sources name none, or apt-get update was never run")
    return mirrors[0]


def debian_tree(suite: str) -> Path:
    """The tree of `suite`, made on first use (20 to 60 s, about 500 MB)."""
    programs.require_root(f"a Debian {suite} tree is mounted and entered")
    mmdebstrap = programs.find_tool("mmdebstrap")
    packages = CONTENTS[suite]
    tree = test_home() / "trees" / suite
    with only_one(f"tree-{suite}"):
        # The list of packages is written last: a tree without it was never finished.
        stamp = tree.with_suffix(".packages")
        if not stamp.exists() or stamp.read_text().split() != list(packages):
            stamp.unlink(missing_ok=True)
            shutil.rmtree(tree, ignore_errors=True)
            tree.parent.mkdir(parents=True, exist_ok=True)
            _bootstrap([str(mmdebstrap), f"--include={','.join(packages)}"], suite, tree)
            stamp.write_text("\n".join(packages) + "\n")
    return tree


def _bootstrap(command: Sequence[str], suite: str, tree: Path) -> None:
    options = [
        "--quiet",
        "--variant=apt",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--format=directory",
    ]
    arguments = [*command, *options, suite, str(tree), debian_mirror()]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        shutil.rmtree(tree, ignore_errors=True)
        pytest.fail(f"mmdebstrap {suite} failed:\n{done.stderr[-4000:]}", pytrace=False)


def inside(tree: Path, command: Sequence[str], binds: Sequence[Path] = (), cwd: str = "/") -> list[str]:
    """The command line that runs `command` in `tree`; each of `binds` is there, at the same path."""
    folders = [str(bind) for bind in binds]
    return ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(tree), cwd, *folders, "--", *command]


def outside_environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what points at its own interpreter; PATH is a plain Debian one."""
    dropped = ("PYTHON", "VIRTUAL_ENV", "PYENV", "CONDA", "PYTEST", "COVERAGE", "LD_", "PATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} | dict(overrides or {})
