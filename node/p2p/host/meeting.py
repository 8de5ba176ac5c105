"""Who the other side is, whether it is there, and who is near a key. Protocol 09a, sections 1.3 and 1.5."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from node.contract.messages import PeerId
from node.p2p.peers.table import Table
from node.p2p.wire import envelope, identify, kad, peer_id, yamux
from node.p2p.wire.errors import LIMIT, MALFORMED, WireError
from node.p2p.wire.key_file import PeerKey
from node.p2p.wire.multiaddr import Multiaddr

from .link import Link
from .streams import Messages, Outgoing, Receiver, Serve

MOST_ECHOED = 1 << 20
"""Bytes of pings that a peer has not taken back."""
MOST_QUESTIONS = 1000
"""About who is near a key, on one stream."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a peer says of itself."""

    agent: str
    protocols: tuple[str, ...]
    addresses: tuple[Multiaddr, ...]
    record: bytes | None
    """Sealed, for those who are told of it."""


class Meeting:
    """What is said on a new connection, by both sides."""

    def __init__(
        self,
        key: PeerKey,
        table: Table,
        addresses: Callable[[], tuple[Multiaddr, ...]],
        protocols: Callable[[], tuple[str, ...]],
        where: Callable[[PeerId], tuple[Multiaddr, ...]],
        is_connected: Callable[[PeerId], bool],
        described: Callable[[Link, Described], None],
    ) -> None:
        """addresses: where this node is, as it tells others. where: another one. described: a peer has said who it
        is."""
        self._key = key
        self._table = table
        self._addresses, self._protocols = addresses, protocols
        self._where, self._is_connected = where, is_connected
        self._described = described

    @property
    def serves(self) -> dict[str, Serve]:
        """What every node speaks."""
        return {
            identify.PROTOCOL: self._describe,
            identify.PUSH: self._pushed,
            identify.PING: lambda link, stream, protocol: Echo(stream),
            kad.PROTOCOL: self._near,
        }

    # ---- who the other side is ----

    def ask(self, link: Link) -> None:
        """Ask a new peer who it is."""
        try:
            Outgoing(
                link,
                (identify.PROTOCOL,),
                b"",
                lambda stream, protocol: self._pushed(link, stream, protocol),
                lambda error: None,  # it need not say
            )
        except WireError:
            return  # the connection is ending

    def _describe(self, link: Link, stream: yamux.Stream, protocol: str) -> Receiver:
        assert link.remote is not None, "streams are those of connections"
        said = identify.of(self._key, self._addresses(), self._protocols(), link.remote, time.time_ns())
        stream.write(said.encode())
        stream.close()
        return Receiver(stream)

    def _pushed(self, link: Link, stream: yamux.Stream, protocol: str) -> Receiver:
        return Messages(stream, identify.LARGEST, lambda data: self._heard(link, stream, data))

    def _heard(self, link: Link, stream: yamux.Stream, data: bytes) -> None:
        said = identify.decode(data)
        if said.public_key and peer_id.of_public_key(said.public_key) != link.peer:
            raise WireError("The peer describes another one.", MALFORMED)
        record = said.record
        if record is not None:
            try:
                opened = envelope.open_record(record)
                record = record if opened.peer == link.peer else None
            except WireError:
                record = None
        stream.close()
        self._described(link, Described(said.agent, said.protocols, said.addresses, record))

    # ---- who is near a key ----

    def find(self, link: Link, key: bytes, done: Callable[[tuple[kad.NearPeer, ...] | None], None]) -> None:
        """Ask a peer who is near a key. done: once; None: it does not say."""
        answered = [done]

        def once(found: tuple[kad.NearPeer, ...] | None) -> None:
            if answered:
                answered.pop()(found)

        def agreed(stream: yamux.Stream, protocol: str) -> Receiver:
            def take(data: bytes) -> None:
                once(kad.decode(data).closer)
                stream.close()

            return _Waiting(stream, take, lambda: once(None))

        try:
            Outgoing(link, (kad.PROTOCOL,), kad.find_node(key).encode(), agreed, lambda error: once(None))
        except WireError:
            link.loop.call_soon(once, None)

    def _near(self, link: Link, stream: yamux.Stream, protocol: str) -> Receiver:
        asked = [0]

        def take(data: bytes) -> None:
            asked[0] += 1
            if asked[0] > MOST_QUESTIONS:
                raise WireError(f"The peer asks more than {MOST_QUESTIONS} times.", LIMIT)
            message = kad.decode(data)
            if message.kind is kad.Kind.FIND_NODE:
                stream.write(kad.found(self._nearest(message.key, link.peer)).encode())
            elif message.kind is kad.Kind.PING:
                stream.write(kad.Message(kad.Kind.PING).encode())
            else:  # records are not kept here; nobody is named
                stream.write(kad.Message(message.kind, message.key, level=kad.CLUSTER_LEVEL).encode())

        return Messages(stream, kad.LARGEST, take)

    def _nearest(self, key: bytes, asker: PeerId | None) -> tuple[kad.NearPeer, ...]:
        peers = self._table.nearest(key, without=() if asker is None else (asker,))
        return tuple(
            kad.NearPeer(
                peer,
                self._where(peer),
                kad.Connection.CONNECTED if self._is_connected(peer) else kad.Connection.NOT_CONNECTED,
            )
            for peer in peers
        )


class Echo(Receiver):
    """Gives back what comes."""

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        if self.stream.held > MOST_ECHOED:
            self.stream.reset()
        else:
            self.stream.write(data)


class _Waiting(Messages):
    """For one answer, or for none."""

    def __init__(self, stream: yamux.Stream, take: Callable[[bytes], None], none: Callable[[], None]) -> None:
        super().__init__(stream, kad.LARGEST, take)
        self._none = none

    def ended(self) -> None:
        """As Receiver says."""
        super().ended()
        self._none()

    def reset(self) -> None:
        """As Receiver says."""
        self._none()
