"""Who hears of what: events by their kinds, to subscribers that each have a bounded queue.

What the engine's thread publishes is handed out in the thread that serves clients. A subscriber that is too slow loses
its subscription, never anybody else's time. Whoever subscribes first and then reads a snapshot misses nothing: an event
is published after its rows were written. Specified in protocol 10-api, sections 1.7 and 2; 09b, section 6.4.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from .events import Event, UserEvent

E = TypeVar("E", bound=Event)

RECENT = 100
"""User events that are kept for those who come later."""


class TooSlow(Exception):
    """A subscriber did not take its events in time, and gets no more."""

    def __init__(self, kind: type[object]) -> None:
        """kind: of the event for which there was no room."""
        super().__init__(f"there was no room for another {kind.__name__}")
        self.kind = kind


class Subscription(Generic[E]):
    """The events of some kinds, in their order, for one reader: an asynchronous iterator. Close it when done."""

    def __init__(self, bus: Bus, kinds: Sequence[type[E]], size: int) -> None:
        self._bus = bus
        self.kinds = tuple(kinds)
        self._queue: deque[E] = deque()
        self._size = size
        self._lost: type[object] | None = None
        self._arrived = asyncio.Event()

    def __aiter__(self) -> Subscription[E]:
        return self

    async def __anext__(self) -> E:
        """The next event. Raises TooSlow once those are taken that came in time."""
        while not self._queue:
            if self._lost is not None:
                raise TooSlow(self._lost)
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    @property
    def waiting(self) -> int:
        """Events that have come and were not taken."""
        return len(self._queue)

    def __enter__(self) -> Subscription[E]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """No more events; a second time does nothing."""
        self._bus.leave(self)

    def put(self, event: E) -> None:
        """For the bus."""
        if len(self._queue) >= self._size:
            self._lost = type(event)
            self.close()
        else:
            self._queue.append(event)
        self._arrived.set()


class Bus:
    """All subscriptions of a node. Made in the loop that serves clients."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: dict[type[object], list[Subscription[Any]]] = {}
        self._recent: deque[UserEvent] = deque(maxlen=RECENT)

    def subscribe(self, *kinds: type[E], size: int) -> Subscription[E]:
        """Events of these kinds from now on, of which so many may wait. In the thread that serves clients."""
        subscription = Subscription(self, kinds, size)
        for kind in kinds:
            self._subscriptions.setdefault(kind, []).append(subscription)
        return subscription

    def subscribe_with_recent(self, *, size: int) -> tuple[list[UserEvent], Subscription[UserEvent]]:
        """The last user events, and those that follow them, none left out and none twice."""
        return list(self._recent), self.subscribe(UserEvent, size=size)

    def subscribers(self, kind: type[E]) -> int:
        """How many hear of a kind."""
        return len(self._subscriptions.get(kind, ()))

    def leave(self, subscription: Subscription[E]) -> None:
        """For subscriptions."""
        for kind in subscription.kinds:
            there = self._subscriptions.get(kind, [])
            if subscription in there:
                there.remove(subscription)
            if not there:
                self._subscriptions.pop(kind, None)

    def hears(self, kind: type[object]) -> bool:
        """Whether anybody hears of such events, for whoever need not make them otherwise. From any thread.

        Who asks after rows were written may leave them out: a later subscriber finds the rows.
        """
        return kind is UserEvent or kind in self._subscriptions

    def publish(self, events: Iterable[Event]) -> None:
        """Tell of what has happened. From any thread; nothing is done for kinds that nobody hears."""
        heard = [event for event in events if isinstance(event, UserEvent) or type(event) in self._subscriptions]
        if heard and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, heard)

    def _hand_out(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, UserEvent):
                self._recent.append(event)
            for subscription in list(self._subscriptions.get(type(event), ())):
                subscription.put(event)
