"""Progress for people: bars on a terminal, nothing but notes elsewhere."""

from threading import Lock, Timer

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, ProgressColumn, TaskID, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.progress import Task as BarState
from rich.text import Text

from mlenv.cli.streams import tell, visible
from mlenv.model.progress import SILENT, Task

PATIENCE = 1.0  # seconds before work that may be over at once shows a bar


class Notes:
    """For pipes and log files: one line for each note, no bars."""

    def task(self, label: str, total: int | None = None) -> Task:
        """Nothing to draw on."""
        return SILENT.task(label, total)

    def note(self, message: str) -> None:
        """The message, on standard error."""
        tell(message)


class _WhereCounted(ProgressColumn):
    """Another column for work that is counted in bytes; nothing for work of which only the end is known."""

    def __init__(self, column: DownloadColumn | TransferSpeedColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: BarState) -> Text:
        if task.total is None and not task.completed:
            return Text()
        return self._column.render(task)


class TerminalBars:
    """A bar for each piece of work that is still going on after a second."""

    def __init__(self, console: Console | None = None, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _WhereCounted(DownloadColumn(binary_units=True)),
            _WhereCounted(TransferSpeedColumn()),
            console=console or Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # data goes where the user sends it
        )
        self._started = False
        self._lock = Lock()

    def task(self, label: str, total: int | None = None) -> Task:
        """A bar, drawn once the work has lasted a second."""
        return _Bar(self, label, total)

    def note(self, message: str) -> None:
        """The message, above the bars."""
        self._bars.console.print(visible(message), highlight=False, markup=False)

    def close(self) -> None:
        """Take the bars off the terminal."""
        with self._lock:
            self._stop()

    def draw(self, label: str, total: int | None) -> TaskID:
        """Put a bar up; the first one starts the drawing."""
        with self._lock:
            if not self._started:
                self._bars.start()
                self._started = True
            return self._bars.add_task(visible(label), total=total)

    def update(self, bar: TaskID, completed: int) -> None:
        """Move a bar."""
        self._bars.update(bar, completed=completed)

    def remove(self, bar: TaskID) -> None:
        """Take one bar down; with the last one the drawing ends, so that what is printed next has its own line."""
        with self._lock:
            self._bars.remove_task(bar)
            if not self._bars.tasks:
                self._stop()

    def _stop(self) -> None:
        if self._started:
            self._bars.stop()
            self._started = False


class _Bar:
    def __init__(self, owner: TerminalBars, label: str, total: int | None) -> None:
        self._owner, self._label, self._total = owner, label, total
        self._done, self._finished = 0, False
        self._id: TaskID | None = None
        self._lock = Lock()
        # A timer, and not a look at the clock in `advance`: work that waits for somebody else does not advance.
        self._timer = Timer(owner.patience, self._draw)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, amount: int) -> None:
        with self._lock:
            self._done += amount
            if self._id is not None:
                self._owner.update(self._id, self._done)

    def finish(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._finished = True  # a timer that is just firing finds nothing to draw
            if self._id is not None:
                self._owner.remove(self._id)
                self._id = None

    def _draw(self) -> None:
        with self._lock:
            if not self._finished:
                self._id = self._owner.draw(self._label, self._total)
                self._owner.update(self._id, self._done)


def bars() -> TerminalBars:
    """Bars on this terminal."""
    return TerminalBars()
