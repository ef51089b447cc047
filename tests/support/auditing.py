"""The commands of schema/auditing.md, as an auditor copies them out of it."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.home import CHECKOUT
from support.programs import find_tool

PAGE = CHECKOUT / "schema" / "auditing.md"

# The headings of the page.
BEFORE = "Before you begin"
OPENSSL = "Check the signature with openssl"
COSIGN = "Check the signature with cosign"
SEVERAL = "Several signers"
SERIAL = "Serial and old locks"
IMAGE = "Compare the image with the lock"


def blocks(heading: str) -> list[str]:
    """The shell commands below a heading, block by block."""
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert section, f"{PAGE} has no heading {heading!r}"
    found = re.findall(r"^```sh\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert found, f"there are no commands under {heading!r} in {PAGE}"
    return found


def follow(
    folder: Path,
    *headings: str,
    names: Mapping[str, str] | None = None,
    programs: Sequence[Path] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run what stands under the headings in a folder, as the page says: by `sh -eu`, in order.

    Standard error has each command before it runs, behind a `+`. `names` takes the place of file names that the page
    uses; `programs` are found though they are not on the PATH.
    """
    for name in ("openssl", "jq"):
        find_tool(name)
    script = "".join(block for heading in (BEFORE, *headings) for block in blocks(heading))
    for name, other in (names or {}).items():
        assert name in script, f"{PAGE} names no {name}"
        script = script.replace(name, other)
    path = os.pathsep.join([*(str(program.parent) for program in programs), os.environ["PATH"]])
    return subprocess.run(
        ["sh", "-eux"],
        input=script,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_fails_at(command: str, done: "subprocess.CompletedProcess[str]") -> None:
    """The last command that ran begins so, and it failed."""
    ran = [line.lstrip("+ ") for line in done.stderr.splitlines() if line.startswith("+")]
    assert done.returncode != 0, f"nothing failed: {done.stderr}"
    assert ran[-1].startswith(command), done.stderr
