"""What waits for the next turn, within bounds: any thread puts, the driver's takes.

Strangers have bounds, by what they send; what was asked for is bounded by having been asked for. A turn takes so much
of each at most, what is urgent first, so that a flood of one kind neither delays another nor makes a turn long.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from node.contract.messages import Message, Origin
from node.engine.edges import Incoming, Input


class Lane(Enum):
    """What is bounded together."""

    RETURNED = "returned"
    """What came of this node's own calls."""
    URGENT = "urgent"
    """Gossip that is worth something for seconds only."""
    GOSSIP = "gossip"
    ASKED = "asked"
    """Questions of peers."""
    SUBMITTED = "submitted"
    """Transactions of clients."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, and how much of it a turn takes."""

    urgent: int = 20_000
    gossip: int = 20_000
    asked: int = 1_000
    submitted: int = 1_000
    turn: int = 400
    """Of each lane."""
    questions: int = 1_000
    """Of the threads that serve clients."""

    def of(self, lane: Lane) -> int | None:
        """How much may wait in a lane; None: without a bound."""
        return {
            Lane.URGENT: self.urgent,
            Lane.GOSSIP: self.gossip,
            Lane.ASKED: self.asked,
            Lane.SUBMITTED: self.submitted,
        }.get(lane)


class Inbox:
    """All lanes."""

    def __init__(self, limits: Limits, is_urgent: Callable[[str], bool] = lambda topic: False) -> None:
        """is_urgent: of which topics gossip is."""
        self._limits = limits
        self._is_urgent = is_urgent
        self._lock = threading.Lock()
        self._lanes: dict[Lane, deque[Input]] = {lane: deque() for lane in Lane}
        self.refused: Counter[Lane] = Counter()
        """What found no place."""

    def put(self, one: Input) -> bool:
        """Let it wait for the next turn; False: there is no place for it."""
        lane = self._lane_of(one)
        most = self._limits.of(lane)
        with self._lock:
            waiting = self._lanes[lane]
            if most is not None and len(waiting) >= most:
                self.refused[lane] += 1
                return False
            waiting.append(one)
            return True

    def take(self) -> list[Input]:
        """What a turn takes."""
        found: list[Input] = []
        with self._lock:
            for waiting in self._lanes.values():
                for _ in range(min(len(waiting), self._limits.turn)):
                    found.append(waiting.popleft())
        return found

    def clear(self) -> list[Input]:
        """All that waits, taken out."""
        with self._lock:
            found = [one for waiting in self._lanes.values() for one in waiting]
            for waiting in self._lanes.values():
                waiting.clear()
        return found

    def waiting(self) -> dict[Lane, int]:
        """How much waits in each."""
        return {lane: len(waiting) for lane, waiting in self._lanes.items()}

    def __bool__(self) -> bool:
        return any(self._lanes.values())

    def _lane_of(self, one: Input) -> Lane:
        match one:
            case Incoming():
                return Lane.ASKED
            case Message(origin=Origin.OWN):
                return Lane.SUBMITTED
            case Message():
                return Lane.URGENT if self._is_urgent(one.channel) else Lane.GOSSIP
            case _:
                return Lane.RETURNED
