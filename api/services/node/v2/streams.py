"""What all streams have in common: the rows that are there, then what comes. Protocol 10-api, sections 1.7 and 4.

The subscription is opened before the rows are read, so nothing is left out between them. What was told while the rows
were read is looked for among them, so nothing comes twice but what is written and told at that very instant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Status
from api.services.node.backend import Backend
from api.services.node.bus import TooSlow
from api.services.node.reading import reading
from node.store.view import View

WAITING = 1024
"""Events that wait for one client; one that lets more come together loses its stream."""
OVERFLOW = "buffer overflow"


def stream_of(
    backend: Backend,
    rows: Callable[[View], Iterable[Message]],
    *,
    watch: bool,
    kinds: Sequence[type[Any]],
    live: Callable[[Any], Message | None],
    is_among: Callable[[View, Any], bool] = lambda view, event: False,
) -> AsyncIterator[Message | Headers]:
    """The rows that are there, then the end, or what comes. Raises Failed: CANCELLED for a client that is too slow.

    live: an event of `kinds` as a message, None where the client has not asked for it; is_among: whether the rows hold
    what an event tells.
    """
    return _followed(backend, rows, kinds, live, is_among) if watch else _replayed(backend, rows)


async def _replayed(backend: Backend, rows: Callable[[View], Iterable[Message]]) -> AsyncIterator[Message | Headers]:
    with reading(backend) as view:
        for message in rows(view):
            yield message


async def _followed(
    backend: Backend,
    rows: Callable[[View], Iterable[Message]],
    kinds: Sequence[type[Any]],
    live: Callable[[Any], Message | None],
    is_among: Callable[[View, Any], bool],
) -> AsyncIterator[Message | Headers]:
    with backend.bus.subscribe(*kinds, size=WAITING) as events:
        yield Headers.NOW
        try:
            with reading(backend) as view:
                for message in rows(view):
                    yield message
                for _ in range(events.waiting):
                    event = await anext(events)
                    if not is_among(view, event) and (told := live(event)) is not None:
                        yield told
            async for event in events:
                if (told := live(event)) is not None:
                    yield told
        except TooSlow:
            raise Failed(Status.CANCELLED, OVERFLOW) from None
