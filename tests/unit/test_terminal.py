"""What a command says, where it says it, and its exit status."""

import errno
import io
import json
import time

import pytest
import typer
from rich.console import Console

from mlenv.cli.progress import Notes, TerminalBars
from mlenv.cli.terminal import BUG, INTERRUPTED, Terminal
from mlenv.errors import (
    DigestMismatchError,
    DriftError,
    LockFormatError,
    ManifestError,
    MlenvError,
    Problem,
    RefusedError,
    ResolutionError,
    SignatureError,
    SigningKeyError,
    StaleLockError,
    TrustPolicyError,
    UnavailableError,
    UnverifiableError,
    UsageError,
)

Captured = pytest.CaptureFixture[str]

STATUSES = {
    StaleLockError: 1,
    UsageError: 2,
    ManifestError: 2,
    LockFormatError: 2,
    SignatureError: 3,
    SigningKeyError: 3,
    TrustPolicyError: 3,
    DriftError: 1,
    UnverifiableError: 4,
    ResolutionError: 5,
    UnavailableError: 6,
    RefusedError: 7,
    DigestMismatchError: 7,
}


def status_of(error: BaseException, *, json_: bool = False, verbose: int = 0) -> int:
    with pytest.raises(typer.Exit) as left, Terminal(json=json_, verbose=verbose):
        raise error
    return left.value.exit_code


@pytest.mark.parametrize(("kind", "status"), STATUSES.items())
def test_each_kind_of_error_has_its_status(kind: type[MlenvError], status: int, capsys: Captured) -> None:
    assert status_of(kind("it is wrong", where="mlenv.toml:3 a.b", hint="mend it")) == status
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: mlenv.toml:3 a.b: it is wrong\n  hint: mend it\n")


def test_every_error_is_in_that_table() -> None:
    found = set()
    kinds = MlenvError.__subclasses__()
    while kinds:
        kind = kinds.pop()
        found.add(kind)
        kinds += kind.__subclasses__()
    assert {kind for kind in found if kind.__module__ == "mlenv.errors"} == STATUSES.keys()


def test_all_problems_are_said(capsys: Captured) -> None:
    status_of(ManifestError(problems=[Problem("one", "a", "do b"), Problem("two")]))
    assert capsys.readouterr().err == "error: a: one\n  hint: do b\nerror: two\n"


def test_with_json_standard_output_holds_one_document(capsys: Captured) -> None:
    status_of(ManifestError(problems=[Problem("one", "a", "do b"), Problem("two")]), json_=True)
    assert json.loads(capsys.readouterr().out) == {
        "error": "manifest",
        "exit_status": 2,
        "problems": [
            {"where": "a", "message": "one", "hint": "do b"},
            {"where": "", "message": "two", "hint": ""},
        ],
    }


def test_a_traceback_only_for_those_who_ask_twice(capsys: Captured) -> None:
    status_of(UsageError("no"), verbose=1)
    assert "Traceback" not in capsys.readouterr().err
    status_of(UsageError("no"), verbose=2)
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("error: no\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_the_operating_system_refuses(number: int, capsys: Captured) -> None:
    assert status_of(OSError(number, "It says no", "/some/file")) == 6
    assert capsys.readouterr().err.startswith("error: /some/file: It says no\n  hint: ")


def test_ctrl_c(capsys: Captured) -> None:
    assert status_of(KeyboardInterrupt()) == INTERRUPTED == 130
    assert capsys.readouterr() == ("", "interrupted; what was fetched so far stays in the cache\n")


def test_a_bug_is_owned_up_to(capsys: Captured) -> None:
    assert status_of(ZeroDivisionError("division by zero")) == BUG
    said = capsys.readouterr().err
    assert said.startswith("error: mlenv has a bug: ZeroDivisionError: division by zero\n  hint: ")
    assert "Traceback" not in said


def test_no_reader_on_standard_error_stops_no_work(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def broken(*_: object, err: bool = False, **__: object) -> None:
        if err:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        print("data")

    monkeypatch.setattr(typer, "echo", broken)
    with Terminal() as terminal:
        terminal.say("for whoever watches")
        terminal.result({}, "data")
    assert capsys.readouterr().out == "data\n"


def test_without_a_terminal_there_are_no_bars() -> None:
    with Terminal() as terminal:
        assert isinstance(terminal.progress, Notes)


def test_quiet_says_nothing_but_errors(capsys: Captured) -> None:
    with Terminal(quiet=True) as terminal:
        terminal.say("for whoever watches")
        terminal.progress.note("for whoever watches")
    assert capsys.readouterr().err == ""
    with pytest.raises(typer.Exit), Terminal(quiet=True):
        raise UsageError("no")
    assert capsys.readouterr().err == "error: no\n"


def drawn() -> tuple[TerminalBars, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, _environ={"TERM": "xterm"})  # CI's may be "dumb"
    return TerminalBars(console, patience=0.01), screen


def test_work_that_takes_long_shows_a_bar_also_while_it_only_waits() -> None:
    bars, screen = drawn()
    task = bars.task("Waiting for [somebody]")
    time.sleep(0.3)
    assert "Waiting for [somebody]" in screen.getvalue()
    assert "0 bytes" not in screen.getvalue()
    task.finish()
    assert screen.getvalue().endswith("\x1b[2K\x1b[?25h\r"), "the bar is gone and the cursor back"
    bars.close()


def test_work_that_is_soon_over_shows_none() -> None:
    bars, screen = drawn()
    bars.patience = 60
    task = bars.task("Quick", total=10)
    task.advance(10)
    task.finish()
    bars.close()
    assert screen.getvalue() == ""


def test_a_bar_counts_bytes() -> None:
    bars, screen = drawn()
    task = bars.task("Fetching", total=4 << 20)
    task.advance(1 << 20)
    time.sleep(0.3)
    assert "1.0/4.0 MiB" in screen.getvalue()
    task.finish()
    bars.close()


@pytest.mark.parametrize("hostile", ["\x1b[2Kverified", "\x9b2J", "\u202egnp", "a\rb", "half \udce9"])
def test_nothing_from_outside_acts_on_the_terminal(hostile: str, capsys: Captured) -> None:
    status_of(UsageError(hostile, where=f"{hostile}.toml", hint=hostile))
    status_of(UsageError(hostile), json_=True)
    with Terminal() as terminal:
        terminal.say(hostile)
        terminal.progress.note(hostile)
        terminal.result({}, f"first line\n{hostile}")
    with Terminal(json=True) as terminal:
        terminal.result({"label": hostile})
    said = capsys.readouterr()
    assert hostile not in said.out + said.err
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())
    assert "first line\n" in said.out


def test_a_message_is_one_line(capsys: Captured) -> None:
    status_of(UsageError("no\nverified: mlenv.lock is approved"))
    assert capsys.readouterr().err.splitlines() == ["error: no\\nverified: mlenv.lock is approved"]


def test_a_pipe_that_breaks_elsewhere_is_no_success(capsys: Captured) -> None:
    assert status_of(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 6
    assert capsys.readouterr().err == "error: Broken pipe\n"
