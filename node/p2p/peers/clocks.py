"""What the clocks of peers say of this one: all are asked at the same moment, and the median counts.

Protocol 09b-node-storage-libp2p, section 1.2. The reference ends the node when its clock is off ten times; but most of
the peers that were asked may be wrong, so that this one says what it sees, and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.contract.instants import Instant
from node.contract.messages import PeerId
from protocol.numbers.durations import MINUTE, SECOND

PROTOCOL = "/peersync/1.0/"
SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class ClockParameters:
    """When peers are asked, and what is too far off."""

    interval: int = 30 * MINUTE
    retry: int = 5 * SECOND
    """After a round with too few answers."""
    timeout: int = 5 * SECOND
    """Of an answer."""
    largest_offset: int = 10 * SECOND
    answers: int = 3
    """At least, for the median to mean something."""


@dataclass(slots=True)
class ClockRound:
    """One question to everybody."""

    id: int
    sent: Instant
    """By this node's clock."""
    _offsets: dict[PeerId, int] = field(default_factory=dict)

    def add(self, peer: PeerId, id: int, timestamp: int, received: Instant) -> bool:
        """What a peer answers; whether it answers this question. timestamp: nanoseconds since 1970, in 64 bits."""
        if id != self.id or peer in self._offsets:
            return False
        moment = timestamp - (1 << 64) if timestamp >= SIGN else timestamp
        way = max(0, received - self.sent)  # this clock may have been set meanwhile
        self._offsets[peer] = moment - self.sent - way // 2
        return True

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def offset(self) -> int | None:
        """By how many nanoseconds peers are ahead: the median; None: nobody has answered."""
        ordered = sorted(self._offsets.values())
        if not ordered:
            return None
        middle = len(ordered) // 2
        if len(ordered) % 2:
            return ordered[middle]
        both = ordered[middle - 1] + ordered[middle]
        return both // 2 if both >= 0 else -(-both // 2)
