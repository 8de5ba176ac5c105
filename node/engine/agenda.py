"""What is to be done in a turn, in the order in which it was received or fell due; and the timers that are set.

What is due comes before what was received at the same instant; a layer before the timers of its start.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine

from .edges import Input

TICK, DUE, RECEIVED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer fell due."""

    machine: Machine
    key: Hashable
    due: Instant


@dataclass(frozen=True, slots=True)
class DueTicket:
    """A message has waited too long."""

    ticket: int


Event = Input | DueTimer | DueTicket


class Agenda:
    """Inputs of a turn, timers and ends of waiting, earliest first."""

    def __init__(self) -> None:
        self._inputs: list[tuple[int, int, int, Input]] = []
        """When, rank, number, event: the number keeps the order of what is otherwise equal."""
        self._due: list[tuple[int, int, int, DueTimer | DueTicket]] = []
        self._timers: dict[tuple[str, Hashable], int] = {}
        """Numbers of the timers that are set; one that was taken back is passed over when its turn comes."""
        self._tickets: dict[int, int] = {}
        self._next = 0

    def add(self, inputs: Iterable[Input]) -> None:
        """What a driver hands in."""
        for one in inputs:
            when, rank = (one.due, TICK) if isinstance(one, Tick) else (one.received, RECEIVED)
            heappush(self._inputs, (when, rank, self._number(), one))

    def set_timer(self, machine: Machine, key: Hashable, due: Instant) -> None:
        """Wake a machine; in place of an earlier timer with this key."""
        number = self._timers[machine.name, key] = self._number()
        heappush(self._due, (due, DUE, number, DueTimer(machine, key, due)))

    def stop_timer(self, machine: Machine, key: Hashable) -> None:
        """Forget a timer."""
        self._timers.pop((machine.name, key), None)

    def set_end(self, ticket: int, due: Instant) -> None:
        """When a message has waited too long."""
        number = self._tickets[ticket] = self._number()
        heappush(self._due, (due, DUE, number, DueTicket(ticket)))

    def forget_end(self, ticket: int) -> None:
        """The message waits no more."""
        self._tickets.pop(ticket, None)

    def next_due(self) -> Instant | None:
        """When something falls due next; None: nothing is set."""
        self._drop_taken_back()
        return Instant(self._due[0][0]) if self._due else None

    def peek(self, now: Instant) -> Event | None:
        """The next event; an input whatever time it carries, a timer only if it is due. It stays where it is."""
        if self._is_due_first(now):
            return self._due[0][3]
        return self._inputs[0][3] if self._inputs else None

    def take(self, now: Instant) -> Event | None:
        """The same event, taken out."""
        if self._is_due_first(now):
            event = heappop(self._due)[3]
            if isinstance(event, DueTimer):
                del self._timers[event.machine.name, event.key]
            else:
                del self._tickets[event.ticket]
            return event
        return heappop(self._inputs)[3] if self._inputs else None

    def _is_due_first(self, now: Instant) -> bool:
        self._drop_taken_back()
        if not self._due or self._due[0][0] > now:
            return False
        return not self._inputs or self._due[0][:3] < self._inputs[0][:3]

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _drop_taken_back(self) -> None:
        while self._due and not self._is_set(self._due[0][2], self._due[0][3]):
            heappop(self._due)

    def _is_set(self, number: int, event: DueTimer | DueTicket) -> bool:
        if isinstance(event, DueTimer):
            return self._timers.get((event.machine.name, event.key)) == number
        return self._tickets.get(event.ticket) == number
