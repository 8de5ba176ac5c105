"""Which peers answer well: by the time that they take for a kibibyte, and by how often they fail.

Held in memory alone: after a start all peers are as good as each other. Protocol 09a, section 4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from node.contract.messages import PeerId
from node.contract.ports import Random

KIBIBYTE = 1024
NEW_PEER = 0.9
"""Of the average: those that were never asked come before middling ones."""
MAX_RESTS = 100
"""A peer that always fails is tried once in so many choices."""
OWN_SAMPLES, ALL_SAMPLES = 10, 25
"""How many answers an average looks back on, of one peer and of all."""


@dataclass(slots=True)
class _Record:
    answers: int = 0
    failures: int = 0
    average: float = 0.0
    """Nanoseconds for a kibibyte."""
    in_a_row: int = 0
    """Failures since the last answer."""
    rests: int = 0
    """So many times it is still passed over."""


class PeerScores:
    """The peers that are connected, best first. Whoever asks a peer says what came of it."""

    def __init__(self, connected: Callable[[], Sequence[PeerId]], random: Random) -> None:
        """connected: as of the network port, `Network.peers`."""
        self._connected = connected
        self._random = random
        self._records: dict[PeerId, _Record] = {}
        self._average = 0.0

    def connected(self) -> Sequence[PeerId]:
        """All that are connected. What is known of others is forgotten before it is more than that."""
        peers = self._connected()
        if len(self._records) > len(peers):
            kept = set(peers)
            self._records = {peer: one for peer, one in self._records.items() if peer in kept}
        return peers

    def best(self, count: int, without: Collection[PeerId] = ()) -> list[PeerId]:
        """The best ones, at most so many, best first."""
        return sorted((peer for peer in self.connected() if peer not in without), key=self._key)[:count]

    def best_shuffled(self, count: int) -> list[PeerId]:
        """Good ones in any order: they share the load, and none is asked first for ever.

        One that failed is passed over for a while, longer each time, where there are others: whoever asks several at
        once waits for all of them.
        """
        resting = [peer for peer in self.connected() if (one := self._records.get(peer)) is not None and one.rests]
        found = self.best(count, resting)
        for peer in resting if found else ():
            self._records[peer].rests -= 1
        return self._random.shuffled(found or self.best(count))

    def best_of(self, peers: Collection[PeerId]) -> PeerId | None:
        """The best of some; None where there is none."""
        return min(peers, key=self._key, default=None)

    def any_of(self, peers: Sequence[PeerId]) -> PeerId | None:
        """Any of some; None where there is none."""
        return peers[self._random.below(len(peers))] if peers else None

    def answered(self, peer: PeerId, size: int, took: int) -> None:
        """A peer has answered so many bytes in so many nanoseconds."""
        self._count(peer, size, took, 0)

    def failed(self, peer: PeerId, took: int) -> None:
        """A peer has not answered, or not what it was asked: however much it sent, that was nothing."""
        self._count(peer, 0, took, 1)

    def _count(self, peer: PeerId, size: int, took: int, failures: int) -> None:
        record = self._records.setdefault(peer, _Record())
        record.answers += 1
        record.failures += failures
        record.in_a_row = record.in_a_row + 1 if failures else 0
        record.rests = min(record.in_a_row**2, MAX_RESTS) if failures else 0
        latency = float(took // max(size // KIBIBYTE, 1))
        record.average = _moved(record.average, latency, OWN_SAMPLES)
        self._average = _moved(self._average, latency, ALL_SAMPLES)

    def score(self, peer: PeerId) -> float:
        """Nanoseconds for a kibibyte, with a penalty for failures; lower is better."""
        record = self._records.get(peer)
        if record is None:
            return NEW_PEER * self._average
        return record.average + record.failures / record.answers * self._average

    def _key(self, peer: PeerId) -> tuple[float, PeerId]:
        return self.score(peer), peer


def _moved(average: float, value: float, samples: int) -> float:
    return value if average == 0.0 else average + (value - average) / samples
