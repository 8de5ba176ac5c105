"""Comparing this clock with those of all peers, and telling them the time. Protocol 09b, section 1.2."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.ports import Random
from node.p2p.peers.clocks import PROTOCOL, ClockParameters, ClockRound
from node.p2p.wire import yamux
from node.p2p.wire.errors import WireError
from protocol.codec.declare import CodecError
from protocol.types.peers import PeersyncRequest, PeersyncResponse

from .link import Link
from .streams import Outgoing, Receiver, Serve

log = logging.getLogger("p2p")

LONGEST = 32
"""Bytes of a question or an answer; both need fewer."""


class Comparing:
    """Asks every half hour, and answers whoever asks."""

    def __init__(self, parameters: ClockParameters, links: Mapping[PeerId, Link], random: Random) -> None:
        self._of = parameters
        self._links = links
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._round: ClockRound | None = None
        self._streams: list[yamux.Stream] = []
        self.offset: int | None = None
        """By how many nanoseconds the clocks of peers were ahead the last time; None: not known. From any thread."""

    @property
    def serves(self) -> dict[str, Serve]:
        """What peers may ask."""
        return {PROTOCOL: lambda link, stream, protocol: _Asked(stream)}

    def start(self) -> None:
        """Begin."""
        self._again(self._of.retry)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()

    def _again(self, wait: int) -> None:
        self._timer = self._loop.call_later(wait / 1e9, self._begin)

    def _begin(self) -> None:
        if len(self._links) < self._of.answers:
            self._again(self._of.retry)
            return
        found = self._round = ClockRound(self._random.below(1 << 32), _now())
        question = PeersyncRequest.codec.encode(PeersyncRequest(found.id))
        for link in list(self._links.values()):
            self._ask(found, link, question)
        self._timer = self._loop.call_later(self._of.timeout / 1e9, self._end)

    def _ask(self, found: ClockRound, link: Link, question: bytes) -> None:
        def agreed(stream: yamux.Stream, protocol: str) -> Receiver:
            return _Answer(stream, lambda data: self._answered(found, link, data))

        try:
            self._streams.append(Outgoing(link, (PROTOCOL,), question, agreed, lambda error: None).stream)
        except WireError:
            return  # the connection is ending

    def _answered(self, found: ClockRound, link: Link, data: bytes) -> None:
        try:
            answer, _ = PeersyncResponse.codec.read(data, 0)
        except CodecError:
            return
        if link.peer is not None:
            found.add(link.peer, answer.id, answer.timestamp, _now())

    def _end(self) -> None:
        found, self._round = self._round, None
        for stream in self._streams:
            stream.reset()
        self._streams.clear()
        if found is None or len(found) < self._of.answers:
            self._again(self._of.retry)
            return
        self.offset = found.offset
        self._again(self._of.interval)
        if self.offset is not None and abs(self.offset) > self._of.largest_offset:
            log.warning(
                "The clock of this machine is %.1f s %s those of %d peers. Messages that come too early or too late do "
                "not count, and identities of this node may earn nothing: let time servers set the clock.",
                abs(self.offset) / 1e9,
                "behind" if self.offset > 0 else "ahead of",
                len(found),
            )


class _Asked(Receiver):
    """A peer asks for the time."""

    def __init__(self, stream: yamux.Stream) -> None:
        super().__init__(stream)
        self._buffer = b""

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        self._buffer += data
        try:
            question, _ = PeersyncRequest.codec.read(self._buffer, 0)
        except CodecError as error:
            if error.reason != "truncated" or len(self._buffer) > LONGEST:
                self.stream.reset()
            return
        self.stream.write(PeersyncResponse.codec.encode(PeersyncResponse(question.id, time.time_ns())))
        self.stream.close()
        self._buffer = b""


class _Answer(Receiver):
    """A peer says what time it is."""

    def __init__(self, stream: yamux.Stream, take: Callable[[bytes], None]) -> None:
        super().__init__(stream)
        self._take = take
        self._buffer = b""

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        self._buffer += data
        if len(self._buffer) > LONGEST:
            self.stream.reset()

    def ended(self) -> None:
        """As Receiver says: the answer is whole."""
        super().ended()
        self._take(self._buffer)


def _now() -> Instant:
    return Instant(time.time_ns())
