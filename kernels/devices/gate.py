"""A gate for calls that go side by side, and for one that needs all of them to have ended.

The callers of one device share its memory; before the device is opened again after a failure none of them may be
under way, and none may begin until it is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kernels.devices.types import Stopped

LOOK_SECONDS = 0.1
"""How often one who waits at the gate looks whether it was stopped meanwhile."""


class Gate:
    """Open at first."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextmanager
    def passed(self, stop: threading.Event) -> Iterator[None]:
        """For the time of one call; waits while the gate is shut. Raises `Stopped`."""
        with self._change:
            while self._shut:
                if stop.is_set():
                    raise Stopped("the label engine was stopped")
                self._change.wait(LOOK_SECONDS)
            self._inside += 1
        try:
            yield
        finally:
            with self._change:
                self._inside -= 1
                self._change.notify_all()

    @contextmanager
    def shut(self, patience_s: float) -> Iterator[bool]:
        """Shuts the gate, for one caller at a time; tells whether everybody has come out within the time."""
        until = time.monotonic() + patience_s
        with self._change:
            while self._shut:
                self._change.wait()
            self._shut = True
            while self._inside and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            alone = not self._inside
        try:
            yield alone
        finally:
            with self._change:
                self._shut = False
                self._change.notify_all()
