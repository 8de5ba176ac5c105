"""Demands that are open: who waits for each, and which of them share one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from node.contract.demands import Demand, Fetch
from node.contract.effects import Deliver, Publish
from node.contract.machine import Machine


@dataclass(frozen=True, slots=True)
class ForTicket:
    """A message waits, for the demand at this place of its Needs."""

    ticket: int
    place: int


@dataclass(frozen=True, slots=True)
class ForMachine:
    """A machine waits; None: it wants no answer."""

    machine: Machine
    tag: Hashable | None


@dataclass(frozen=True, slots=True)
class ForPeer:
    """A peer waits, under the driver's number."""

    number: int


Waiter = ForTicket | ForMachine | ForPeer


@dataclass(slots=True)
class OpenCall:
    """One demand, or one message to be sent."""

    id: int
    asked: Demand | Publish | Deliver
    server: Machine | None
    """Who serves it; None: the world."""
    waiters: list[Waiter] = field(default_factory=list)


class Calls:
    """All that is open, by number, by tag and, for objects, by id."""

    def __init__(self) -> None:
        self._open: dict[int, OpenCall] = {}
        self._objects: dict[tuple[str, bytes], int] = {}
        self._tags: dict[tuple[str, Hashable], int] = {}
        self._next = 0

    def open(self, asked: Demand | Publish | Deliver, waiter: Waiter, server: Machine | None) -> tuple[OpenCall, bool]:
        """A call that answers this, and whether it is a new one: an object is asked for once."""
        if isinstance(asked, Fetch):
            known = self._objects.get((asked.hint, asked.id))
            if known is not None:
                call = self._open[known]
                self._wait(call, waiter)
                return call, False
        self._next += 1
        call = self._open[self._next] = OpenCall(self._next, asked, server)
        if isinstance(asked, Fetch):
            self._objects[asked.hint, asked.id] = call.id
        self._wait(call, waiter)
        return call, True

    def close(self, id: int) -> OpenCall | None:
        """Take out a call that was answered; None for one that is not open."""
        call = self._open.pop(id, None)
        if call is not None:
            self._forget(call)
        return call

    def fetching(self, hint: str, id: bytes) -> OpenCall | None:
        """The open call for an object."""
        known = self._objects.get((hint, id))
        return None if known is None else self._open[known]

    def leave(self, waiter: Waiter, id: int) -> OpenCall | None:
        """Somebody waits no more; the call, if that leaves nobody and it is closed now."""
        call = self._open.get(id)
        if call is None or waiter not in call.waiters:
            return None
        call.waiters.remove(waiter)
        if isinstance(waiter, ForMachine):
            self._tags.pop((waiter.machine.name, waiter.tag), None)
        if call.waiters:
            return None
        return self.close(id)

    def tagged(self, machine: Machine, tag: Hashable) -> int | None:
        """The open call of a machine's tag."""
        return self._tags.get((machine.name, tag))

    def __iter__(self) -> Iterator[OpenCall]:
        return iter(self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    def _wait(self, call: OpenCall, waiter: Waiter) -> None:
        call.waiters.append(waiter)
        if isinstance(waiter, ForMachine) and waiter.tag is not None:
            self._tags[waiter.machine.name, waiter.tag] = call.id

    def _forget(self, call: OpenCall) -> None:
        if isinstance(call.asked, Fetch):
            self._objects.pop((call.asked.hint, call.asked.id), None)
        for waiter in call.waiters:
            if isinstance(waiter, ForMachine) and self._tags.get((waiter.machine.name, waiter.tag)) == call.id:
                del self._tags[waiter.machine.name, waiter.tag]
