"""Messages that wait for demands: within bounds, each until all of its demands are answered or its time is over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from node.contract.bounds import Bounds
from node.contract.demands import Result
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.steps import Ticket


@dataclass(slots=True)
class Waiting:
    """One message."""

    machine: Machine
    ticket: Ticket
    results: list[Result | None]
    """Of its demands, in their order; None: not answered yet."""
    calls: list[int] = field(default_factory=list)
    """In the same order."""

    @property
    def found(self) -> tuple[Result, ...]:
        """The results, when all of them are there."""
        return tuple(result for result in self.results if result is not None)


class WaitingRoom:
    """All of them. Only what came by gossip is bounded: what was asked for is bounded by being asked for, and what
    waits for it must not be in its way."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._waiting: dict[int, Waiting] = {}
        self._gossip = 0
        self._by_peer: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def refusal(self, ticket: Ticket, now: Instant) -> str | None:
        """Why the message may not wait, as a verdict's reason; None: it may."""
        if ticket.expires <= now:
            return "expired"
        if ticket.message.origin is Origin.GOSSIP:
            if self._gossip >= self._bounds.waiting:
                return "too_many_waiting"
            if self._by_peer[_peer(ticket.message)] >= self._bounds.waiting_by_peer:
                return "too_many_waiting_of_peer"
        return None

    def add(self, machine: Machine, ticket: Ticket, demands: int) -> Waiting:
        """The message waits for so many demands."""
        waiting = self._waiting[ticket.id] = Waiting(machine, ticket, [None] * demands)
        self._count(ticket.message, 1)
        return waiting

    def fill(self, ticket: int, place: int, result: Result) -> Waiting | None:
        """A demand was answered; the message, if that was the last one, and it waits no more."""
        waiting = self._waiting[ticket]
        waiting.results[place] = result
        return None if any(one is None for one in waiting.results) else self.remove(ticket)

    def remove(self, ticket: int) -> Waiting:
        """The message waits no more."""
        waiting = self._waiting.pop(ticket)
        self._count(waiting.ticket.message, -1)
        return waiting

    def _count(self, message: Message, by: int) -> None:
        if message.origin is Origin.GOSSIP:
            self._gossip += by
            self._by_peer[_peer(message)] += by
            if not self._by_peer[_peer(message)]:
                del self._by_peer[_peer(message)]


def _peer(message: Message) -> bytes:
    return message.peer or b""
