"""Peers of gossip and their meshes: who wants which topic, who is in which mesh, and who may not be asked again yet.

The part of the router that deals with no message. Protocol 09a, section 2.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.ports import Random

from . import rpc as wire
from .mesh import Candidates, balance
from .parameters import GossipParameters
from .rpc import MessageId, OfferedPeer, Prune
from .score import Scores

FLOODSUB, MESH, BACKOFF, IDONTWANT = range(4)
"""What a peer's version of the protocol knows, each what the one before does."""


@dataclass(frozen=True, slots=True)
class ToSend:
    """Bytes for a peer's stream, to be sent behind their length."""

    peer: PeerId
    data: bytes
    is_control: bool
    """It is small, and goes before messages where both wait."""


@dataclass(frozen=True, slots=True)
class ToJudge:
    """A message that is new: `judged` is told what became of it."""

    id: MessageId
    topic: str
    data: bytes
    peer: PeerId


@dataclass(frozen=True, slots=True)
class Offered:
    """Peers that one which is trusted has named."""

    peers: tuple[OfferedPeer, ...]


Output = ToSend | ToJudge | Offered


@dataclass(slots=True)
class Neighbour:
    """A peer with at least one stream of gossip."""

    level: int
    is_outbound: bool
    is_direct: bool = False
    is_ready: bool = False
    """Our stream to it is open."""
    topics: set[str] = field(default_factory=set)
    ihave_messages: int = 0
    ids_asked: int = 0
    """Of this heartbeat."""
    unwanted: dict[MessageId, int] = field(default_factory=dict)
    """What it said it need not be sent, and for how many heartbeats that counts."""


class Meshes:
    """The peers of one node."""

    def __init__(
        self, parameters: GossipParameters, random: Random, record_of: Callable[[PeerId], bytes | None]
    ) -> None:
        self._of = parameters
        self._random = random
        self._record_of = record_of
        self.scores = Scores(parameters.score)
        self._peers: dict[PeerId, Neighbour] = {}
        self._topics: set[str] = set()
        self._meshes: dict[str, set[PeerId]] = {}
        self._fanout: dict[str, tuple[set[PeerId], Instant]] = {}
        self._subscribers: dict[str, set[PeerId]] = {}
        self._backoff: dict[tuple[str, PeerId], Instant] = {}
        self._outputs: list[Output] = []
        self.counts: Counter[str] = Counter()
        """What happened, by short words, for metrics."""

    def take(self) -> list[Output]:
        """What follows from all that was told since."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def mesh(self, topic: str) -> frozenset[PeerId]:
        """Who is in the mesh of a topic."""
        return frozenset(self._meshes.get(topic, ()))

    # ---- peers ----

    def connected(
        self, peer: PeerId, protocol: str, *, is_outbound: bool, is_direct: bool = False, application: float = 0.0
    ) -> None:
        """The peer's stream to us is open: its first words may come before ours to it is.

        application: what it is worth from the beginning.
        """
        if peer in self._peers:
            return
        level = IDONTWANT - wire.PROTOCOLS.index(protocol)
        self._peers[peer] = Neighbour(level, is_outbound, is_direct)
        self.scores.connect(peer, application)

    def ready(self, peer: PeerId, protocol: str, now: Instant) -> None:
        """Our stream to a connected peer is open."""
        found = self._peers[peer]
        found.level, found.is_ready = IDONTWANT - wire.PROTOCOLS.index(protocol), True
        if self._topics:
            greeting = b"".join(wire.subscription(topic, True) for topic in sorted(self._topics))
            self._control(peer, greeting)
        for topic in sorted(found.topics & self._topics):
            self._fill(peer, topic, now)

    def disconnected(self, peer: PeerId, now: Instant) -> None:
        """All its streams are gone."""
        if self._peers.pop(peer, None) is None:
            return
        self.scores.disconnect(peer, now)
        for group in (*self._meshes.values(), *self._subscribers.values(), *(one for one, _ in self._fanout.values())):
            group.discard(peer)

    def _subscription(self, peer: PeerId, found: Neighbour, topic: str, wants: bool, now: Instant) -> None:
        if wants:
            if topic not in found.topics and len(found.topics) >= self._of.topics_of_peer:
                self.counts["too_many_topics"] += 1
                return
            found.topics.add(topic)
            self._subscribers.setdefault(topic, set()).add(peer)
            self._fill(peer, topic, now)
            return
        found.topics.discard(topic)
        subscribers = self._subscribers.get(topic)
        if subscribers is not None:
            subscribers.discard(peer)
            if not subscribers:
                del self._subscribers[topic]
        if topic in self._meshes and peer in self._meshes[topic]:
            self._ungraft(peer, topic)

    # ---- grafts and prunes ----

    def _grafted(self, peer: PeerId, found: Neighbour, topic: str, score: float, now: Instant) -> Prune | None:
        """It has taken us into its mesh; whether we part with it, and for how long."""
        mesh = self._meshes.get(topic)
        if mesh is None or peer in mesh:
            return None  # of topics that are not known nothing is said: others would flood us with them
        until = self._backoff.get((topic, peer), Instant(0))
        if not found.is_direct and until > now:
            is_flood = now < until + self._of.graft_flood - self._of.prune_backoff
            self.scores.penalise(peer, 2 if is_flood else 1)
        elif not found.is_direct and score >= 0 and (len(mesh) < self._of.degree_high or found.is_outbound):
            self.counts["grafted"] += 1
            self._graft(peer, topic, now)
            return None
        self._backoff[topic, peer] = after(now, self._of.prune_backoff)
        offered = self._others(topic, peer, now) if score >= 0 and until <= now else ()
        return Prune(topic, self._of.prune_backoff, offered)

    def _pruned(self, peer: PeerId, prune: Prune, score: float, now: Instant) -> None:
        """It does not want us in its mesh."""
        mesh = self._meshes.get(prune.topic)
        if mesh is None:
            return
        self.counts["pruned"] += 1
        if peer in mesh:
            self._ungraft(peer, prune.topic)
        wait = min(prune.backoff or self._of.prune_backoff, self._of.longest_backoff)
        until = after(now, wait)
        self._backoff[prune.topic, peer] = max(until, self._backoff.get((prune.topic, peer), until))
        if prune.offered and score >= self._of.score.accept_exchange:
            self._outputs.append(Offered(prune.offered[: self._of.exchange_peers]))

    def _balance(
        self,
        topic: str,
        mesh: set[PeerId],
        grafts: dict[PeerId, list[str]],
        prunes: dict[PeerId, list[Prune]],
        now: Instant,
        *,
        is_opportunistic: bool,
    ) -> None:
        among = Candidates(
            lambda peer: self.scores.of(peer, now),
            lambda peer: self._peers[peer].is_outbound,
            self._fit(topic, now, mesh),
        )
        changes = balance(sorted(mesh), among, self._of, self._random, is_opportunistic=is_opportunistic)
        for peer in changes.prune:
            offered = self._others(topic, peer, now) if among.score(peer) >= 0 else ()
            self._ungraft(peer, topic)
            self._backoff[topic, peer] = after(now, self._of.prune_backoff)
            prunes.setdefault(peer, []).append(Prune(topic, self._of.prune_backoff, offered))
        for peer in changes.graft:
            self._graft(peer, topic, now)
            grafts.setdefault(peer, []).append(topic)

    # ---- meshes ----

    def _fit(self, topic: str, now: Instant, without: Collection[PeerId] = ()) -> list[PeerId]:
        """Who may be taken into a mesh, in a random order."""
        found = [peer for peer in sorted(self._subscribers.get(topic, ())) if peer not in without]
        return self._random.shuffled([peer for peer in found if self._is_fit(peer, topic, now)])

    def _is_fit(self, peer: PeerId, topic: str, now: Instant) -> bool:
        found = self._peers[peer]
        return (
            found.is_ready
            and found.level >= MESH
            and not found.is_direct
            and self._backoff.get((topic, peer), Instant(0)) <= now
            and self.scores.of(peer, now) >= 0
        )

    def _fill(self, peer: PeerId, topic: str, now: Instant) -> None:
        """A mesh that is short of peers does not wait for the heartbeat."""
        mesh = self._meshes.get(topic)
        if mesh is None or len(mesh) >= self._of.degree or peer in mesh or not self._is_fit(peer, topic, now):
            return
        self._graft(peer, topic, now)
        self._control(peer, wire.control(graft=(topic,)))

    def _graft(self, peer: PeerId, topic: str, now: Instant) -> None:
        self._meshes[topic].add(peer)
        self.scores.graft(peer, topic, now)

    def _ungraft(self, peer: PeerId, topic: str) -> None:
        self._meshes[topic].discard(peer)
        self.scores.prune(peer, topic)

    def _others(self, topic: str, without: PeerId, now: Instant) -> tuple[OfferedPeer, ...]:
        """Peers that one with which we part may go to."""
        if not self._of.exchanges:
            return ()
        others = [
            peer
            for peer in sorted(self._subscribers.get(topic, ()))
            if peer != without and self.scores.of(peer, now) >= 0
        ]
        chosen = self._random.shuffled(others)[: self._of.exchange_peers]
        return tuple(OfferedPeer(peer, self._record_of(peer)) for peer in chosen)

    # ---- sending ----

    def _control(self, peer: PeerId, data: bytes) -> None:
        found = self._peers.get(peer)
        if found is not None and found.is_ready:
            self._outputs.append(ToSend(peer, data, True))

    def _prunes(self, peer: PeerId, prunes: Iterable[Prune]) -> bytes:
        return wire.control(prune=self._known(peer, prunes))

    def _known(self, peer: PeerId, prunes: Iterable[Prune]) -> list[Prune]:
        """As the peer's version of the protocol has them."""
        if self._peers[peer].level >= BACKOFF:
            return list(prunes)
        return [Prune(one.topic) for one in prunes]
