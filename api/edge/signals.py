"""Signals for jobs: the first Ctrl-C or SIGTERM asks the job to stop at a safe point, a second one breaks it off.

SIGUSR1 lets a job rest, SIGUSR2 go on; commands that cannot rest ignore them (`ignore_rest`), they would end otherwise.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` (which must return at once) at the first SIGINT or SIGTERM; raises KeyboardInterrupt at the next."""
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)
        stop()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _rest_signals() -> dict[int, bool]:
    """Number of the signal, and whether it means to rest; empty where the system has none."""
    if not hasattr(signal, "SIGUSR1"):
        return {}
    return {signal.SIGUSR1: True, signal.SIGUSR2: False}


@contextmanager
def ignore_rest() -> Iterator[None]:
    """Signals to rest or to go on do nothing; they would end the program otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _rest_signals()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def rest_on_signal(change: Callable[[bool], None]) -> Iterator[None]:
    """Calls `change` with True at SIGUSR1 and False at SIGUSR2, in a thread of its own.

    Not in the handler: the main thread may be writing a line or waiting for a lock when the signal comes.
    """
    wanted: queue.SimpleQueue[bool | None] = queue.SimpleQueue()

    def work() -> None:
        while (rest := wanted.get()) is not None:
            change(rest)

    def handler(number: int, frame: FrameType | None) -> None:
        wanted.put(_rest_signals()[number])

    thread = threading.Thread(target=work, name="rest", daemon=True)
    thread.start()
    before = {number: signal.signal(number, handler) for number in _rest_signals()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        wanted.put(None)
        thread.join()
