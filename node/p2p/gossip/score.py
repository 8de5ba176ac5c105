"""What each peer has shown itself to be worth. Protocol 09a, section 2.2.

Peers that bring messages first are worth more; those that bring invalid ones, or do not keep what they promise, less.
Who has a bad score keeps it for hours, also when the connection is a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from node.contract.instants import Instant, after
from node.contract.messages import PeerId

from .parameters import ScoreParameters
from .rpc import MessageId


@dataclass(slots=True)
class OnTopic:
    """What a peer did on a topic."""

    mesh_since: Instant | None = None
    first: float = 0.0
    invalid: float = 0.0


@dataclass(slots=True)
class Standing:
    """What is known of a peer."""

    application: float = 0.0
    """What it is worth before it does anything."""
    penalty: float = 0.0
    topics: dict[str, OnTopic] = field(default_factory=dict)
    forgets: Instant | None = None
    """When it is forgotten; None: it is connected."""


class Outcome(Enum):
    """What became of a message."""

    UNKNOWN = "unknown"
    VALID = "valid"
    INVALID = "invalid"
    IGNORED = "ignored"


@dataclass(slots=True)
class _Delivery:
    outcome: Outcome
    others: set[PeerId]
    """Who sent it before it was judged, beside the first one."""


class Scores:
    """The standing of all peers."""

    def __init__(self, parameters: ScoreParameters) -> None:
        self._parameters = parameters
        self._peers: dict[PeerId, Standing] = {}
        self._deliveries: dict[MessageId, _Delivery] = {}

    # ---- peers ----

    def connect(self, peer: PeerId, application: float = 0.0) -> None:
        """A peer is there, perhaps again."""
        standing = self._peers.setdefault(peer, Standing())
        standing.forgets, standing.application = None, application

    def disconnect(self, peer: PeerId, now: Instant) -> None:
        """It is gone: what it did well is forgotten, and all of it where it did nothing else."""
        standing = self._peers.get(peer)
        if standing is None:
            return
        if self.of(peer, now) > 0:
            del self._peers[peer]
            return
        for topic in standing.topics.values():
            topic.first, topic.mesh_since = 0.0, None
        standing.forgets = after(now, self._parameters.retain)

    def of(self, peer: PeerId, now: Instant) -> float:
        """The score."""
        standing = self._peers.get(peer)
        if standing is None:
            return 0.0
        total = standing.application
        for name, topic in standing.topics.items():
            of = self._parameters.topics[name]
            value = of.first_weight * topic.first + of.invalid_weight * topic.invalid**2
            if topic.mesh_since is not None:
                value += of.mesh_weight * min(of.mesh_cap, float((now - topic.mesh_since) // of.mesh_quantum))
            total += of.weight * value
        excess = standing.penalty - self._parameters.penalty_threshold
        if excess > 0:
            total += self._parameters.penalty_weight * excess**2
        return total

    def penalise(self, peer: PeerId, times: int = 1) -> None:
        """It did not keep to the rules of gossip."""
        standing = self._peers.get(peer)
        if standing is not None:
            standing.penalty += times

    # ---- meshes ----

    def graft(self, peer: PeerId, topic: str, now: Instant) -> None:
        """It is in a mesh."""
        on = self._on(peer, topic)
        if on is not None:
            on.mesh_since = now

    def prune(self, peer: PeerId, topic: str) -> None:
        """It is no more."""
        on = self._on(peer, topic)
        if on is not None:
            on.mesh_since = None

    # ---- messages ----

    def received(self, id: MessageId) -> None:
        """A message came that is to be judged."""
        self._deliveries[id] = _Delivery(Outcome.UNKNOWN, set())

    def duplicate(self, id: MessageId, peer: PeerId, topic: str) -> None:
        """Another peer sent it too."""
        delivery = self._deliveries.get(id)
        if delivery is None:
            return
        if delivery.outcome is Outcome.UNKNOWN:
            delivery.others.add(peer)
        elif delivery.outcome is Outcome.INVALID:
            self.invalid(peer, topic)

    def judged(self, id: MessageId, peer: PeerId, topic: str, outcome: Outcome) -> None:
        """What became of it; peer: who brought it first. Whoever sends an invalid message is judged by it."""
        delivery = self._deliveries.setdefault(id, _Delivery(Outcome.UNKNOWN, set()))
        others, delivery.outcome, delivery.others = delivery.others, outcome, set()
        if outcome is Outcome.VALID:
            on = self._on(peer, topic)
            if on is not None:
                on.first = min(self._parameters.topics[topic].first_cap, on.first + 1)
        elif outcome is Outcome.INVALID:
            for one in {peer, *others}:
                self.invalid(one, topic)

    def invalid(self, peer: PeerId, topic: str) -> None:
        """It sent what nobody may send."""
        on = self._on(peer, topic)
        if on is not None:
            on.invalid += 1

    def forget(self, id: MessageId) -> None:
        """A message is known no more."""
        self._deliveries.pop(id, None)

    # ---- time ----

    def decay(self, now: Instant) -> None:
        """Once a second: counters fall, and old peers are forgotten."""
        least = self._parameters.decay_to_zero
        for peer, standing in list(self._peers.items()):
            if standing.forgets is not None:
                if standing.forgets <= now:
                    del self._peers[peer]
                continue  # what is retained does not fade
            standing.penalty = _faded(standing.penalty * self._parameters.penalty_decay, least)
            for name, topic in standing.topics.items():
                of = self._parameters.topics[name]
                topic.first = _faded(topic.first * of.first_decay, least)
                topic.invalid = _faded(topic.invalid * of.invalid_decay, least)

    def _on(self, peer: PeerId, topic: str) -> OnTopic | None:
        standing = self._peers.get(peer)
        if standing is None or topic not in self._parameters.topics:
            return None
        return standing.topics.setdefault(topic, OnTopic())


def _faded(value: float, least: float) -> float:
    return value if value >= least else 0.0
