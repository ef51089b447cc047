"""mlenv as its users run it, in a project of a test's own, and what a refusal must look like."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = """\
# A comment that stays.
[environment]
name = "small"
version = "1"
platforms = ["linux/amd64"]

[base]
image = "oci:base@{base}"  # and one at the end of a line

[python]
packages = [{packages}]
find-links = ["wheels"]
"""

Tree = dict[str, str]


@dataclass(frozen=True)
class Result:
    """How a run ended. `changed` are the paths of the project that are new, gone or other than before."""

    status: int
    out: str
    err: str
    changed: tuple[str, ...]


@dataclass
class Project:
    """A folder with an mlenv.toml, and a cache beside it. uv sees no index but what a test gives it."""

    root: Path
    cache: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        return self.root / "mlenv.toml"

    @property
    def lock(self) -> Path:
        return self.root / "mlenv.lock"

    def edit(self, old: str, new: str, file: str = "mlenv.toml") -> None:
        """Replace a piece of a file's text, which must be there once."""
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "MLENV_"))}
        ours = {
            "MLENV_CACHE_DIR": str(self.cache),
            "UV_CACHE_DIR": str(self.cache.with_name("uv-cache")),
            "UV_DEFAULT_INDEX": self.root.with_name("empty-index").as_uri(),
            "UV_NO_CONFIG": "1",
            "XDG_CONFIG_HOME": str(self.root.with_name("config")),
            "XDG_STATE_HOME": str(self.root.with_name("state")),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "TMPDIR": str(self.root.with_name("tmp")),
        }
        return kept | ours | self.environ | dict(more or {})

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "mlenv", *arguments]

    def run(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        before: Sequence[str | Path] = (),
    ) -> Result:
        """`mlenv ARGUMENTS` in the project's folder; `before` is a command that runs it, such as `unshare --net`."""
        was = self.tree()
        done = subprocess.run(
            [*before, *self.command(*arguments)],
            cwd=self.root,
            env=self.environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr, self.changed_since(was))

    def run_and_send(self, number: signal.Signals, when: Callable[[], bool], *arguments: str) -> Result:
        """The same, sent a signal as soon as `when()` is true; the run must not be over by then."""
        was = self.tree()
        with subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while not when() and process.poll() is None:
                time.sleep(0.002)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        return Result(process.returncode, out, err, self.changed_since(was))

    def tree(self) -> Tree:
        """Every path below the project's folder, with what it is and holds."""
        return {str(path.relative_to(self.root)): _fingerprint(path) for path in sorted(self.root.rglob("*"))}

    def changed_since(self, was: Tree) -> tuple[str, ...]:
        now = self.tree()
        return tuple(sorted(path for path in was.keys() | now.keys() if was.get(path) != now.get(path)))

    def image_digest(self, output: str = "out") -> str:
        """What a layout's index.json names, after all of its blobs were hashed."""
        folder = self.root / output
        assert_whole_blobs(folder / "blobs" / "sha256")
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        return str(entry["digest"])

    def locked_digest(self) -> str:
        lock = tomllib.loads(self.lock.read_text())
        return str(lock["platforms"][0]["image"]["manifest"])


def any_larger(paths: Iterable[Path], size: int = 0) -> bool:
    """Whether one of the files, which come and go meanwhile, has more than `size` bytes."""
    for path in paths:
        with suppress(FileNotFoundError):
            if path.stat().st_size > size:
                return True
    return False


def _fingerprint(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_file():
        return f"file {oct(path.stat().st_mode)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return f"other {oct(path.stat().st_mode)}"


def assert_whole_blobs(folder: Path) -> None:
    """Every file of a blobs folder has the digest that is its name, and there is nothing else."""
    for path in folder.glob("*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, f"{path} is not what its name says"


def assert_refused(
    result: Result, *, status: int, says: Sequence[str], problems: int = 1, hint: bool = True, json_: bool = False
) -> None:
    """A refusal as it must be.

    One `error:` line for each problem, each with a `hint:` line unless `hint` is false; warnings perhaps; the status of
    the table in design; all of `says` in these lines; nothing on standard output, or with `json_` one document that
    says the same; no traceback; nothing in the project's folder new, gone or changed.
    """
    lines = result.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("  hint: ")]
    assert result.status == status, result
    assert "Traceback" not in result.err
    assert len(errors) == problems, result.err
    assert not hint or len(hints) == problems, result.err
    assert lines == [line for line in lines if line.startswith(("warning: ", "error: ", "  hint: "))], result.err
    for text in says:
        assert text in result.err, f"{text!r} is not in: {result.err}"
    if json_:
        document = json.loads(result.out)
        assert document["exit_status"] == status
        assert [
            f"error: {one['where']}: {one['message']}" if one["where"] else f"error: {one['message']}"
            for one in document["problems"]
        ] == errors
    else:
        assert result.out == ""
    assert result.changed == (), f"left behind: {result.changed}"
