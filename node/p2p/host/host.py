"""The host: an adapter of the port `Network` on sockets. Everything it does happens in one loop.

More than 400 lines, because this is where the life of a connection and all who use one meet.

Protocol 09a, sections 1 to 3.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from node.contract.demands import Failed, PeerRequest, Request, Result
from node.contract.inputs import Sent
from node.contract.instants import Instant
from node.contract.messages import Message, PeerId
from node.contract.ports import Random
from node.contract.verdicts import Judgement, Verdict
from node.errors import NodeError
from node.p2p.gossip import rpc
from node.p2p.gossip.rpc import OfferedPeer
from node.p2p.peers.book import AddressBook
from node.p2p.peers.clocks import ClockParameters
from node.p2p.peers.gater import Gater
from node.p2p.peers.table import Table
from node.p2p.peers.trimming import Trimmer
from node.p2p.port import Contact, Receiver
from node.p2p.wire import envelope, kad, peer_id, yamux
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.errors import LIMIT, WireError
from node.p2p.wire.key_file import PeerKey
from node.p2p.wire.multiaddr import Multiaddr

from .comparing import Comparing
from .dialling import Dialling
from .finding import Finding
from .gossiping import Gossiping
from .link import Link
from .meeting import Described, Meeting
from .parameters import HostParameters
from .questions import Questions
from .streams import Incoming, Serve

log = logging.getLogger("p2p")

BOOTNODE_WORTH = 10_000.0
"""The score with which a bootnode begins."""
YOUNG_S = 15.0
"""Of two connections to one peer the older one is kept once it is older than this; before, both sides decide alike."""


class HostError(NodeError):
    """The host cannot listen. The message names the address."""


class Host:
    """All peers of a node. Made, started and stopped in its loop; the methods of the port may be called from any
    thread."""

    def __init__(self, key: PeerKey, parameters: HostParameters, random: Random) -> None:
        self.key = key
        self.parameters = parameters
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._links: dict[PeerId, Link] = {}
        self._pending: set[Link] = set()
        """Whose handshake is not done."""
        self._accepted: set[Link] = set()
        """Of others, and not closed."""
        self._described: dict[PeerId, Described] = {}
        self._servers: list[asyncio.Server] = []
        self._listening: tuple[Multiaddr, ...] = ()
        self._is_closed = False
        self._gater = Gater(parameters.gater)
        self._trimmer = Trimmer(parameters.trimming)
        self._book = AddressBook(parameters.book, random)
        self._table = Table(key.id)
        self._bootnodes = {peer.id for peer in parameters.bootnodes}
        self._direct = {peer.id for peer in parameters.direct}
        self.questions = Questions(parameters, self._asked)
        self.gossiping = Gossiping(parameters, random, self._heard, self._offered, self._record_of, self._worth)
        self._meeting = Meeting(
            key, self._table, self._own_addresses, self._own_protocols, self._book.addresses, self._links.__contains__,
            self._met,
        )  # fmt: skip
        self._dialling = Dialling(self, self._gater, self._book, self._links, self._pending)
        self._finding = Finding(
            parameters, key.id, self._book, self._table, random, self._meeting, self._dialling.dial, self._links
        )
        self.comparing = Comparing(parameters.clocks or ClockParameters(), self._links, random)
        self._serves: dict[str, Serve] = {
            **self._meeting.serves,
            **self.comparing.serves,
            **dict.fromkeys(rpc.PROTOCOLS, self.gossiping.serve),
            **dict.fromkeys(parameters.protocols, self.questions.serve),
        }
        self._connected: tuple[tuple[PeerId, Link], ...] = ()
        """As other threads may read it."""
        self.penalties: Counter[str] = Counter()
        """What was held against peers, by reason."""
        self.refused: Counter[str] = Counter()
        """Connections that were not taken or did not come about, by reason."""

    # ---- life ----

    async def start(self, backup: Iterable[KnownPeer] = ()) -> None:
        """Listen, then look for peers. Raises HostError."""
        for address in self.parameters.listen:
            await self._listen(address)
        self.gossiping.start()
        if self.parameters.clocks is not None:
            self.comparing.start()
        self._finding.start(backup)

    async def _listen(self, address: Multiaddr) -> None:
        where = address.tcp
        if where is None:
            raise HostError(f"{address} cannot be listened on: expected one such as /ip4/0.0.0.0/tcp/7513.", "address")
        try:
            server = await self._loop.create_server(lambda: Link(self), *where)
        except OSError as error:
            raise HostError(
                f"Peers cannot be listened for on {address}: {error.strerror or error}. Another program uses the port, "
                "or this machine has no such address. Choose another one with --listen.",
                "listen",
            ) from None
        self._servers.append(server)
        for one in server.sockets:
            ip, port = one.getsockname()[:2]
            self._listening += (Multiaddr((("ip6" if ":" in ip else "ip4", ip), ("tcp", str(port)))),)

    @property
    def listening(self) -> tuple[Multiaddr, ...]:
        """Where it listens."""
        return self._listening

    @property
    def known(self) -> list[KnownPeer]:
        """Whom to dial after the next start."""
        return self._book.known(self._links)

    async def stop(self) -> list[KnownPeer]:
        """Part with everybody; whom it knew, for the next start."""
        self._is_closed = True
        self._receiver = None
        self._finding.stop()
        self.gossiping.stop()
        self.comparing.stop()
        for server in self._servers:
            server.close()
        known = self.known
        for link in (*self._links.values(), *self._pending):
            link.close()
        await self._dialling.stop()
        return known

    # ---- for links ----

    def takes(self, link: Link) -> bool:
        """As Owner says."""
        inbound = sum(not one.is_outbound for one in self._pending)
        if self._is_closed or inbound >= self.parameters.handshakes:
            self.refused["too_many_handshakes"] += 1
            return False
        if not self._gater.may_accept(link.remote_ip, len(self._links) + inbound):
            self.refused["too_many_peers"] += 1
            return False
        self._gater.accepted(link.remote_ip)
        self._accepted.add(link)
        self._pending.add(link)
        return True

    def up(self, link: Link) -> None:
        """As Owner says."""
        self._pending.discard(link)
        peer = link.peer
        assert peer is not None, "the handshake says who it is"
        if peer == self.key.id:
            raise WireError("This node has dialled itself.", LIMIT)
        other = self._links.get(peer)
        if other is not None and not other.is_closed:
            if self._keeps(other, link):
                raise WireError("There is a connection to this peer already.", LIMIT)
            self._part(other)
            other.close()
        self._links[peer] = link
        tags = [name for name, group in (("bootnode", self._bootnodes), ("direct", self._direct)) if peer in group]
        self._trimmer.connected(peer, self._now(), tags)
        if link.is_outbound and link.remote is not None:
            self._book.add(peer, (link.remote,))
        self._book.succeeded(peer)
        self._changed()
        log.debug("connected with %s at %s", peer_id.to_text(peer), link)
        self._loop.call_soon(self._meeting.ask, link)
        self._trim()

    def _keeps(self, older: Link, newer: Link) -> bool:
        """Whether of two connections to one peer the older one is kept. Both sides come to the same: the one that the
        peer with the smaller id has opened. Who opens a second one has lost the first, and so has a peer that comes
        when one is old."""
        if self._loop.time() - older.opened > YOUNG_S:
            return False
        assert newer.peer is not None
        return older.is_outbound != newer.is_outbound and older.is_outbound == (self.key.id < newer.peer)

    def down(self, link: Link, error: Exception | None) -> None:
        """As Owner says."""
        self._pending.discard(link)
        if link in self._accepted:
            self._accepted.discard(link)
            self._gater.closed(link.remote_ip)
        peer = link.peer
        if peer is not None and self._links.get(peer) is link:
            self._part(link)
            self._finding.look_soon()
            log.debug("disconnected from %s: %s", peer_id.to_text(peer), error or "closed")
        elif error is not None and peer is None:
            self.refused[error.reason if isinstance(error, WireError) else type(error).__name__] += 1
            if link.expected is not None:
                self._book.failed(link.expected, self._now())
            log.debug("no connection with %s: %s", link, error)

    def stream(self, link: Link, stream: yamux.Stream) -> yamux.Receiver:
        """As Owner says."""
        return Incoming(link, stream, self._serves)

    def _part(self, link: Link) -> None:
        """A peer is gone."""
        peer = link.peer
        assert peer is not None
        del self._links[peer]
        self._described.pop(peer, None)
        self._table.remove(peer)
        self._trimmer.disconnected(peer)
        self.gossiping.left(peer)
        self.questions.left(peer)
        self._changed()

    def _trim(self) -> None:
        for peer in self._trimmer.too_many(self._now()):
            self._links[peer].close()

    def _met(self, link: Link, described: Described) -> None:
        """A peer has said who it is."""
        peer = link.peer
        if peer is None or self._links.get(peer) is not link:
            return
        self._described[peer] = described
        self._book.add(peer, described.addresses)
        if kad.PROTOCOL in described.protocols:
            self._table.add(peer, self._links.__contains__)
        if any(name in described.protocols for name in rpc.PROTOCOLS):
            self.gossiping.open(link)
        self._changed()

    # ---- dialling ----

    def connect(self, address: Multiaddr) -> None:
        """Dial an address that names a peer."""
        peer = address.peer
        if peer is not None:
            self._book.add(peer, (address,))
            self._dialling.dial(peer)

    # ---- what is told of this node ----

    def _own_addresses(self) -> tuple[Multiaddr, ...]:
        return self.parameters.advertise or tuple(
            one for one in self._listening if (ip := one.ip) is not None and not ip.is_unspecified
        )

    def _own_protocols(self) -> tuple[str, ...]:
        return tuple(self._serves)

    def _record_of(self, peer: PeerId) -> bytes | None:
        described = self._described.get(peer)
        return None if described is None else described.record

    def _worth(self, peer: PeerId) -> float:
        return BOOTNODE_WORTH if peer in self._bootnodes else 0.0

    def _offered(self, peers: Sequence[OfferedPeer]) -> None:
        """A bootnode has named others."""
        for peer in peers:
            if peer.record is None:
                continue
            try:
                record = envelope.open_record(peer.record)
            except WireError:
                continue  # then it is not dialled
            if record.peer == peer.id:
                self._book.add(record.peer, record.addresses)
                self._dialling.dial(record.peer)

    # ---- the port ----

    @property
    def id(self) -> str:
        """As port.Host says."""
        return peer_id.to_text(self.key.id)

    @property
    def addresses(self) -> tuple[str, ...]:
        """As port.Host says."""
        return tuple(map(str, self._listening))

    @property
    def clock_offset(self) -> int | None:
        """As port.Host says."""
        return self.comparing.offset

    def open(self, receiver: Receiver) -> None:
        """As port.Host says."""
        self._receiver = receiver

    def close(self) -> None:
        """As port.Host says."""
        self._receiver = None

    def contacts(self) -> list[Contact]:
        """As port.Host says."""
        now = self._loop.time()
        return [
            Contact(peer, peer_id.to_text(peer), (str(link),), int((now - link.opened) * 1e9), link.is_outbound)
            for peer, link in self._connected
        ]

    def peers(self) -> Sequence[PeerId]:
        """As Network says."""
        return [peer for peer, _ in self._connected]

    def _changed(self) -> None:
        self._connected = tuple(self._links.items())

    def publish(self, call: int, topic: str, data: bytes) -> None:
        """As Network says: whoever is connected now is sent it, others may ask for it for ten seconds."""
        self._in_loop(self._publish, call, topic, data)

    def _publish(self, call: int, topic: str, data: bytes) -> None:
        self.gossiping.publish(topic, data)
        self._return(call, Sent())

    def judge(self, message: Message, verdict: Verdict) -> None:
        """As Network says: who sent what nobody may send is parted with."""
        self._in_loop(self._judge, message, verdict)

    def _judge(self, message: Message, verdict: Verdict) -> None:
        self.gossiping.judged(message.channel, message.data, verdict)
        if verdict.judgement is Judgement.REJECT and message.peer is not None:
            self.penalties[verdict.reason] += 1
            self._part_with(message.peer, f"{message.channel}: {verdict.reason}")

    def request(self, call: int, request: Request) -> None:
        """As Network says."""
        self._in_loop(self._request, call, request)

    def _request(self, call: int, request: Request) -> None:
        link = self._links.get(request.peer)
        if link is None:
            self._return(call, Failed("no_peers", "The peer is not connected."))
            return
        self._trimmer.used(request.peer, self._now())
        self.questions.put(link, request, lambda result: self._return(call, result))

    def reply(self, call: int, result: Result) -> None:
        """As Network says."""
        self._in_loop(self.questions.reply, call, result)

    def penalise(self, peer: PeerId, reason: str) -> None:
        """As Network says: gossip thinks less of it."""
        self._in_loop(self._penalise, peer, reason)

    def _penalise(self, peer: PeerId, reason: str) -> None:
        self.penalties[reason] += 1
        self.gossiping.router.scores.penalise(peer)

    def _part_with(self, peer: PeerId, reason: str) -> None:
        link = self._links.get(peer)
        if link is not None and peer not in self._direct:
            log.info("parted with %s at %s: %s", peer_id.to_text(peer), link, reason)
            link.give_up(WireError(reason, LIMIT))

    # ---- to the node ----

    def _heard(self, topic: str, data: bytes, peer: PeerId) -> None:
        if self._receiver is not None:
            self._receiver.heard(topic, data, peer)

    def _asked(self, number: int, request: PeerRequest) -> None:
        self._trimmer.used(request.peer, self._now())
        if self._receiver is None:
            self.questions.reply(number, Failed("no_answer", "The node is not ready."))
        else:
            self._receiver.asked(number, request)

    def _return(self, call: int, result: Result | Sent) -> None:
        if self._receiver is not None:
            self._receiver.returned(call, result)

    def _in_loop(self, function: object, *arguments: object) -> None:
        """Calls of other threads wait for the loop; those of its own do not."""
        assert callable(function)
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            function(*arguments)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    @staticmethod
    def _now() -> Instant:
        return Instant(time.time_ns())
