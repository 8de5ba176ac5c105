"""The numbers of gossip. Protocol 09a, sections 2.1 and 2.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from protocol.numbers.durations import HOUR, MINUTE, SECOND

HOURLY_DECAY = 0.01 ** (1 / 3600)
"""By which a counter falls to a hundredth in an hour."""


@dataclass(frozen=True, slots=True)
class TopicScore:
    """How the score of a peer follows from what it does on one topic."""

    weight: float = 0.1
    mesh_weight: float = 0.00027
    """Of each quantum in the mesh."""
    mesh_quantum: int = SECOND
    mesh_cap: float = 1.0
    first_weight: float = 5.0
    """Of each message that it brought first."""
    first_cap: float = 100.0
    first_decay: float = HOURLY_DECAY
    invalid_weight: float = -1000.0
    """Of the square of invalid messages."""
    invalid_decay: float = HOURLY_DECAY


@dataclass(frozen=True, slots=True)
class ScoreParameters:
    """How peers are judged."""

    topics: Mapping[str, TopicScore] = field(
        default_factory=lambda: MappingProxyType({"ax1": TopicScore(), "pp1": TopicScore()})
    )
    """On other topics nothing is counted."""
    penalty_weight: float = -10.0
    """Of the square of what is above the threshold."""
    penalty_threshold: float = 6.0
    penalty_decay: float = HOURLY_DECAY
    decay_to_zero: float = 0.01
    retain: int = 6 * HOUR
    """How long a score that is not positive outlives the connection."""
    gossip_threshold: float = -500.0
    """Below it nothing is told to a peer or asked of it."""
    publish_threshold: float = -1000.0
    """Below it it gets no own messages."""
    graylist_threshold: float = -2500.0
    """Below it nothing of it is heard."""
    accept_exchange: float = 1000.0
    """From here on the peers that it names are dialled."""
    opportunistic_threshold: float = 3.5
    """A mesh whose median is below it looks for better peers."""


@dataclass(frozen=True, slots=True)
class GossipParameters:
    """The router's."""

    degree: int = 6
    """Peers of a mesh."""
    degree_low: int = 4
    degree_high: int = 8
    degree_score: int = 4
    """That are kept for their score when there are too many."""
    degree_out: int = 3
    """That this node has dialled."""
    degree_lazy: int = 8
    """Peers outside the mesh that are told which messages there are."""
    gossip_factor: float = 0.1
    """As a part of all of them, where that is more."""
    history: int = 10
    """Heartbeats for which a message can be asked for."""
    history_gossip: int = 3
    """Of them those whose messages are told of."""
    heartbeat: int = SECOND
    seen: int = 2 * MINUTE
    """How long a message is known by its id."""
    fanout: int = MINUTE
    prune_backoff: int = MINUTE
    unsubscribe_backoff: int = 10 * SECOND
    graft_flood: int = 10 * SECOND
    """A graft so soon after a prune counts twice."""
    longest_backoff: int = HOUR
    """That a peer may ask for."""
    iwant_followup: int = 5 * SECOND
    """Within which a message that was asked for must come."""
    retransmissions: int = 3
    """Of one message to one peer."""
    ihave_ids: int = 5000
    """Of a peer and heartbeat."""
    ihave_messages: int = 10
    """Of a peer and heartbeat."""
    idontwant_bytes: int = 1024
    """From which size on a mesh is told at once that it need not send a message."""
    idontwant_heartbeats: int = 3
    idontwant_ids: int = 1000
    """Of a peer."""
    opportunistic_ticks: int = 60
    opportunistic_peers: int = 2
    exchange_peers: int = 16
    """That are taken of one prune."""
    exchanges: bool = False
    """Whoever is pruned is told of other peers."""
    flood_publish: bool = False
    """Own messages go to all peers, not only to those of the mesh."""
    rpc_bytes: int = 2 << 20
    """Of one message between two peers, with everything in it."""
    topics_of_peer: int = 64
    """Subscriptions of one peer that are kept."""
    score: ScoreParameters = ScoreParameters()


BOOTNODE = GossipParameters(
    degree=0,
    degree_low=0,
    degree_high=0,
    degree_score=0,
    degree_out=0,
    degree_lazy=64,
    gossip_factor=0.25,
    prune_backoff=5 * MINUTE,
    exchanges=True,
)
"""Of a node that leads others to each other."""
