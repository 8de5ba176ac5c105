"""Virtual time: what is to happen, earliest first, and a clock that jumps from one happening to the next."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from node.contract.instants import Instant

Action = Callable[[], None]

ARRIVAL, TURN = 0, 1
"""What arrives at an instant is there before anybody's turn of the same instant."""


class Timeline:
    """The time of a world, to which the clocks of its nodes are more or less set. Also the port `Clock`."""

    def __init__(self, start: Instant) -> None:
        self._now = start
        self._agenda: list[tuple[int, int, int, Action]] = []
        self._next = 0

    def now(self) -> Instant:
        """The instant of what happens now."""
        return self._now

    def at(self, instant: Instant, action: Action, rank: int = ARRIVAL) -> None:
        """Let something happen; at once, behind what is planned for now, where the instant is in the past."""
        self._next += 1
        heappush(self._agenda, (max(instant, self._now), rank, self._next, action))

    def after(self, duration: int, action: Action) -> None:
        """Let something happen so many nanoseconds from now."""
        self.at(Instant(self._now + duration), action)

    def run_until(self, end: Instant) -> None:
        """Everything that happens before an instant; then it is that instant."""
        agenda = self._agenda
        while agenda and agenda[0][0] < end:
            when, _, _, action = heappop(agenda)
            self._now = Instant(when)
            action()
        self._now = max(self._now, end)
