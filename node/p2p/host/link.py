"""A connection: two peers agree on encryption, show who they are, agree on streams, and open them.

Bytes go from one stage to the next: multistream, Noise, multistream again, yamux. What is written within one turn of
the loop leaves as one record. Protocol 09a, section 1.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from node.contract.messages import PeerId
from node.p2p.wire import multistream, noise, yamux
from node.p2p.wire.errors import LIMIT, TRUNCATED, WireError
from node.p2p.wire.key_file import PeerKey
from node.p2p.wire.multiaddr import Multiaddr

from .parameters import HostParameters

MISSED_PINGS = 3


class Owner(Protocol):
    """Who is told of a connection."""

    key: PeerKey
    parameters: HostParameters

    def takes(self, link: Link) -> bool:
        """Whether a connection that another one opens is taken."""

    def up(self, link: Link) -> None:
        """It is ready. Raises WireError where it is not wanted after all."""

    def down(self, link: Link, error: Exception | None) -> None:
        """It is gone; error: why, where it was not this side that closed it."""

    def stream(self, link: Link, stream: yamux.Stream) -> yamux.Receiver:
        """To whom a stream of the other side leads."""


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner: Owner, *, expected: PeerId | None = None, is_outbound: bool = False) -> None:
        """expected: who was dialled."""
        self._owner = owner
        self.parameters = owner.parameters
        self.expected = expected
        self.is_outbound = is_outbound
        self.loop = asyncio.get_running_loop()
        self.opened = self.loop.time()
        self.remote_ip = ""
        self.remote: Multiaddr | None = None
        self.peer: PeerId | None = None
        self.session: yamux.Session | None = None
        self.received = self.sent = 0
        """Bytes, as they went over the wire."""
        self.error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._records: noise.Records | None = None
        self._negotiation: multistream.Negotiation | None = None
        self._securing: noise.Securing | None = None
        self._stage: Callable[[bytes], None] = self._agree_on_noise
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False

    def __str__(self) -> str:
        return str(self.remote or "a connection")

    @property
    def is_closed(self) -> bool:
        """Whether nothing is sent any more."""
        return self._transport is None or self._transport.is_closing()

    # ---- for asyncio ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        ip, port = transport.get_extra_info("peername")[:2]
        self.remote_ip = str(ip).partition("%")[0]
        self.remote = Multiaddr(((("ip6" if ":" in self.remote_ip else "ip4"), self.remote_ip), ("tcp", str(port))))
        if not self.is_outbound and not self._owner.takes(self):
            self.error = WireError("There are too many connections.", LIMIT)
            transport.abort()
            return
        self._timer = self.loop.call_later(
            self.parameters.handshake_s, self.give_up, WireError("The handshake took too long.", TRUNCATED)
        )
        self._negotiate(noise.PROTOCOL)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self.received += len(data)
        try:
            self._stage(data)
        except WireError as error:
            self.give_up(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        if self.session is not None:
            self.session.end()
        self._owner.down(self, self.error or exc)

    # ---- stages ----

    def _negotiate(self, protocol: str) -> None:
        if self.is_outbound:
            self._negotiation = multistream.Dialler((protocol,))
        else:
            self._negotiation = multistream.Listener(lambda name: name == protocol)
        self._write(self._negotiation.take())

    def _agree(self, data: bytes) -> bytes | None:
        """What follows the agreement; None: there is none yet."""
        assert self._negotiation is not None
        self._negotiation.feed(data)
        self._write(self._negotiation.take())
        return None if self._negotiation.agreed is None else self._negotiation.rest()

    def _agree_on_noise(self, data: bytes) -> None:
        rest = self._agree(data)
        if rest is None:
            return
        self._securing = noise.Securing(
            self._owner.key, self.parameters.prologue, is_initiator=self.is_outbound, expected=self.expected
        )
        self._stage = self._secure
        self._secure(rest)

    def _secure(self, data: bytes) -> None:
        assert self._securing is not None
        rest = self._securing.feed(data)
        self._write(self._securing.take())
        if self._securing.records is None:
            return
        self._records, self.peer = self._securing.records, self._securing.peer
        self._stage = self._agree_on_streams
        self._negotiate(yamux.PROTOCOL)
        if rest:
            self._agree_on_streams(rest)

    def _agree_on_streams(self, data: bytes) -> None:
        assert self._records is not None
        rest = self._agree(self._records.feed(data))
        if rest is None:
            return
        bounds = yamux.Bounds(window=self.parameters.window, streams=self.parameters.streams, pings=MISSED_PINGS)
        self.session = yamux.Session(
            is_client=self.is_outbound,
            accept=lambda stream: self._owner.stream(self, stream),
            wrote=self._flush_soon,
            bounds=bounds,
        )
        self._stage = self._streams
        self._owner.up(self)
        if self._timer is not None:
            self._timer.cancel()
        self._ping()
        if rest:
            self.session.feed(rest)

    def _streams(self, data: bytes) -> None:
        assert self._records is not None and self.session is not None
        plain = self._records.feed(data)
        if plain:
            self.session.feed(plain)

    # ---- sending ----

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            sealed = data if self._records is None else self._records.seal(data)
            self.sent += len(sealed)
            self._transport.write(sealed)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what was written."""
        self._flushing = False
        if self.session is None or self._transport is None:
            return
        self._write(self.session.take())
        if self._transport.get_write_buffer_size() > self.parameters.unread:
            self.give_up(WireError("The peer does not read what it is sent.", LIMIT))

    def _ping(self) -> None:
        if self.session is None or self.is_closed:
            return
        if self.session.ping() is None:
            self.give_up(WireError(f"The peer has not answered {MISSED_PINGS} pings.", TRUNCATED))
            return
        self._timer = self.loop.call_later(self.parameters.ping_s, self._ping)

    # ---- ending ----

    def close(self) -> None:
        """Part with the peer, in peace."""
        if self.session is not None and self._transport is not None and not self._transport.is_closing():
            self.session.leave()
            self.flush()
        if self._transport is not None:
            self._transport.close()

    def give_up(self, error: Exception) -> None:
        """Part with it at once, because of an error."""
        if self.error is None:
            self.error = error
        if self._transport is not None:
            self._transport.abort()
