"""With whom to part when there are too many peers. Protocol 09a, sections 1.3 and 3.2.

Every use of a peer adds to what its connection is worth, which fades with time; those worth least go first. Protected
peers stay, and so do those that came a short while ago.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from protocol.numbers.durations import MINUTE, SECOND

VALUE_OF_REQUEST = 1000
LARGEST_VALUE = 10_000
FADING = 1000
"""A minute."""


@dataclass(frozen=True, slots=True)
class TrimmingParameters:
    """When there are too many."""

    low: int = 40
    """How many are left."""
    high: int = 100
    """From how many on some have to go."""
    grace: int = 30 * SECOND
    """So long a new connection is left alone."""


@dataclass(slots=True)
class _Connection:
    since: Instant
    valued: Instant
    value: float = 0.0
    tags: set[str] = field(default_factory=set)
    """Why it is protected."""


class Trimmer:
    """What every connection is worth."""

    def __init__(self, parameters: TrimmingParameters) -> None:
        self._of = parameters
        self._peers: dict[PeerId, _Connection] = {}

    def connected(self, peer: PeerId, now: Instant, tags: Iterable[str] = ()) -> None:
        """A peer is there. tags: why it is never parted with."""
        self._peers[peer] = _Connection(now, now, 0.0, set(tags))

    def disconnected(self, peer: PeerId) -> None:
        """It is not."""
        self._peers.pop(peer, None)

    def used(self, peer: PeerId, now: Instant) -> None:
        """It asked or answered."""
        found = self._peers.get(peer)
        if found is not None:
            found.value = min(LARGEST_VALUE, _faded(found, now) + VALUE_OF_REQUEST)
            found.valued = now

    def tags(self, peer: PeerId) -> tuple[str, ...]:
        """Why a peer is protected."""
        found = self._peers.get(peer)
        return () if found is None else tuple(sorted(found.tags))

    def too_many(self, now: Instant) -> list[PeerId]:
        """With whom to part, worth least first."""
        if len(self._peers) <= self._of.high:
            return []
        old = [
            (peer, one) for peer, one in self._peers.items() if not one.tags and after(one.since, self._of.grace) <= now
        ]
        old.sort(key=lambda one: (_faded(one[1], now), -one[1].since))
        return [peer for peer, _ in old[: len(self._peers) - self._of.low]]


def _faded(one: _Connection, now: Instant) -> float:
    return max(0.0, one.value - FADING * (now - one.valued) / MINUTE)
