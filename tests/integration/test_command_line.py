"""The program as a whole: its help, its start, terminals and pipes, and secrets that it must not tell."""

import os
import pty
import re
import resource
import subprocess
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler

import pytest
from support.index import serve, write_pages
from support.refusals import Project, assert_refused
from support.small_projects import make_wheel

COMMANDS = (
    *("lock", "build", "sign", "verify", "inspect", "init", "pin", "schema"),
    *("keys", "keys generate", "keys show"),
    *("trust", "trust add", "trust revoke", "trust list", "trust check"),
    *("trust root", "trust root new", "trust root sign", "trust root update", "trust root show"),
    *("cache", "cache prune"),
)
SECRET = "hunter2-of-the-index"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_terminal_and_names_no_inner_type(project: Project, command: str) -> None:
    result = project.run(*command.split(), "--help", environ={"COLUMNS": "80"})
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: mlenv {command}".rstrip())
    assert max(map(len, result.out.splitlines())) <= 80
    assert not re.search(r"^ +-.*<", result.out, re.MULTILINE), "a type is shown instead of a word for the value"
    assert "..." not in re.sub(r"(?<=[\]}])\.\.\.", "", result.out), "a sentence is cut off"


def test_every_command_is_in_the_help(project: Project) -> None:
    listed = project.run("--help").out.partition("Commands:\n")[2]
    assert {line.split()[0] for line in listed.splitlines()} == {command.split()[0] for command in COMMANDS}


def test_without_arguments_the_help_is_shown(project: Project) -> None:
    result = project.run()
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("Usage: mlenv ")


def test_the_version_comes_quickly(project: Project) -> None:
    """In processor time: what else runs on the machine is not measured."""
    times = []
    for _ in range(3):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = project.run("--version")
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
        assert re.fullmatch(r"mlenv .+\n", result.out)
    assert min(times) < 0.4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bild",), "no such command 'bild'"),
        (("lock", "--frozen"), "no such option: --frozen"),
        (("lock", "extra"), "unexpected extra argument"),
        (("cache", "prune", "--older-than", "soon"), "--older-than"),
        (("cache", "prune", "--older-than", "-1"), "is no number of days"),
        (("cache", "prune", "--all", "--older-than", "1"), "exclude one another"),
        (("inspect", "nonsense"), "does not name an image"),
        (("inspect", "oci:absent"), "there is no such folder"),
    ],
)
@pytest.mark.parametrize("json_", [False, True])
def test_a_wrong_command_line(project: Project, arguments: Sequence[str], says: str, json_: bool) -> None:
    result = project.run(*arguments, *(["--json"] if json_ else []))
    assert_refused(result, status=2, says=[says], json_=json_)


@pytest.mark.parametrize("arguments", [("inspect",), ("inspect", "--json"), ("schema",)])
def test_a_reader_that_goes_away_is_no_error(locked: Project, arguments: Sequence[str]) -> None:
    command = subprocess.Popen(
        locked.command(*arguments),
        cwd=locked.root,
        env=locked.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    command.stdout.close()
    _, err = command.communicate(timeout=60)
    assert (command.returncode, err) == (0, b"")


def test_a_schema_of_nothing(project: Project) -> None:
    assert_refused(project.run("schema", "everything"), status=2, says=["everything", "manifest"])


def on_a_terminal(project: Project, *arguments: str, **environ: str) -> tuple[int, str]:
    """Status, and everything that a terminal gets to see; standard output is a terminal too."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.root,
        env=project.environment({"TERM": "xterm", "COLUMNS": "100", **environ}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = bytearray()
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # EIO: the other side was closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    return process.wait(60), seen.decode()


def late(request: BaseHTTPRequestHandler, page: bytes) -> None:
    """An answer that takes longer than people wait without being told."""
    time.sleep(2)
    request.send_response(200)
    for name, value in {"Content-Type": "text/html", "Content-Length": str(len(page))}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(page)


@pytest.mark.parametrize("colour", [True, False])
def test_bars_on_a_terminal_leave_clean_lines(project: Project, colour: bool) -> None:
    name = "slow"
    make_wheel(project.root / "index" / name, name)
    write_pages(project.root / "index")
    page = (project.root / "index" / name / "index.html").read_bytes()
    project.edit('"demo"', f'"{name}"')
    with serve(project.root / "index") as index:
        index.answers[f"/{name}/"] = lambda request: late(request, page)
        environ = {"UV_DEFAULT_INDEX": index.url} | ({} if colour else {"NO_COLOR": "1"})
        status, seen = on_a_terminal(project, "lock", **environ)
    assert status == 0, seen
    assert "Resolving packages" in seen
    assert bool(re.search(r"\x1b\[[0-9;]*m", seen)) == colour
    last = seen.rpartition("\x1b[?25h")[2]  # the cursor is back before anything else is printed
    assert [line for line in last.split("\r\n") if line.strip()][-1].strip().startswith("sha256:")
    assert "\x1b" not in last


def test_an_error_on_a_terminal_has_no_colour_codes_in_it(project: Project) -> None:
    project.manifest.unlink()
    status, seen = on_a_terminal(project, "lock")
    assert status == 2
    assert "\x1b" not in seen


@pytest.mark.parametrize("place", ["reachable", "unreachable", "refusing"])
def test_no_secret_is_ever_told(project: Project, place: str) -> None:
    """Neither that of an index URL nor one of the environment, not even with -vv."""
    folder = project.root / "index"
    make_wheel(folder / "guarded", "guarded")
    write_pages(folder)
    project.edit('"demo"', '"guarded"' if place == "reachable" else '"missing-one"')
    with serve(folder, user="ada", password=SECRET if place != "refusing" else "another") as index:
        port = index.url.rpartition(":")[2] if place != "unreachable" else "9"
        environ = {
            "UV_DEFAULT_INDEX": f"http://ada:{SECRET}@127.0.0.1:{port}",
            "UV_HTTP_RETRIES": "0",
            "MLENV_KEY_PASSWORD": SECRET,
            "HF_TOKEN": SECRET,
        }
        result = project.run("lock", "-vv", environ=environ)
    assert (result.status == 0) == (place == "reachable"), result.err
    assert SECRET not in result.out + result.err
    for path in [project.lock, *project.cache.rglob("*")]:
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
