"""Many streams over one connection: yamux. Protocol 09a, section 1.3.

    frame   version 0, type, flags in two bytes, stream in four, length or number in four; data follows its frame

A session is fed with bytes and gives bytes to be sent; what happens on a stream is told to its receiver at once. Data
counts as taken when the receiver says so (`Stream.taken`): a peer that sends more than was taken and its window is cut
off, and so is one that breaks the rules.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Protocol

from .errors import LIMIT, MALFORMED, WireError

PROTOCOL = "/yamux/1.0.0"
HEADER_BYTES = 12
INITIAL_WINDOW = 256 << 10
"""Bytes that either side of a new stream may send before it hears of more."""
LARGEST_FRAME = 65_524
"""Bytes of data in one frame; with its header it fits a record."""
GOAWAY = "goaway"
"""The reason of the error with which a session ends that the other side has given up."""


class Type(IntEnum):
    """Of frames."""

    DATA = 0
    WINDOW = 1
    PING = 2
    GOAWAY = 3


class Flag(IntFlag):
    """Of frames."""

    NONE = 0
    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


_DATA, _WINDOW, _PING, _GOAWAY = (int(one) for one in Type)
_SYN, _ACK, _FIN, _RST = (int(one) for one in (Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST))
_header = struct.Struct(">BBHII")


class Receiver(Protocol):
    """What a stream leads to."""

    def data(self, data: bytes) -> None:
        """Bytes came. They are not taken before `Stream.taken` says so."""

    def ended(self) -> None:
        """The other side sends no more."""

    def reset(self) -> None:
        """The stream is gone, in both directions."""

    def room(self) -> None:
        """All that was written has left, or may leave: more is welcome."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a session."""

    window: int = INITIAL_WINDOW
    """Bytes of a stream that are held for its receiver."""
    streams: int = 1024
    """At the same time; more of the other side are reset."""
    pings: int = 8
    """Of ours that were not answered."""


class Stream:
    """One stream. Its owner writes, closes and resets; what comes goes to the receiver."""

    __slots__ = (
        "_held",
        "_queue",
        "_session",
        "_untold",
        "_window",
        "fin_seen",
        "fin_sent",
        "id",
        "is_closing",
        "is_gone",
        "receive_window",
        "receiver",
        "send_window",
    )

    def __init__(self, session: Session, id: int, window: int) -> None:
        self._session = session
        self.id = id
        self.receiver: Receiver = _NOBODY
        self._window = window
        self.receive_window = window
        self.send_window = INITIAL_WINDOW
        self._untold = 0
        """Bytes that were taken, and the other side was not told."""
        self._queue: deque[memoryview] = deque()
        self._held = 0
        self.is_closing = self.is_gone = self.fin_sent = self.fin_seen = False

    @property
    def held(self) -> int:
        """Bytes that were written, and wait until the other side takes more."""
        return self._held

    def write(self, data: bytes) -> None:
        """Bytes for the other side; in vain where the stream is gone. Raises ValueError after `close`."""
        if self.is_closing:
            raise ValueError(f"stream {self.id} was closed by this side")
        if self.is_gone or not data:
            return
        if not self._queue and len(data) <= self.send_window and len(data) <= LARGEST_FRAME:
            self.send_window -= len(data)
            self._session.frame(_DATA, 0, self.id, len(data), data)
            return
        self._queue.append(memoryview(data))  # so that what has left costs no copy of what has not
        self._held += len(data)
        self.pump()

    def close(self) -> None:
        """No more bytes of this side; those that wait leave first."""
        if not (self.is_gone or self.is_closing):
            self.is_closing = True
            self.pump()

    def reset(self) -> None:
        """End it in both directions, now."""
        if not self.is_gone:
            self._session.frame(_WINDOW, _RST, self.id, 0)
            self.let_go()

    def taken(self, size: int) -> None:
        """The receiver has dealt with so many bytes; the other side hears of it once half the window is taken."""
        self._untold += size
        if 2 * self._untold >= self._window and not (self.fin_seen or self.is_gone):
            self._session.frame(_WINDOW, 0, self.id, self._untold)
            self.receive_window += self._untold
            self._untold = 0

    # ---- for the session ----

    def pump(self) -> None:
        """Send what may be sent."""
        queue = self._queue
        while queue and self.send_window:
            piece = queue[0]
            size = min(len(piece), self.send_window, LARGEST_FRAME)
            self._session.frame(_DATA, 0, self.id, size, piece[:size])
            if size == len(piece):
                queue.popleft()
            else:
                queue[0] = piece[size:]
            self.send_window -= size
            self._held -= size
        if self.is_closing and not queue and not self.fin_sent:
            self.fin_sent = True
            self._session.frame(_WINDOW, _FIN, self.id, 0)
            self._session.forget_ended(self)

    def let_go(self) -> None:
        """It is gone."""
        self.is_gone = True
        self._queue.clear()
        self._held = 0
        self._session.forget(self)


class _Nobody:
    """Stands where no receiver was named yet."""

    def data(self, data: bytes) -> None: ...
    def ended(self) -> None: ...
    def reset(self) -> None: ...
    def room(self) -> None: ...


_NOBODY = _Nobody()


class Session:
    """All streams of a connection."""

    def __init__(
        self,
        *,
        is_client: bool,
        accept: Callable[[Stream], Receiver],
        wrote: Callable[[], None] = lambda: None,
        ponged: Callable[[int], None] = lambda number: None,
        bounds: Bounds = Bounds(),
    ) -> None:
        """accept: to whom a stream of the other side leads. wrote: there is something to take, after there was not.
        ponged: a ping was answered."""
        self._next = 1 if is_client else 2
        self._their_parity = 0 if is_client else 1
        self._accept, self._wrote, self._ponged = accept, wrote, ponged
        self._bounds = bounds
        self._streams: dict[int, Stream] = {}
        self._out: list[bytes | memoryview] = []
        self._buffer = b""
        self._pings: set[int] = set()
        self._next_ping = 0
        self.is_leaving = False
        """The other side takes no new streams."""
        self.refused = 0
        """Streams of the other side that were too many."""

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def open(self, receiver: Receiver) -> Stream:
        """A new stream. Raises WireError (goaway, limit) where there can be none."""
        if self.is_leaving:
            raise WireError("The peer takes no new streams.", GOAWAY)
        if len(self._streams) >= self._bounds.streams:
            raise WireError(f"There are {len(self._streams)} streams to the peer already.", LIMIT)
        stream = self._new(self._next)
        self._next += 2
        stream.receiver = receiver
        self.frame(_WINDOW, _SYN, stream.id, self._bounds.window - INITIAL_WINDOW)
        return stream

    def ping(self) -> int | None:
        """Ask whether the other side is there; the number of the question. None: it has not answered the last ones."""
        if len(self._pings) >= self._bounds.pings:
            return None
        number, self._next_ping = self._next_ping, self._next_ping + 1 & 0xFFFF_FFFF
        self._pings.add(number)
        self.frame(_PING, _SYN, 0, number)
        return number

    def leave(self, code: int = 0) -> None:
        """Tell the other side that no new streams are taken. code: 0 normal, 1 it broke the rules, 2 a fault here."""
        self.frame(_GOAWAY, 0, 0, code)

    def feed(self, data: bytes) -> None:
        """Bytes of the other side. Raises WireError, after which the connection is to be closed."""
        if self._buffer:
            data = self._buffer + data
        at, end = 0, len(data)
        while end - at >= HEADER_BYTES:
            version, kind, flags, id, length = _header.unpack_from(data, at)
            if version or kind > _GOAWAY:
                raise WireError(f"The peer sends a frame of version {version} and type {kind}.", MALFORMED)
            stop = at + HEADER_BYTES
            if kind == _DATA:
                if length > self._bounds.window:
                    raise WireError(f"The peer sends {length} bytes, more than any window.", LIMIT)
                stop += length
                if stop > end:
                    break
                self._of_stream(kind, flags, id, length, data[at + HEADER_BYTES : stop])
            elif kind == _WINDOW:
                self._of_stream(kind, flags, id, length, b"")
            elif kind == _PING:
                self._ping(flags, length)
            else:
                self._goaway(length)
            at = stop
        self._buffer = data[at:]

    def end(self) -> None:
        """The connection is gone: so are all streams."""
        for stream in list(self._streams.values()):
            stream.let_go()
            stream.receiver.reset()

    # ---- frames ----

    def frame(self, kind: int, flags: int, id: int, length: int, data: bytes | memoryview = b"") -> None:
        """For streams."""
        is_first = not self._out
        self._out.append(_header.pack(0, kind, flags, id, length))
        if data:
            self._out.append(data)
        if is_first:
            self._wrote()

    def _ping(self, flags: int, number: int) -> None:
        if flags & _SYN:
            self.frame(_PING, _ACK, 0, number)
        elif number in self._pings:
            self._pings.discard(number)
            self._ponged(number)

    def _goaway(self, code: int) -> None:
        self.is_leaving = True
        if code:
            raise WireError(f"The peer has given up the connection, with code {code}.", GOAWAY)

    def _of_stream(self, kind: int, flags: int, id: int, length: int, data: bytes) -> None:
        if flags & _SYN:
            self._accepted(id)
        stream = self._streams.get(id)
        if stream is None:
            return  # late frames of a stream that was let go of
        if kind == _WINDOW:
            stream.send_window += length
            if stream.send_window > 0xFFFF_FFFF:
                raise WireError("The peer opens a window of more than 32 bits.", LIMIT)
            if length:
                stream.pump()
                if not stream.held:
                    stream.receiver.room()
        elif data:
            if length > stream.receive_window:
                raise WireError(f"The peer sends {length} bytes where {stream.receive_window} may be sent.", LIMIT)
            stream.receive_window -= length
            stream.receiver.data(data)
        if flags & _FIN and not stream.fin_seen:
            stream.fin_seen = True
            stream.receiver.ended()
            self.forget_ended(stream)
        if flags & _RST and not stream.is_gone:
            stream.let_go()
            stream.receiver.reset()

    def _accepted(self, id: int) -> None:
        if id in self._streams or id & 1 != self._their_parity:
            raise WireError(f"The peer opens stream {id}, which is in use or not one of its own.", MALFORMED)
        if len(self._streams) >= self._bounds.streams:
            self.refused += 1
            self.frame(_WINDOW, _RST, id, 0)
            return
        stream = self._new(id)
        self.frame(_WINDOW, _ACK, id, self._bounds.window - INITIAL_WINDOW)
        stream.receiver = self._accept(stream)

    def _new(self, id: int) -> Stream:
        stream = self._streams[id] = Stream(self, id, self._bounds.window)
        return stream

    def forget(self, stream: Stream) -> None:
        """For streams: it is gone."""
        self._streams.pop(stream.id, None)

    def forget_ended(self, stream: Stream) -> None:
        """For streams: it is gone if both sides have ended."""
        if stream.fin_sent and stream.fin_seen and not stream.is_gone:
            stream.let_go()
