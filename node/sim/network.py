"""The network between the nodes of a world: gossip and requests.

Gossip goes in one of two ways. *Directly*: whoever publishes reaches everybody, each after a time of its own, which is
cheap and fair; what is said to some only, the first of them that accepts it tells all others. *Relayed*: along edges of
an overlay, by those who accepted the message, as gossip does in the world; a message that one line loses comes on
another. Nobody is handed a message a second time, unless a line doubles it on purpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from node.contract.demands import Failed, PeerRequest, Request, Result
from node.contract.instants import Instant
from node.contract.messages import PeerId
from protocol.crypto.hashing import hash32
from protocol.numbers.durations import MILLISECOND

from .chance import Chance
from .links import Links
from .timeline import Action, Timeline

MOST_TOLD = 10_000
"""Messages that were said to some only, of which it is known to whom; older ones go no further."""


@cache  # as many as there are nodes
def peer_id(number: int) -> PeerId:
    """How nodes name each other."""
    return PeerId(b"node-%04d" % number)


def number_of(peer: PeerId) -> int:
    """The node behind a name."""
    return int(peer[5:])


class Station(Protocol):
    """A node, as the network sees it."""

    @property
    def is_up(self) -> bool:
        """Whether anything that comes is heard."""

    def hear(self, topic: str, data: bytes, peer: PeerId) -> None:
        """A message of gossip came."""

    def ask(self, number: int, request: PeerRequest) -> None:
        """A question of a peer came; it is answered by `Network.reply` with this number."""


Outcome = Callable[[Result], None]
"""Who waits for the answer to a request: it is told of the answer, or of Failed."""


class Network:
    """All lines, and what is under way on them."""

    def __init__(
        self, timeline: Timeline, links: Links, chance: Chance, degree: int = 0, quantum: int = MILLISECOND
    ) -> None:
        """degree: neighbours of a node in the overlay; 0: gossip goes directly. quantum: arrivals are put off to a
        multiple of it, so that what comes at almost the same time is one turn of a node."""
        self._timeline = timeline
        self._links = links
        self._chance = chance
        self._degree = degree
        self._quantum = quantum
        self._stations: list[Station] = []
        self._neighbours: list[list[int]] = []
        self._seen: list[set[bytes]] = []
        """By node: messages of this layer and, in `_seen_before`, of the one before; older ones are heard again."""
        self._seen_before: list[set[bytes]] = []
        self._told: dict[bytes, set[int]] = {}
        """Of messages that were said to some only: to whom, by now."""
        self._asked: dict[int, tuple[int, int, Outcome]] = {}
        """Open requests: who asks, who is asked, what to do with the answer."""
        self._next = 0
        self.messages: Counter[str] = Counter()
        """Deliveries by topic or protocol."""
        self.bytes: Counter[str] = Counter()

    def join(self, stations: Sequence[Station]) -> None:
        """These are the nodes; once."""
        self._stations = list(stations)
        self._seen, self._seen_before = [set() for _ in stations], [set() for _ in stations]
        self._neighbours = overlay(len(stations), self._degree, self._chance.of("overlay")) if self._degree else []

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self._stations)

    def peers(self, node: int) -> list[PeerId]:
        """Who a node is connected to now."""
        now = self._timeline.now()
        others = self._neighbours[node] if self._degree else range(len(self._stations))
        return [
            peer_id(other)
            for other in others
            if other != node and self._stations[other].is_up and not self._links.is_cut(node, other, now)
        ]

    # ---- gossip ----

    def publish(self, source: int, topic: str, data: bytes, to: Sequence[int] | None = None, delay: int = 0) -> None:
        """A node has something to say: to everyone, or to these only, after a while."""
        if to is None:
            to = self._neighbours[source] if self._degree else range(len(self._stations))
        id = hash32(topic.encode(), b"\0", data)
        if self._degree:
            self._seen[source].add(id)
        elif len(to) < len(self._stations):
            self._tell_some(id, source, to)
        self._send(source, [other for other in to if other != source], topic, data, id, delay)

    def accepted(self, node: int, topic: str, data: bytes, peer: PeerId | None) -> None:
        """A node accepted a message of gossip, which goes on to its neighbours, or to whom it was not said."""
        if not self._degree and not self._told:
            return
        id = hash32(topic.encode(), b"\0", data)
        if not self._degree:
            told = self._told.get(id, set(range(self.size)))
            missing = [other for other in range(self.size) if other not in told]
            told.update(missing)
            self._send(node, missing, topic, data, id, 0)
            return
        came_from = None if peer is None else number_of(peer)
        to = [other for other in self._neighbours[node] if other != came_from and not self._has_seen(other, id)]
        self._send(node, to, topic, data, id, 0)

    def _tell_some(self, id: bytes, source: int, to: Sequence[int]) -> None:
        self._told.setdefault(id, {source}).update(to)
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]

    def forget(self, node: int) -> None:
        """A node begins anew and knows no message."""
        self._seen[node], self._seen_before[node] = set(), set()

    def layer_began(self) -> None:
        """What was said two layers ago is no longer known to be known."""
        self._seen_before, self._seen = self._seen, [set() for _ in self._seen]

    def _has_seen(self, node: int, id: bytes) -> bool:
        return id in self._seen[node] or id in self._seen_before[node]

    def _send(self, source: int, to: Sequence[int], topic: str, data: bytes, id: bytes, delay: int) -> None:
        now, quantum = self._timeline.now(), self._quantum
        arrivals: dict[int, list[tuple[int, bool]]] = {}
        """By the instant: who hears it then, and whether that is a copy."""
        for other in to:
            for copy, time in enumerate(self._links.delays(source, other, now)):
                arrivals.setdefault(-(-(now + delay + time) // quantum) * quantum, []).append((other, copy > 0))
        for instant, heard in arrivals.items():
            self._timeline.at(
                Instant(instant),
                lambda heard=heard: self._arrive(source, heard, topic, data, id),  # type: ignore[misc]
            )

    def _arrive(self, source: int, heard: Sequence[tuple[int, bool]], topic: str, data: bytes, id: bytes) -> None:
        peer = peer_id(source)
        for to, is_copy in heard:
            station = self._stations[to]
            if not station.is_up:
                continue
            if self._degree:
                if self._has_seen(to, id) and not is_copy:
                    continue
                self._seen[to].add(id)
            self.messages[topic] += 1
            self.bytes[topic] += len(data)
            station.hear(topic, data, peer)

    # ---- requests ----

    def request(self, source: int, request: Request, outcome: Outcome) -> None:
        """A node asks a peer. The outcome comes by its timeout at the latest; whoever crashed is told nothing."""
        to, now = number_of(request.peer), self._timeline.now()
        self._next += 1
        number = self._next
        self._asked[number] = source, to, outcome
        self._at(now + request.timeout, lambda: self._settle(number, Failed("timeout")))
        if not 0 <= to < len(self._stations) or self._links.is_cut(source, to, now):
            self._at(now + MILLISECOND, lambda: self._settle(number, Failed("no_peers")))
            return
        question = PeerRequest(request.protocol, request.data, peer_id(source))
        for time in self._links.delays(source, to, now)[:1]:
            self._at(now + time, lambda: self._ask(number, to, question))

    def _ask(self, number: int, to: int, question: PeerRequest) -> None:
        station = self._stations[to]
        if station.is_up and number in self._asked:
            self.messages[question.protocol] += 1
            self.bytes[question.protocol] += len(question.data)
            station.ask(number, question)

    def reply(self, number: int, result: Result) -> None:
        """The node that was asked answers."""
        if number not in self._asked:
            return
        source, to, _ = self._asked[number]
        if isinstance(result, bytes):
            self.bytes["answers"] += len(result)
        now = self._timeline.now()
        for time in self._links.delays(to, source, now)[:1]:
            self._at(now + time, lambda: self._settle(number, result))

    def _settle(self, number: int, result: Result) -> None:
        open_request = self._asked.pop(number, None)
        if open_request is not None:
            open_request[2](result)

    def _at(self, instant: int, action: Action) -> None:
        self._timeline.at(Instant(-(-instant // self._quantum) * self._quantum), action)


def overlay(nodes: int, degree: int, chance: Chance) -> list[list[int]]:
    """Who is whose neighbour: half as many rings through all nodes as each is to have neighbours, in random orders. So
    all are connected, and nobody hangs on fewer lines than others, unless two rings share an edge."""
    found: list[set[int]] = [set() for _ in range(nodes)]
    for _ in range((degree + 1) // 2):
        ring = chance.shuffled(range(nodes))
        for at, node in enumerate(ring):
            if node != ring[at - 1]:
                found[node].add(ring[at - 1])
                found[ring[at - 1]].add(node)
    return [sorted(one) for one in found]
