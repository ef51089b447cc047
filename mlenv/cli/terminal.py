"""What a command says: data to standard output, all else to standard error, and its exit status.

    with Terminal(json=json_, quiet=quiet, verbose=verbose) as terminal:
        ...
        terminal.result({"image": str(digest)}, text)

Errors of mlenv that leave the block are printed (what and where, then what to do) and become the exit status of
design's table. Nothing else in mlenv prints or exits.
"""

import errno
import json
import os
import sys
import traceback
from types import TracebackType
from typing import Any, Self

import typer

from mlenv.cli.streams import abandon, tell, visible
from mlenv.errors import MlenvError, UnavailableError, UsageError
from mlenv.model.progress import SILENT, Progress

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BUG = 70  # EX_SOFTWARE of sysexits.h: none of the documented failures


class Terminal:
    """One command's voice."""

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: int = 0) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.progress: Progress = SILENT

    def __enter__(self) -> Self:
        if not self.quiet:
            from mlenv.cli.progress import Notes, bars  # noqa: PLC0415 -- rich is slow to import

            self.progress = bars() if sys.stderr.isatty() else Notes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close = getattr(self.progress, "close", None)
        if close is not None:
            close()
        if error is None or isinstance(error, typer.Exit | SystemExit):
            return
        raise typer.Exit(self.failed(error)) from None

    @property
    def color(self) -> bool:
        """Whether standard output takes colours (no-color.org)."""
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def result(self, data: Any, text: str = "") -> None:
        """What the command found out: `data` with --json, else `text`."""
        if self.json:
            self.write(json.dumps(data, indent=2))
        elif text:
            self.write(visible(text))

    def write(self, text: str, *, status: int = 0) -> None:
        """Text for standard output, as it is; `status` is that of a command which is over with it.

        It stands, whatever becomes of the text: who reads only a line of a report still learns that it is a bad one.
        """
        try:
            typer.echo(text)
        except OSError as error:
            abandon("stdout")
            if isinstance(error, BrokenPipeError):  # the reader has what it wanted
                raise typer.Exit(status) from None
            if not status:
                raise
            tell(f"error: the report cannot be written: {error.strerror}")

    def say(self, message: str) -> None:
        """One line on standard error for whoever watches."""
        if not self.quiet:
            tell(message)

    def failed(self, error: BaseException) -> int:
        """Say what went wrong; the exit status that it means."""
        if self.verbose >= 2:
            try:
                traceback.print_exception(error)
            except OSError:
                abandon("stderr")
        if isinstance(error, KeyboardInterrupt):
            tell("interrupted; what was fetched so far stays in the cache")
            return INTERRUPTED
        if isinstance(error, OSError) and not isinstance(error, MlenvError):
            error = _of_the_system(error)
        if isinstance(error, MlenvError):
            self._explain(error)
            return error.exit_status
        tell(f"error: mlenv has a bug: {type(error).__name__}: {error}")
        tell("  hint: run the same command with -vv and report what it prints")
        return BUG

    def _explain(self, error: MlenvError) -> None:
        if self.json:
            problems = [{"where": p.where, "message": p.message, "hint": p.hint} for p in error.problems]
            document = {"error": error.code, "exit_status": error.exit_status, "problems": problems}
            try:
                typer.echo(json.dumps(document, indent=2))
            except OSError:  # what went wrong is the exit status too, and that it cannot be written changes nothing
                abandon("stdout")
        for problem in error.problems:
            tell(f"error: {problem}")
            if problem.hint:
                tell(f"  hint: {problem.hint}")


def refused_command_line(error: Exception, *, json: bool) -> int | None:
    """Print what click says of the arguments in our own form; the exit status, or None for any other error.

    click is recognised by its methods: typer brings a copy of it, or takes the one that is installed, by version.
    """
    context, message = getattr(error, "ctx", None), getattr(error, "format_message", None)
    if message is None:
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(visible(message()), err=True)
        return UsageError.exit_status
    path = context.command_path if context is not None else "mlenv"
    text = (
        " ".join(str(message()).split()).rstrip(".").replace("Value error, ", "").replace("Input should", "it should")
    )
    if "-----BEGIN" in text or "KEY-----" in text:  # a key, given as an argument: not to be repeated into a log
        text = "the text of a key on the command line, where others can read it: name its file"
    refusal = UsageError(text[:1].lower() + text[1:], hint=f"see `{path} --help`")
    return Terminal(json=json).failed(refusal)


def _of_the_system(error: OSError) -> MlenvError:
    hints = {
        errno.ENOSPC: "free some space; MLENV_CACHE_DIR moves the cache to another disk",
        errno.EDQUOT: "free some space; MLENV_CACHE_DIR moves the cache to another disk",
        errno.EROFS: "write to another place",
        errno.EACCES: "check who owns it and its permissions",
        errno.EPERM: "check who owns it and its permissions",
    }
    hint = hints.get(error.errno or 0, "")
    return UnavailableError(error.strerror or str(error), where=str(error.filename or ""), hint=hint)
