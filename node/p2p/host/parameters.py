"""Times and bounds of the host. Protocol 09a, sections 1 and 3.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from node.p2p.gossip.parameters import GossipParameters
from node.p2p.peers.book import BookParameters
from node.p2p.peers.clocks import ClockParameters
from node.p2p.peers.gater import GaterParameters
from node.p2p.peers.trimming import TrimmingParameters
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.multiaddr import Multiaddr


class Framing(Enum):
    """How an answer stands on a stream; questions always stand behind their length."""

    ENVELOPE = "envelope"
    """In a response, which has room for an error."""
    BARE = "bare"
    """As it is."""


@dataclass(frozen=True, slots=True)
class HostParameters:
    """All of them. Times in seconds, as the loop takes them."""

    prologue: bytes
    """The network's name: peers of others do not get through the handshake."""
    topics: tuple[str, ...]
    """Of gossip."""
    protocols: Mapping[str, Framing]
    """Of questions that this node answers."""
    listen: tuple[Multiaddr, ...] = ()
    advertise: tuple[Multiaddr, ...] = ()
    """Told to others in place of where it listens."""
    bootnodes: tuple[KnownPeer, ...] = ()
    direct: tuple[KnownPeer, ...] = ()
    """Peers that are always connected."""
    least_peers: int = 20
    """Below which more are looked for."""
    gater: GaterParameters = field(default_factory=GaterParameters)
    trimming: TrimmingParameters = field(default_factory=TrimmingParameters)
    book: BookParameters = field(default_factory=BookParameters)
    gossip: GossipParameters = field(default_factory=GossipParameters)
    clocks: ClockParameters | None = None
    """How this clock is compared with those of peers; None: it is not."""
    finds: bool = True
    """Whether the table that all keep is asked for peers."""

    handshake_s: float = 15.0
    dial_s: float = 15.0
    negotiation_s: float = 10.0
    """For the other side to say which protocol a stream is of."""
    idle_s: float = 25.0
    """Without progress of a question."""
    hard_s: float = 300.0
    """Of a question, whatever its progress."""
    ping_s: float = 30.0
    """Between pings; a connection that answers none of three is closed."""
    look_s: float = 10.0
    """Between looks at how many peers there are."""
    search_s: float = 30.0
    """Between searches in the table, while peers are missing."""
    window: int = 256 << 10
    """Bytes of a stream that the other side may send ahead."""
    streams: int = 512
    """Of one connection."""
    unread: int = 16 << 20
    """Bytes that wait for a peer to read them, until it is given up."""
    gossip_queue: int = 8 << 20
    """Bytes of messages that wait for one peer; what is above it is dropped, and counted."""
    answers: int = 192 << 20
    """Bytes of answers that are being received, of all peers."""
    handshakes: int = 64
    """Connections of others whose handshake is not done."""
