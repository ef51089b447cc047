"""Make the folder of a release: a lock, signed by this mlenv in every way that it can sign, by keys then thrown away.

    python tests/golden/signatures/make.py 0.1.0

A folder that is there is never made again: what a release signed stays as it was.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from support.small_projects import make_project  # noqa: E402 -- after the path is set

FILES = (
    "mlenv.lock",
    "mlenv.lock.sigstore.json",
    "mlenv.lock.bob.sigstore.json",
    "provenance.sigstore.json",
    "trust.toml",
    "trust.root.json",
)


def main(version: str) -> None:
    """Run the program as a user would, and keep what it wrote."""
    with tempfile.TemporaryDirectory() as temporary:
        project = make_project(Path(temporary) / "made")
        project.environ["MLENV_KEY_PASSWORD"] = os.urandom(16).hex()

        def run(*arguments: str) -> None:
            result = project.run(*arguments)
            assert result.status == 0, result.err

        for name, kind in (("alice", "ecdsa-p256"), ("bob", "ed25519"), ("builder", "ecdsa-p256")):
            run("keys", "generate", "--type", kind, "--output", f"{name}.key")
        for name, more in (("alice", ()), ("bob", ("--threshold", "2")), ("builder", ("--role", "builder"))):
            run("trust", "add", name, "--key", f"{name}.key.pub", "--environment", "small", *more)
        (policy,) = project.root.with_name("config").rglob("trust.toml")
        run("lock", "--key", "alice.key")
        run("sign", "--key", "bob.key", "--as", "bob")
        run("build", "--output", "oci:out", "--provenance", "provenance.sigstore.json", "--key", "builder.key")
        keys = ("--key", "alice.key.pub", "--key", "bob.key.pub", "--threshold", "2")
        run("trust", "root", "new", str(policy), *keys, "--output", "trust.root.json")
        for name in ("alice", "bob"):
            run("trust", "root", "sign", "trust.root.json", "--key", f"{name}.key")
        shutil.copy(policy, project.root)
        folder = FOLDER / version
        folder.mkdir()
        for name in FILES:
            (folder / name).write_bytes((project.root / name).read_bytes())


if __name__ == "__main__":
    main(sys.argv[1])
