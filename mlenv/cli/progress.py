"""Progress for people: bars on a terminal, nothing but notes elsewhere."""

from threading import Lock
from time import monotonic

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from mlenv.model.progress import SILENT, Task

PATIENCE = 1.0  # seconds before work that may be over at once shows a bar


class Notes:
    """For pipes and log files: one line for each note, no bars."""

    def task(self, label: str, total: int | None = None) -> Task:
        """Nothing to draw on."""
        return SILENT.task(label, total)

    def note(self, message: str) -> None:
        """The message, on standard error."""
        typer.echo(message, err=True)


class TerminalBars:
    """A bar for each piece of work that is still going on after a second."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._started = False
        self._lock = Lock()

    def task(self, label: str, total: int | None = None) -> Task:
        """A bar, drawn once the work has lasted a second."""
        return _Bar(self, label, total)

    def note(self, message: str) -> None:
        """The message, above the bars."""
        self._bars.console.print(message, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bars off the terminal."""
        with self._lock:
            if self._started:
                self._bars.stop()
                self._started = False

    def draw(self, label: str, total: int | None) -> TaskID:
        """Put a bar up; the first one starts the drawing."""
        with self._lock:
            if not self._started:
                self._bars.start()
                self._started = True
            return self._bars.add_task(label, total=total)

    def update(self, bar: TaskID, completed: int) -> None:
        """Move a bar."""
        self._bars.update(bar, completed=completed)

    def remove(self, bar: TaskID) -> None:
        """Take one bar down."""
        self._bars.remove_task(bar)


class _Bar:
    def __init__(self, owner: TerminalBars, label: str, total: int | None) -> None:
        self._owner, self._label, self._total = owner, label, total
        self._began = monotonic()
        self._done = 0
        self._id: TaskID | None = None
        self._lock = Lock()

    def advance(self, amount: int) -> None:
        with self._lock:
            self._done += amount
            if self._id is None and monotonic() - self._began > PATIENCE:
                self._id = self._owner.draw(self._label, self._total)
            if self._id is not None:
                self._owner.update(self._id, self._done)

    def finish(self) -> None:
        with self._lock:
            if self._id is not None:
                self._owner.remove(self._id)
                self._id = None


def bars() -> TerminalBars:
    """Bars on this terminal."""
    return TerminalBars()
