"""The time of day, as the driver reads it: the wall's, or one that a test sets.

Specified in protocol 09b-node-storage-libp2p, section 1.1.
"""

from __future__ import annotations

import time

from node.contract.instants import Instant
from protocol.numbers.durations import SECOND

LARGEST_STEP_BACK = SECOND
"""Nanoseconds by which a clock that is being put right may go back without that anybody is told of it."""


class WallClock:
    """The clock of the machine. A small step back is no step: machines see time stand still until it is made up."""

    def __init__(self) -> None:
        self._last = Instant(0)

    def now(self) -> Instant:
        """As Clock says."""
        now = time.time_ns()
        if now < self._last <= now + LARGEST_STEP_BACK:
            return self._last
        self._last = Instant(now)
        return self._last


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now: int) -> None:
        self._now = Instant(now)

    def now(self) -> Instant:
        """As Clock says."""
        return self._now

    def set(self, now: int) -> None:
        """It is this late."""
        self._now = Instant(now)
