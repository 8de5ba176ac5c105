"""Runs one procedure to its end: answers come from a function, pauses pass at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from node.contract.demands import Demand, Request, Result
from node.contract.effects import Deliver, Effect, Penalise
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch.peers import PeerScores
from node.schema import STATE
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.view import Rows
from node.sync.procedures import Came, Pause, Procedure, Turn
from node.sync.questions import Peers
from protocol.numbers.durations import MILLISECOND
from tests.node.contract.world import GENESIS

T = TypeVar("T")


@dataclass
class Driver:
    """A store, peers, and what answers. Each answer takes ten milliseconds."""

    answer: Callable[[Any], Result]
    names: Sequence[PeerId] = (PeerId(b"a"),)
    now: Instant = GENESIS
    store: Store = field(default_factory=lambda: Store(STATE, MemoryBackend()))
    asked: list[tuple[Instant, Demand | Deliver]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    most_at_once: int = 0
    pauses: int = 0

    def __post_init__(self) -> None:
        self.peers = Peers(PeerScores(lambda: list(self.names), Chance(7)))

    def run(self, make: Callable[[Turn], Procedure[T]], pauses: int = 10_000) -> T | None:
        """What it returns; None: it has made so many pauses."""
        turn = Turn(Rows(self.store.view()), self.now, self.effects)
        steps = make(turn)
        came: Sequence[Came] | None = None
        while True:
            try:
                waits_for = next(steps) if came is None else steps.send(came)
            except StopIteration as end:
                self.store.write(turn.rows)
                return end.value  # type: ignore[no-any-return]
            self.store.write(turn.rows)
            if isinstance(waits_for, Pause):
                self.pauses += 1
                if self.pauses > pauses:
                    return None
                assert waits_for.until > self.now, "a pause must not be empty"
                self.now, came = waits_for.until, ()
            else:
                self.asked += [(self.now, one) for one in waits_for.demands]
                self.most_at_once = max(self.most_at_once, min(waits_for.at_once, len(waits_for.demands)))
                came = [Came(self.answer(one), 10 * MILLISECOND) for one in waits_for.demands]
                self.now = Instant(self.now + 10 * MILLISECOND)
            turn.rows, turn.now = Rows(self.store.view()), self.now

    def put(self, fill: Callable[[Rows], None]) -> None:
        rows = Rows(self.store.view())
        fill(rows)
        self.store.write(rows)

    def requests(self, protocol: str) -> list[tuple[Instant, Request]]:
        """In one protocol, with when."""
        return [(at, one) for at, one in self.asked if isinstance(one, Request) and one.protocol == protocol]

    def blamed(self) -> list[tuple[PeerId, str]]:
        return [(one.peer, one.reason) for one in self.effects if isinstance(one, Penalise)]
