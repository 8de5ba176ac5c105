"""How many requests of a protocol wait, and how fast they are answered. Protocol 09a, section 3.2.

Requests wait for their turn; only what finds the queue full is turned away. One peer takes a share of a queue only.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from node.contract.inputs import Asked
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch.parameters import ServerLimit


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in a queue."""

    asked: Asked
    data: bytes
    peer: PeerId


class Gate:
    """The queue of one protocol."""

    def __init__(self, limit: ServerLimit, share_of_peer: int) -> None:
        self._limit = limit
        self._of_peer = max(1, limit.queue // share_of_peer)
        self._waiting: deque[Waiting] = deque()
        self._inside: Counter[PeerId] = Counter()
        """Requests that wait or are being answered, by peer."""
        self._pace = limit.interval // limit.rate
        self._spent_until = Instant(0)
        """Until when the rate would be used up if no more came; the burst reaches an interval ahead."""

    def __len__(self) -> int:
        return self._inside.total()

    def has_room(self, peer: PeerId) -> bool:
        """Whether another request of a peer may wait."""
        return len(self) < self._limit.queue and self._inside[peer] < self._of_peer

    def enter(self, request: Waiting) -> None:
        """A request waits, behind all others."""
        self._inside[request.peer] += 1
        self._waiting.append(request)

    def leave(self, peer: PeerId) -> None:
        """A request was answered."""
        self._inside[peer] -= 1
        if not self._inside[peer]:
            del self._inside[peer]

    def next(self, now: Instant) -> Waiting | None:
        """The request whose turn it is; None: none waits, or it is too early."""
        due = self.due
        if due is None or due > now:
            return None
        self._spent_until = Instant(max(self._spent_until, now) + self._pace)
        return self._waiting.popleft()

    @property
    def due(self) -> Instant | None:
        """When the next request may be answered; None: none waits."""
        burst = self._pace * (self._limit.rate - 1)
        return Instant(self._spent_until - burst) if self._waiting else None
