"""One failure stops all work, and is the error that is raised."""

import threading
import time
from collections.abc import Callable

import pytest

from mlenv.sources.threads import Stop, run_all, run_largest_first


def test_results_come_in_the_order_of_the_work() -> None:
    def work(number: int, seconds: float) -> Callable[[Stop], int]:
        def one(stop: Stop) -> int:
            stop.check()
            time.sleep(seconds)
            return number

        return one

    assert run_all([work(1, 0.02), work(2, 0.0), work(3, 0.01)], 3) == [1, 2, 3]


def test_the_first_failure_stops_the_rest() -> None:
    started = threading.Event()

    def fails(stop: Stop) -> None:
        del stop
        started.wait(5)
        raise ValueError("first")

    def goes_on(stop: Stop) -> None:
        started.set()
        while True:
            stop.check()
            time.sleep(0.001)

    def never(stop: Stop) -> None:
        del stop
        raise AssertionError("was to be cancelled")

    with pytest.raises(ValueError, match="first"):
        run_all([fails, goes_on, never], 2)


def test_the_largest_begins_and_results_keep_the_order_of_the_items() -> None:
    begun: list[int] = []

    def work(number: int, stop: Stop) -> str:
        stop.check()
        begun.append(number)
        return str(number)

    assert run_largest_first([2, 3, 1, 3], int, work, 1) == ["2", "3", "1", "3"]
    assert begun == [3, 3, 2, 1]
    assert run_largest_first([], int, work, 0) == []
