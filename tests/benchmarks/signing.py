#!/usr/bin/env python3
"""How long `mlenv sign` and `mlenv verify lock` take as whole processes, beside cosign doing the same.

    python tests/benchmarks/signing.py [--rounds 15] [--wheels 60]

Run it with the Python that mlenv and the development dependencies are installed for (./tests/run.sh makes one), on
Debian: cosign comes out of its next suite, and asks no service here. The rows take turns, so that whatever else the
machine does hits all alike; processor time is that of the round with the least. The lock is one of that many wheels,
and before it signs, mlenv looks whether the lock is fresh.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.key_files import key_file
from support.peers import fetch_peer
from support.refusals import Project
from support.small_projects import make_project, make_wheel

PASSPHRASE = "correct horse"
FIRST = "mlenv.lock.sigstore.json"


def prepare(folder: Path, wheels: int) -> Project:
    """A locked project with keys of all kinds beside it, and a bundle of each of alice and bob."""
    project = make_project(folder)
    names = [f"package{number}" for number in range(wheels)]
    for name in names:
        make_wheel(project.root / "wheels", name)
    project.edit('packages = ["demo"]', f"packages = {names}")
    project.environ["MLENV_KEY_PASSWORD"] = PASSPHRASE
    key_file(folder, "alice")
    for arguments in (
        ["lock"],
        ["keys", "generate", "-o", "../bob.key"],
        ["keys", "generate", "-o", "../carol.key", "--type", "ed25519"],
        ["sign", "--key", "../alice.key"],
        ["sign", "--key", "../bob.key", "--as", "bob"],
    ):
        done = project.run(*arguments)
        if done.status:
            raise SystemExit(done.err)
    return project


def prepare_cosign(cosign: Path, project: Project) -> None:
    """alice's key as cosign encrypts it, the statement that she signed, and a configuration without services."""
    root = project.root
    for name, command in (("no-services", "signing-config"), ("no-authorities", "trusted-root")):
        made = subprocess.run([cosign, command, "create"], check=True, capture_output=True)
        (root / f"{name}.json").write_bytes(made.stdout)
    environ = os.environ | {"COSIGN_PASSWORD": PASSPHRASE}
    take: list[str | Path] = [cosign, "import-key-pair", "--key", "../alice.key", "--output-key-prefix", "../cosign"]
    subprocess.run(take, check=True, cwd=root, env=environ, capture_output=True)
    envelope = json.loads((root / FIRST).read_bytes())["dsseEnvelope"]
    (root / "statement.json").write_bytes(b64decode(envelope["payload"]))


def rows(project: Project, cosign: Path) -> dict[str, list[str]]:
    """What is timed: a label, and the command."""
    mlenv, program = project.command, str(cosign)
    services = ["--signing-config", "no-services.json", "--trusted-root", "no-authorities.json", "--yes"]
    unlogged = ["--insecure-ignore-tlog", "--type", "https://mlenv.dev/lock/v1"]
    two = ["--key", "../alice.key.pub", "--key", "../bob.key.pub", "--threshold", "2"]
    return {
        "python starts": [sys.executable, "-c", ""],
        "mlenv sign, P-256": mlenv("sign", "-q", "--key", "../alice.key"),
        "mlenv sign, P-256, encrypted key": mlenv("sign", "-q", "--key", "../bob.key", "--as", "bob"),
        "mlenv sign, Ed25519, encrypted key": mlenv("sign", "-q", "--key", "../carol.key", "--as", "carol"),
        "mlenv sign, cosign's encrypted key": mlenv("sign", "-q", "--key", "../cosign.key"),
        "cosign attest-blob, its encrypted key": [
            *[program, "attest-blob", "--key", "../cosign.key", "--statement", "statement.json"],
            *["--bundle", "theirs.json", *services],
        ],
        "mlenv verify lock, one key": mlenv("verify", "lock", "-q", "--key", "../alice.key.pub"),
        "mlenv verify lock, two keys of two": mlenv("verify", "lock", "-q", *two),
        "cosign verify-blob-attestation": [
            *[program, "verify-blob-attestation", "--key", "../alice.key.pub", "--bundle", FIRST],
            *[*unlogged, "mlenv.lock"],
        ],
    }


def timed(command: list[str], project: Project) -> tuple[float, float]:
    """Wall time and processor time, in seconds, of the process from start to end; it must succeed."""
    environ = project.environment({"COSIGN_PASSWORD": PASSPHRASE})
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=project.root, env=environ, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    worked = after.children_user - before.children_user + after.children_system - before.children_system
    return wall, worked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--wheels", type=int, default=60)
    options = parser.parse_args()
    cosign = fetch_peer("cosign")
    with tempfile.TemporaryDirectory() as folder:
        project = prepare(Path(folder), options.wheels)
        prepare_cosign(cosign, project)
        commands = rows(project, cosign)
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for _ in range(options.rounds):
            for label, command in commands.items():
                times[label].append(timed(command, project))
        print(f"{project.lock.stat().st_size} bytes of lock, {options.rounds} rounds, milliseconds")
    print(f"{'':40}{'median':>8}{'least':>8}{'most':>8}{'processor':>11}")
    for label, both in times.items():
        walls, worked = zip(*both, strict=True)
        columns = (statistics.median(walls), min(walls), max(walls))
        print(f"{label:40}" + "".join(f"{1000 * one:8.0f}" for one in columns) + f"{1000 * min(worked):11.0f}")


if __name__ == "__main__":
    main()
