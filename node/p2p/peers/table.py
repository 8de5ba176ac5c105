"""Peers by their distance: the table that all nodes keep together (Kademlia), and the search for those near a key.

Protocol 09a, section 1.5.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from node.contract.messages import PeerId
from node.p2p.wire import kad

BITS = 256


class Table:
    """The peers that are known to serve, a bucket for each length of the prefix that they share with this node."""

    def __init__(self, own: PeerId, size: int = kad.CLOSEST) -> None:
        self._own = kad.place(own)
        self._me = own
        self._size = size
        self._buckets: dict[int, OrderedDict[PeerId, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, peer: PeerId, is_connected: Callable[[PeerId], bool] = lambda peer: False) -> bool:
        """Whether a peer has a place now. In a full bucket it takes that of the oldest which is not connected."""
        if peer == self._me:
            return False
        place = kad.place(peer)
        bucket = self._buckets.setdefault(BITS - (place ^ self._own).bit_length(), OrderedDict())
        if peer not in bucket and len(bucket) >= self._size:
            oldest = next((one for one in bucket if not is_connected(one)), None)
            if oldest is None:
                return False
            del bucket[oldest]
        bucket[peer] = place
        bucket.move_to_end(peer)
        return True

    def remove(self, peer: PeerId) -> None:
        """It serves no more, or cannot be reached."""
        for number, bucket in list(self._buckets.items()):
            if bucket.pop(peer, None) is not None and not bucket:
                del self._buckets[number]

    def nearest(self, key: bytes, count: int = kad.CLOSEST, without: Iterable[PeerId] = ()) -> list[PeerId]:
        """The peers nearest to a key, the nearest first."""
        place, left_out = kad.place(key), set(without)
        found = [
            (other ^ place, peer)
            for bucket in self._buckets.values()
            for peer, other in bucket.items()
            if peer not in left_out
        ]
        return [peer for _, peer in sorted(found)[:count]]


@dataclass(slots=True)
class Search:
    """For the peers near a key: the nearest that are known are asked, then those that they name, until nobody nearer
    is left to be asked."""

    key: bytes
    parallel: int = 3
    count: int = kad.CLOSEST
    most: int = 100
    """Peers that are asked."""
    _places: dict[PeerId, int] = field(default_factory=dict)
    _asked: set[PeerId] = field(default_factory=set)
    _open: set[PeerId] = field(default_factory=set)
    _failed: set[PeerId] = field(default_factory=set)

    def add(self, peers: Iterable[PeerId]) -> None:
        """Peers that were heard of."""
        place = kad.place(self.key)
        for peer in peers:
            if peer not in self._places:
                self._places[peer] = kad.place(peer) ^ place

    def next(self) -> list[PeerId]:
        """Whom to ask now."""
        room = min(self.parallel - len(self._open), self.most - len(self._asked))
        chosen = [peer for peer in self.nearest if peer not in self._asked][: max(0, room)]
        self._asked.update(chosen)
        self._open.update(chosen)
        return chosen

    def answered(self, peer: PeerId, named: Iterable[PeerId] | None) -> None:
        """What a peer that was asked has said; None: nothing."""
        self._open.discard(peer)
        if named is None:
            self._failed.add(peer)
        else:
            self.add(named)

    @property
    def nearest(self) -> list[PeerId]:
        """The nearest that are known, but for those that said nothing."""
        alive = [(place, peer) for peer, place in self._places.items() if peer not in self._failed]
        return [peer for _, peer in sorted(alive)[: self.count]]

    @property
    def is_over(self) -> bool:
        """Whether nobody is asked any more, and nobody is left to be."""
        left = len(self._asked) < self.most and any(peer not in self._asked for peer in self.nearest)
        return not self._open and not left
