"""What stands at the end of a stream: first a negotiation, then whoever speaks the protocol.

Protocol 09a, section 1.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from node.p2p.wire import multistream, varint, yamux
from node.p2p.wire.errors import LIMIT, WireError

from .link import Link


class Receiver:
    """One that takes everything at once and does nothing else: for others to build on."""

    def __init__(self, stream: yamux.Stream) -> None:
        self.stream = stream

    def data(self, data: bytes) -> None:
        """As yamux says."""
        self.stream.taken(len(data))
        self.heard(data)

    def heard(self, data: bytes) -> None:
        """Bytes came."""

    def ended(self) -> None:
        """As yamux says: so does this side."""
        self.stream.close()

    def reset(self) -> None:
        """As yamux says."""

    def room(self) -> None:
        """As yamux says."""


Serve = Callable[[Link, yamux.Stream, str], Receiver]
"""Who speaks a protocol on a stream of the other side: connection, stream, protocol."""


class Incoming(Receiver):
    """A stream of the other side, until it is known what it is for."""

    def __init__(self, link: Link, stream: yamux.Stream, serves: dict[str, Serve]) -> None:
        super().__init__(stream)
        self._link = link
        self._serves = serves
        self._negotiation = multistream.Listener(serves.__contains__)
        self._timer = link.loop.call_later(link.parameters.negotiation_s, stream.reset)

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        negotiation, stream = self._negotiation, self.stream
        try:
            negotiation.feed(data)
        except WireError:
            self._timer.cancel()
            stream.reset()
            return
        stream.write(negotiation.take())
        if negotiation.agreed is None:
            return
        self._timer.cancel()
        receiver = stream.receiver = self._serves[negotiation.agreed](self._link, stream, negotiation.agreed)
        if rest := negotiation.rest():
            receiver.heard(rest)

    def ended(self) -> None:
        """As Receiver says."""
        self._timer.cancel()
        super().ended()

    def reset(self) -> None:
        """As Receiver says."""
        self._timer.cancel()


class Outgoing(Receiver):
    """A stream of this side: the protocols are proposed, and what is said first goes along with the first of them."""

    def __init__(
        self,
        link: Link,
        protocols: Sequence[str],
        first: bytes,
        agreed: Callable[[yamux.Stream, str], Receiver],
        failed: Callable[[WireError], None],
    ) -> None:
        """agreed: who speaks the protocol that was agreed on. Raises WireError where no stream can be opened."""
        assert link.session is not None
        super().__init__(link.session.open(self))
        self._first = first
        self._agreed, self._failed = agreed, failed
        self._negotiation = multistream.Dialler(protocols)
        self.stream.write(self._negotiation.take() + first)
        self._timer = link.loop.call_later(link.parameters.negotiation_s, self._late)

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        try:
            self._negotiation.feed(data)
        except WireError as error:
            self._fail(error)
            return
        proposed = self._negotiation.take()
        if proposed:
            self.stream.write(proposed + self._first)
        if self._negotiation.agreed is None:
            return
        self._timer.cancel()
        receiver = self.stream.receiver = self._agreed(self.stream, self._negotiation.agreed)
        if rest := self._negotiation.rest():
            receiver.heard(rest)

    def ended(self) -> None:
        """As Receiver says."""
        self._fail(WireError("The peer closed the stream at once.", LIMIT))

    def reset(self) -> None:
        """As Receiver says."""
        self._fail(WireError("The peer has reset the stream.", LIMIT))

    def _late(self) -> None:
        self._fail(WireError("The peer did not say whether it speaks the protocol.", LIMIT))

    def _fail(self, error: WireError) -> None:
        self._timer.cancel()
        self.stream.reset()
        failed, self._failed = self._failed, lambda error: None
        failed(error)


class Messages(Receiver):
    """Messages, each behind its length."""

    def __init__(self, stream: yamux.Stream, largest: int, take: Callable[[bytes], None]) -> None:
        """take: one message. Raises WireError for what is none: the stream is reset."""
        super().__init__(stream)
        self._largest = largest
        self._take = take
        self._buffer = b""

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        if self._buffer:
            data = self._buffer + data
        at, end = 0, len(data)
        try:
            while at < end:
                found = varint.decode(data, at)
                if found is None:
                    break
                size, start = found
                if size > self._largest:
                    raise WireError(f"The peer sends a message of {size} bytes, expected {self._largest}.", LIMIT)
                if start + size > end:
                    break
                self._take(data[start : start + size])
                at = start + size
        except WireError:
            self.stream.reset()
            self._buffer = b""
            return
        self._buffer = data[at:]


class Deadline:
    """A limit of time that moves on with every progress, and one that does not."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle_s: float, hard_s: float, late: Callable[[], None]) -> None:
        self._loop = loop
        self._idle_s = idle_s
        self._late = late
        self._end = loop.time() + hard_s
        self._until = loop.time() + idle_s
        self._timer = loop.call_later(min(idle_s, hard_s), self._look)

    def moved(self) -> None:
        """There was progress."""
        self._until = self._loop.time() + self._idle_s

    def cancel(self) -> None:
        """It is over."""
        self._timer.cancel()

    def _look(self) -> None:
        left = min(self._until, self._end) - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._late()
