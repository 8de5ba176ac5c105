"""Calls that have left for a port and have not come back: under which numbers, and until when peers may answer."""

from __future__ import annotations

from heapq import heappop, heappush

from node.contract.demands import Failed, Request
from node.contract.instants import Instant
from node.contract.ports import Clock
from node.engine.edges import Call

from .ports import Ports, inward, outward

RELAYED = 0
"""The call under which transactions of clients are published: nobody waits for what comes of it."""


class OpenCalls:
    """Those of one node. `back` may be called from any thread, all else in that of the turns."""

    def __init__(self, ports: Ports, clock: Clock) -> None:
        self._ports, self._clock = ports, clock
        self._life = 0
        self._open: set[int] = set()
        """By the numbers under which they left."""
        self._deadlines: list[tuple[int, int]] = []
        """Until when peers may answer, with the number of the call; earliest first."""

    def begin_life(self) -> None:
        """A new engine asks from now on: what the one before has asked is given up."""
        for number in tuple(self._open):
            self._ports.give_up(number)
        self._open.clear()
        self._life += 1

    def number(self, call: int) -> int:
        """Under which a call of this engine leaves."""
        return outward(self._life, call)

    def leave(self, output: Call) -> Failed | None:
        """Hand a demand to its port; what came of it, where there is no port for it."""
        number = self.number(output.call)
        self._open.add(number)
        if isinstance(output.demand, Request):
            heappush(self._deadlines, (self._clock.now() + output.demand.timeout, number))
        return self._ports.carry(number, output.demand)

    def give_up(self, call: int) -> None:
        """Nobody waits for it any more."""
        self._open.discard(self.number(call))
        self._ports.give_up(self.number(call))

    def back(self, number: int) -> int | None:
        """The number that the engine knows of one that has come back; None: this engine waits for no such thing."""
        self._open.discard(number)
        life, call = inward(number)
        return call if life == self._life and call != RELAYED else None

    def late(self, now: Instant) -> list[int]:
        """Peers that have not answered in time, by the numbers; whatever they send later is not taken for an answer."""
        found = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, number = heappop(self._deadlines)
            self._open.discard(number)
            found.append(number)
        return found

    def next_deadline(self) -> Instant | None:
        """When the next peer has to have answered; None: none is asked."""
        while self._deadlines and self._deadlines[0][1] not in self._open:
            heappop(self._deadlines)  # it has been answered
        return Instant(self._deadlines[0][0]) if self._deadlines else None
