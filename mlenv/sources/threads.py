"""Several pieces of work at once, of which one failure or Ctrl-C stops all."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from operator import itemgetter
from threading import Event
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


class StoppedError(Exception):
    """Another piece of work failed, so this one ends too. Never leaves `run_all`."""


class Stop:
    """Asked now and then by work that takes long."""

    def __init__(self) -> None:
        self._event = Event()

    def check(self) -> None:
        """Raise StoppedError where the work is no longer wanted."""
        if self._event.is_set():
            raise StoppedError

    def set(self) -> None:
        """Nothing more is wanted."""
        self._event.set()


def run_all(work: Iterable[Callable[[Stop], T]], jobs: int) -> list[T]:
    """The results, in the order of the work. The first error is raised, after the rest was told to stop and did."""
    stop = Stop()
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        futures: list[Future[T]] = [pool.submit(_unless_stopped, piece, stop) for piece in work]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Without a failure everything is done by now; with one, or with Ctrl-C, nothing else is worth the time.
            if not all(future.done() and future.exception() is None for future in futures):
                stop.set()
                pool.shutdown(cancel_futures=True)
    for future in futures:
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, StoppedError):
            raise error
    return [future.result() for future in futures]


def run_largest_first(items: Sequence[S], size: Callable[[S], int], work: Callable[[S, Stop], T], jobs: int) -> list[T]:
    """What `work` makes of each item, in their order; the largest begins, so that no thread ends long after the others.

    Fails as `run_all` does.
    """
    order = sorted(range(len(items)), key=lambda index: -size(items[index]))
    results = run_all([partial(work, items[index]) for index in order], jobs)
    return [result for _, result in sorted(zip(order, results, strict=True), key=itemgetter(0))]


def _unless_stopped(piece: Callable[[Stop], T], stop: Stop) -> T:
    stop.check()
    return piece(stop)
