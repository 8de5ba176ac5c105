"""What happens to a message between two nodes: how long it takes, whether it is lost, doubled, held back, or cut off.

Faults are values with a beginning and an end; `Links` says what holds at an instant. Instants are those of the world.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.contract.instants import Instant
from protocol.numbers.durations import MILLISECOND

from .chance import Chance


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a message takes. Each pair of nodes has a distance of its own; each message varies around it."""

    median: int = 80 * MILLISECOND
    """Of the distances."""
    distance_sigma: float = 0.5
    """Of the logarithm of distances; 0: all pairs are equally far."""
    jitter_sigma: float = 0.2
    """Of the logarithm of one message's time; 0: messages never overtake each other."""
    least: int = MILLISECOND


@dataclass(frozen=True, slots=True)
class Split:
    """The nodes are apart in groups that cannot reach each other."""

    begin: Instant
    end: Instant
    groups: tuple[tuple[int, ...], ...]
    """Whoever is in none of them is reached by nobody."""


@dataclass(frozen=True, slots=True)
class Siege:
    """A node is reached by some peers only, and reaches only them."""

    begin: Instant
    end: Instant
    node: int
    peers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bad:
    """Bad lines: of all nodes, or of messages to or from some."""

    begin: Instant
    end: Instant
    loss: float = 0.0
    """The part of messages that never comes."""
    doubled: float = 0.0
    """The part that comes twice."""
    held: float = 0.0
    """The part that is held back, so that later ones come first."""
    hold: int = 0
    """How long at most, nanoseconds."""
    nodes: tuple[int, ...] | None = None


LinkFault = Split | Siege | Bad


class _Span:
    """What holds from one instant to the next at which anything changes."""

    def __init__(self, faults: Sequence[LinkFault]) -> None:
        self.splits = [
            {node: number for number, group in enumerate(fault.groups) for node in group}
            for fault in faults
            if isinstance(fault, Split)
        ]
        self.sieges = [(fault.node, frozenset(fault.peers)) for fault in faults if isinstance(fault, Siege)]
        self.bad = [fault for fault in faults if isinstance(fault, Bad)]

    def is_cut(self, source: int, to: int) -> bool:
        for groups in self.splits:
            if source not in groups or groups.get(source) != groups.get(to):
                return True
        for node, peers in self.sieges:
            if (source == node and to not in peers) or (to == node and source not in peers):
                return True
        return False


class Links:
    """The lines between all nodes."""

    def __init__(self, nodes: int, latency: Latency, faults: Iterable[LinkFault], chance: Chance) -> None:
        listed = list(faults)
        self._latency = latency
        self._chance = chance.of("messages")
        distances = chance.of("distances")
        self._distance = [[0] * nodes for _ in range(nodes)]
        for a in range(nodes):
            for b in range(a):
                far = max(latency.least, int(distances.spread(latency.median, latency.distance_sigma)))
                self._distance[a][b] = self._distance[b][a] = far
        self._changes = sorted({0, *(instant for one in listed for instant in (one.begin, one.end))})
        self._spans = [_Span([one for one in listed if one.begin <= instant < one.end]) for instant in self._changes]

    def _at(self, now: Instant) -> _Span:
        return self._spans[bisect_right(self._changes, now) - 1]

    def _between(self, begin: Instant, end: Instant) -> Sequence[_Span]:
        """Those from that of an instant to that of another, both included."""
        return self._spans[bisect_right(self._changes, begin) - 1 : bisect_right(self._changes, end)]

    def is_cut(self, source: int, to: int, now: Instant) -> bool:
        """Whether two nodes cannot reach each other."""
        return self._at(now).is_cut(source, to)

    def together(self, begin: Instant, end: Instant) -> list[frozenset[int]]:
        """The nodes in groups that could reach each other all the time from one instant to another, over others if
        need be."""
        apart = [span for span in self._between(begin, end) if span.splits or span.sieges]
        nodes = range(len(self._distance))
        group = list(nodes)
        for a in nodes:
            for b in range(a):
                if group[a] != group[b] and not any(span.is_cut(a, b) for span in apart):
                    old, new = group[a], group[b]
                    group = [new if one == old else one for one in group]
        return [frozenset(node for node in nodes if group[node] == one) for one in sorted(set(group))]

    def losses(self, begin: Instant, end: Instant) -> list[Bad]:
        """The bad lines from one instant to another that lose messages."""
        return [bad for span in self._between(begin, end) for bad in span.bad if bad.loss]

    def delays(self, source: int, to: int, now: Instant) -> Sequence[int]:
        """How long each copy takes of a message that is sent now, nanoseconds; none where it never comes."""
        span = self._at(now)
        if (span.splits or span.sieges) and span.is_cut(source, to):
            return ()
        chance = self._chance
        delay = self._time(source, to)
        if not span.bad:
            return (delay,)
        copies = 1
        for bad in span.bad:
            if bad.nodes is not None and source not in bad.nodes and to not in bad.nodes:
                continue
            if bad.loss and chance.happens(bad.loss):
                return ()
            if bad.held and chance.happens(bad.held):
                delay += chance.below(max(1, bad.hold))
            if bad.doubled and chance.happens(bad.doubled):
                copies += 1
        return (delay, *(self._time(source, to) + chance.below(delay + 1) for _ in range(copies - 1)))

    def _time(self, source: int, to: int) -> int:
        distance = self._distance[source][to]
        sigma = self._latency.jitter_sigma
        return max(self._latency.least, int(self._chance.spread(distance, sigma))) if sigma else distance
