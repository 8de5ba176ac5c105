"""The pool of threads: what is urgent first, bounded queues, no thread lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from node.runtime.workers import Work, Workers


class Gate:
    """Work that holds a thread until it is opened."""

    def __init__(self) -> None:
        self.begun, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        self.opened.wait(10)


@pytest.fixture
def held() -> Iterator[tuple[Workers, Gate]]:
    """A pool of one thread, which is held, with two places in each queue."""
    workers, gate = Workers("test", 1, 2), Gate()
    workers.put(Work(0, "gate", gate))
    assert gate.begun.wait(10)
    yield workers, gate
    gate.opened.set()
    assert workers.close(10)


def all_done(workers: Workers, gate: Gate) -> None:
    """Open the gate, and wait for everything that was put in."""
    last = threading.Event()
    gate.opened.set()
    while not workers.put(Work(99, "last", last.set)):
        pass
    assert last.wait(10)


def test_what_is_urgent_comes_first(held: tuple[Workers, Gate]) -> None:
    workers, gate = held
    done: list[str] = []
    note: Callable[[str], Callable[[], None]] = lambda name: lambda: done.append(name)  # noqa: E731
    workers.put(Work(1, "usual", note("usual")))
    workers.put(Work(2, "urgent", note("urgent")), is_urgent=True)
    all_done(workers, gate)
    assert done == ["urgent", "usual"]


def test_a_full_queue_refuses_and_the_other_does_not(held: tuple[Workers, Gate]) -> None:
    workers, _ = held
    taken = [workers.put(Work(number, "post", lambda: None)) for number in range(3)]
    assert taken == [True, True, False]
    assert workers.put(Work(4, "post", lambda: None), is_urgent=True)
    assert workers.refused == {"post": 1}
    assert workers.waiting() == (1, 2)
    assert workers.running() == {"gate": 1}


def test_what_is_given_up_is_not_done(held: tuple[Workers, Gate]) -> None:
    workers, gate = held
    done: list[int] = []
    workers.put(Work(1, "post", lambda: done.append(1)))
    workers.put(Work(2, "post", lambda: done.append(2)))
    assert workers.give_up(1)
    assert not workers.give_up(1)
    all_done(workers, gate)
    assert done == [2]


def test_work_that_fails_costs_no_thread(held: tuple[Workers, Gate], caplog: pytest.LogCaptureFixture) -> None:
    workers, gate = held

    def fail() -> None:
        raise ValueError("a mistake")

    workers.put(Work(1, "wrong", fail))
    all_done(workers, gate)
    assert "wrong has failed" in caplog.text
    assert workers.done["wrong"] == 1


def test_a_closed_pool_takes_nothing() -> None:
    workers = Workers("test", 2, 10)
    assert workers.close(10)
    assert not workers.put(Work(1, "post", lambda: None))
