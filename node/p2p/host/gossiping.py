"""The router of gossip on its streams: one for each direction, a heartbeat, and a bound of what waits for a peer.

Protocol 09a, sections 2.1 and 2.4.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.ports import Random
from node.contract.verdicts import Verdict
from node.p2p.gossip import rpc
from node.p2p.gossip.meshes import Offered, ToJudge, ToSend
from node.p2p.gossip.router import Router
from node.p2p.gossip.rpc import OfferedPeer
from node.p2p.wire import varint, yamux
from node.p2p.wire.errors import WireError

from .link import Link
from .parameters import HostParameters
from .streams import Messages, Outgoing, Receiver

AGAIN_S = 1.0
"""Until a stream that a peer has reset is opened again."""


class _Speaking(Receiver):
    """The stream on which this node speaks, and nothing is heard."""

    def __init__(self, stream: yamux.Stream, lost: Callable[[], None]) -> None:
        super().__init__(stream)
        self._lost = lost

    def ended(self) -> None:
        """As Receiver says: the other side never speaks here."""

    def reset(self) -> None:
        """As Receiver says."""
        self._lost()


class Gossiping:
    """Gossip with all peers."""

    def __init__(
        self,
        parameters: HostParameters,
        random: Random,
        heard: Callable[[str, bytes, PeerId], None],
        offered: Callable[[Sequence[OfferedPeer]], None],
        record_of: Callable[[PeerId], bytes | None],
        worth: Callable[[PeerId], float],
    ) -> None:
        """heard: a message to be judged. offered: peers that a bootnode named. worth: of a peer, before it does
        anything."""
        self._of = parameters
        self.router = Router(parameters.gossip, random, record_of)
        self._heard = heard
        self._offered = offered
        self._worth = worth
        self._out: dict[PeerId, yamux.Stream] = {}
        self._opening: dict[PeerId, Link] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._direct = frozenset(peer.id for peer in parameters.direct)
        self.dropped: Counter[str] = Counter()
        """What could not be sent, by reason."""
        self.received: Counter[str] = Counter()
        """Messages by topic."""

    def now(self) -> Instant:
        """The router's time: it never goes back."""
        return Instant(int(self._loop.time() * 1e9))

    def start(self) -> None:
        """Subscribe, and let the heart beat."""
        for topic in self._of.topics:
            self.router.join(topic, self.now())
        self._let_out()
        self._timer = self._loop.call_later(self._of.gossip.heartbeat / 1e9, self._beat)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._of.gossip.heartbeat / 1e9, self._beat)
        self.router.heartbeat(self.now())
        self._let_out()

    # ---- streams ----

    def open(self, link: Link) -> None:
        """Open the stream on which this node speaks."""
        peer = link.peer
        if peer is None or peer in self._out or peer in self._opening or link.session is None:
            return
        self._opening[peer] = link

        def agreed(stream: yamux.Stream, protocol: str) -> Receiver:
            self._opened(peer, link)
            self._out[peer] = stream
            self._connected(link, protocol)
            self.router.ready(peer, protocol, self.now())
            self._let_out()
            return _Speaking(stream, lambda: self._lost(link, stream))

        try:
            Outgoing(link, rpc.PROTOCOLS, b"", agreed, lambda error: self._opened(peer, link))
        except WireError:
            self._opened(peer, link)

    def _opened(self, peer: PeerId, link: Link) -> None:
        """A stream was opened, or could not be; one of an earlier connection says nothing of a new one."""
        if self._opening.get(peer) is link:
            del self._opening[peer]

    def _lost(self, link: Link, stream: yamux.Stream) -> None:
        """The peer does not want to hear us on this stream; perhaps it does on another."""
        peer = link.peer
        if peer is not None and self._out.get(peer) is stream:
            del self._out[peer]
            if not link.is_closed:
                self._loop.call_later(AGAIN_S, self.open, link)

    def serve(self, link: Link, stream: yamux.Stream, protocol: str) -> Receiver:
        """The stream on which a peer speaks."""
        self._connected(link, protocol)
        self.open(link)
        peer = link.peer
        assert peer is not None, "streams are those of peers"

        def take(data: bytes) -> None:
            self.router.rpc(peer, data, self.now())
            self._let_out()

        return Messages(stream, self._of.gossip.rpc_bytes, take)

    def _connected(self, link: Link, protocol: str) -> None:
        assert link.peer is not None, "streams are those of peers"
        self.router.connected(
            link.peer,
            protocol,
            is_outbound=link.is_outbound,
            is_direct=link.peer in self._direct,
            application=self._worth(link.peer),
        )

    def left(self, peer: PeerId) -> None:
        """A peer is gone."""
        self._out.pop(peer, None)
        self._opening.pop(peer, None)
        self.router.disconnected(peer, self.now())

    # ---- messages ----

    def publish(self, topic: str, data: bytes) -> None:
        """An own message that was accepted."""
        self.router.publish(topic, data, self.now())
        self._let_out()

    def judged(self, topic: str, data: bytes, verdict: Verdict) -> None:
        """What became of a message that was heard."""
        self.router.judged(rpc.message_id(topic, data), verdict, self.now())
        self._let_out()

    def _let_out(self) -> None:
        for output in self.router.take():
            if isinstance(output, ToSend):
                self._send(output)
            elif isinstance(output, ToJudge):
                self.received[output.topic] += 1
                self._heard(output.topic, output.data, output.peer)
            elif isinstance(output, Offered):
                self._offered(output.peers)

    def _send(self, output: ToSend) -> None:
        stream = self._out.get(output.peer)
        if stream is None or stream.is_gone or stream.is_closing:
            self.dropped["no_stream"] += 1
        elif stream.held > self._of.gossip_queue * (2 if output.is_control else 1):
            self.dropped["queue_full"] += 1
        else:
            stream.write(varint.delimited(output.data))
