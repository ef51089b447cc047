"""How long work tells somebody that it goes on, without knowing who that is."""

from typing import Protocol


class Task(Protocol):
    """One piece of work that is under way."""

    def advance(self, amount: int) -> None:
        """`amount` more of the total is done. May be called from any thread."""

    def finish(self) -> None:
        """The work is over, well or badly."""


class Progress(Protocol):
    """Somebody who wants to know."""

    def task(self, label: str, total: int | None = None) -> Task:
        """A piece of work begins; `total` is in bytes, None where it is unknown."""

    def note(self, message: str) -> None:
        """One line that the user should see, such as a warning."""


class _Silent:
    def advance(self, amount: int) -> None: ...
    def finish(self) -> None: ...
    def note(self, message: str) -> None: ...

    def task(self, label: str, total: int | None = None) -> Task:
        del label, total
        return self


SILENT: Progress = _Silent()
