"""Addresses of peers, and when one may be dialled again. Bounded: what others say of others is kept for some time only.

Protocol 09a, section 1.5.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.ports import Random
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.multiaddr import Multiaddr
from protocol.numbers.durations import HOUR, SECOND

NEVER_FAILED = Instant(0)


@dataclass(frozen=True, slots=True)
class BookParameters:
    """Bounds and waits."""

    peers: int = 4096
    addresses: int = 16
    """Of one peer."""
    least_backoff: int = 10 * SECOND
    most_backoff: int = HOUR
    backoff_base: int = 5


@dataclass(slots=True)
class _Entry:
    addresses: OrderedDict[Multiaddr, None] = field(default_factory=OrderedDict)
    failures: int = 0
    not_before: Instant = NEVER_FAILED
    is_kept: bool = False
    """It was configured, and is never forgotten."""


class AddressBook:
    """Where peers are."""

    def __init__(self, parameters: BookParameters, random: Random) -> None:
        self._of = parameters
        self._random = random
        self._entries: OrderedDict[PeerId, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, peer: PeerId, addresses: Iterable[Multiaddr], *, is_kept: bool = False) -> None:
        """Where a peer may be reached, newest last. Addresses over which it cannot be dialled are left out."""
        dialled = [address.without_peer() for address in addresses if address.tcp is not None]
        if not dialled:
            return
        entry = self._entries.setdefault(peer, _Entry())
        entry.is_kept = entry.is_kept or is_kept
        self._entries.move_to_end(peer)
        for address in dialled:
            entry.addresses[address] = None
            entry.addresses.move_to_end(address)
        while len(entry.addresses) > self._of.addresses:
            entry.addresses.popitem(last=False)
        if len(self._entries) > self._of.peers:
            oldest = next((one for one, found in self._entries.items() if not found.is_kept), None)
            if oldest is not None:
                del self._entries[oldest]

    def addresses(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where it may be reached, newest first."""
        entry = self._entries.get(peer)
        return () if entry is None else tuple(reversed(entry.addresses))

    def may_dial(self, peer: PeerId, now: Instant) -> bool:
        """Whether it is known, and not too early after the last time it could not be reached."""
        entry = self._entries.get(peer)
        return entry is not None and entry.not_before <= now

    def failed(self, peer: PeerId, now: Instant) -> None:
        """It could not be reached: the next time it is left alone for longer, by chance up to all of it."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        longest = min(self._of.most_backoff, self._of.least_backoff * self._of.backoff_base**entry.failures)
        entry.failures = min(entry.failures + 1, 16)
        entry.not_before = after(now, self._of.least_backoff + self._random.below(longest))

    def succeeded(self, peer: PeerId) -> None:
        """It was reached."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.failures, entry.not_before = 0, NEVER_FAILED

    def known(self, peers: Iterable[PeerId]) -> list[KnownPeer]:
        """Of these peers those whose addresses are known, for the next start."""
        return [KnownPeer(peer, self.addresses(peer)) for peer in peers if peer in self._entries]
