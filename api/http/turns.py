"""Clients that come and go by the thousand: a few milliseconds of them in each turn of the event loop.

To take in a client, or to clean up after one, costs a fraction of a millisecond. Where thousands come at once, those
who are served already would wait for all of them; so newcomers wait instead, the newest and the oldest in turn: who
has just come is served soon however many came before, and nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from api.http.owner import Owner

TURN_S = 0.004
"""Of one turn of the loop."""
MOST_BEFORE = 64 << 10
"""Bytes that a client may send before it is its turn."""


class Turns:
    """Work that waits for its turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._armed = False

    def wait(self, work: Callable[[], None]) -> None:
        """Has `work` done in this turn of the loop, or in one of the next."""
        self._waiting.append(work)
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        until = time.perf_counter() + TURN_S
        newest = True
        while self._waiting:
            work = self._waiting.pop() if newest else self._waiting.popleft()
            newest = not newest
            work()
            if time.perf_counter() >= until:
                break
        self._armed = bool(self._waiting)
        if self._armed:
            self._loop.call_soon(self._turn)


class Newcomer(asyncio.Protocol):
    """A client that has sent nothing yet: costs little, for most that send nothing never will."""

    __slots__ = ("_data", "_owner", "_queued", "deadline", "transport")

    busy = False
    """Nothing is in work for it."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._data = b""
        self._queued = False
        self.transport: asyncio.Transport | None = None
        self.deadline: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client is there."""
        self.transport = cast(asyncio.Transport, transport)
        self.deadline = self._owner.now() + self._owner.limits.head_s
        self._owner.opened(self)

    def connection_lost(self, error: BaseException | None) -> None:
        """asyncio: the client has gone."""
        self._owner.closed(self)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """asyncio: the first bytes of the client, and what comes until it is its turn."""
        self._data = self._data + data if self._data else data
        if len(self._data) > MOST_BEFORE and self.transport is not None:
            self.transport.pause_reading()
        if not self._queued:
            self._queued = True
            self._owner.turns.wait(self._begin)

    def _begin(self) -> None:
        """Its turn: from here on it is a connection of the library."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        connection = self._owner.make_connection(self.deadline)
        self._owner.closed(self)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if len(self._data) > MOST_BEFORE:
            transport.resume_reading()
        connection.data_received(self._data)
        self.transport, self._data = None, b""

    def drop(self) -> None:
        """Closes at once."""
        if self.transport is not None:
            self.transport.abort()
