"""One unit of the machine in the making, and what an identity waits for."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from node.contract.demands import Demand
from node.contract.effects import Ask, Effect, Emit, GiveUp, SetTimer, StopTimer
from node.contract.instants import Instant, after
from node.contract.steps import Step
from node.store.table import Table
from node.store.view import Rows
from protocol.errors import ProtocolError
from protocol.types.ids import NodeId

K = TypeVar("K")
R = TypeVar("R")


@dataclass(slots=True)
class Work:
    """One unit: what was read and put, and what is to follow."""

    rows: Rows
    now: Instant
    effects: list[Effect] = field(default_factory=list)

    def emit(self, event: object) -> None:
        """Tell interfaces."""
        self.effects.append(Emit(event))

    def ask(self, demand: Demand, tag: Hashable) -> None:
        """Demand something."""
        self.effects.append(Ask(demand, tag))

    def put(self, table: Table[K, R], key: K, row: R) -> bool:
        """Put a row of what a server or a prover has said; False where it cannot be one, and nothing is put."""
        try:
            self.rows.put(table, key, row)
        except (ProtocolError, ValueError):
            return False
        return True

    def step(self) -> Step:
        """All of it."""
        return Step(None if self.rows.is_empty else self.rows, self.effects)


class Tag(NamedTuple):
    """Names what was asked for, for an identity."""

    identity: NodeId
    what: str
    detail: str = ""
    """A server, for what is asked of each."""


class Wake(NamedTuple):
    """Names the timer of an identity."""

    identity: NodeId


class Errands:
    """What an identity has asked for, and what it does not try again before its time. Mutable.

    Everything here may be forgotten: what is to be done follows from the rows.
    """

    def __init__(self, identity: NodeId) -> None:
        self.identity = identity
        self._open: set[Tag] = set()
        self._not_before: dict[Tag, Instant] = {}
        self._held: set[str] = set()
        self._wake: Instant | None = None
        self._timer: Instant | None = None

    # ---- demands ----

    def ask(self, work: Work, demand: Demand, what: str, detail: str = "") -> bool:
        """Demand something, unless it is on its way, or to be tried later; whether it is on its way now."""
        tag = Tag(self.identity, what, detail)
        if tag in self._open:
            return True
        if what in self._held:
            return False
        not_before = self._not_before.get(tag)
        if not_before is not None and work.now < not_before:
            self.wake_at(not_before)
            return False
        self._not_before.pop(tag, None)
        self._open.add(tag)
        work.ask(demand, tag)
        return True

    def opened(self, what: str, detail: str = "") -> Tag:
        """The tag of something that is asked for in another way."""
        tag = Tag(self.identity, what, detail)
        self._open.add(tag)
        return tag

    def is_open(self, what: str, detail: str = "") -> bool:
        """Whether something is on its way."""
        return Tag(self.identity, what, detail) in self._open

    def is_any_open(self, what: str) -> bool:
        """The same, whatever the detail."""
        return any(tag.what == what for tag in self._open)

    def close(self, tag: Tag) -> bool:
        """It was answered; whether it was still wanted."""
        if tag not in self._open:
            return False
        self._open.remove(tag)
        return True

    def give_up(self, work: Work) -> None:
        """Nothing is wanted any more."""
        work.effects += [GiveUp(tag) for tag in sorted(self._open)]
        self._open.clear()
        self._not_before.clear()
        self._held.clear()

    # ---- times ----

    def retry(self, work: Work, tag: Tag, delay: int) -> None:
        """Not again before so many nanoseconds have passed."""
        self._not_before[tag] = after(work.now, delay)

    def hold(self, what: str) -> None:
        """Not again before the next layer."""
        self._held.add(what)

    def is_held(self, what: str) -> bool:
        """Whether something waits for the next layer."""
        return what in self._held

    def release(self) -> None:
        """A layer began."""
        self._held.clear()

    def wake_at(self, due: Instant) -> None:
        """Go on at this instant, or before."""
        self._wake = due if self._wake is None else min(self._wake, due)

    def woken(self) -> None:
        """The timer fell due."""
        self._timer = None

    def settle(self, work: Work) -> None:
        """Set the timer for what came up; at the end of each unit."""
        wake, self._wake = self._wake, None
        if wake == self._timer:
            return
        self._timer = wake
        key = Wake(self.identity)
        work.effects.append(StopTimer(key) if wake is None else SetTimer(key, wake))


class State(Enum):
    """How far a proof of space over a round is: see `nipost`."""

    WAITS = auto()
    EXPIRED = auto()
    MISMATCHED = auto()
    INITIAL_INVALID = auto()
    READY = auto()
