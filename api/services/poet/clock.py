"""The time that rounds go by: the wall clock's, but for its jumps.

A jump is wall against monotonic clock by more than two seconds. Until the wall clock has then gone on steadily for a
while, time goes on from where it was, and no round opens or closes: a clock that is eleven days ahead for two seconds
must not close a round for ever. Specified in protocol 02-poet, section 11, item 12.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

JUMP_NS = 2_000_000_000
LONGEST_SETTLING_NS = 120_000_000_000
SLEWED = 1000
"""A clock that is being corrected gently gains or loses at most one part in so many."""

Now = Callable[[], int]
"""Nanoseconds."""


def settling_ns(cycle_gap_ns: int) -> int:
    """How long a clock has to be steady after a jump: a tenth of the gap between rounds, at most two minutes."""
    return min(max(cycle_gap_ns, 0) // 10, LONGEST_SETTLING_NS)


def since_boot() -> int:
    """A clock that nobody sets; it goes on while the machine sleeps, where the system has such a one."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class _Jump:
    """The last one, while it is not believed."""

    at_ns: int
    """On the clock that nobody sets."""
    by_ns: int


class SteadyClock:
    """Unix time in nanoseconds. Called at least once a second; may be called from any thread."""

    def __init__(self, settle_ns: int, wall: Now = time.time_ns, monotonic: Now = since_boot) -> None:
        self._settle_ns, self._wall, self._monotonic = settle_ns, wall, monotonic
        self._looked = monotonic()
        self._believed = self._followed = wall() - self._looked
        """Wall minus monotonic: what time goes by, and what the wall clock is compared with."""
        self._jump: _Jump | None = None
        self.jumps = 0

    def __call__(self) -> int:
        """The time that rounds go by."""
        now = self._monotonic()
        offset = self._wall() - now
        slack = max(0, now - self._looked) // SLEWED
        self._looked = now
        apart = offset - self._followed
        if abs(apart) > JUMP_NS:
            self.jumps += 1
            self._jump = _Jump(now, offset - self._believed)
            self._followed = offset
        else:
            self._followed += min(max(apart, -slack), slack)
        if self._jump is not None and now - self._jump.at_ns >= self._settle_ns:
            self._jump = None
        if self._jump is None:
            self._believed = offset
        return now + self._believed

    @property
    def problem(self) -> str:
        """Why rounds wait; empty when the clock is steady."""
        jump = self._jump
        if jump is None:
            return ""
        left = max(0, self._settle_ns - (self._looked - jump.at_ns)) / 1e9
        return (
            f"the clock of this machine was set by {jump.by_ns / 1e9:+,.0f} s; rounds neither open nor close until it "
            f"has been steady for {left:.0f} s more"
        )
