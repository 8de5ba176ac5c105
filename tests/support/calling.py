"""Methods of services called in process, as a server calls them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status, Stream, Unary

TURNS = 50
"""Turns of the loop after which a stream that has said nothing more waits for something that has to happen."""


@dataclass(slots=True)
class Answered:
    """What came of a call. Mutable: it is filled while messages come."""

    status: Status = Status.OK
    text: str = ""
    messages: list[Any] = field(default_factory=list)
    has_headers: bool = False
    """Whether headers went before the first message."""
    is_open: bool = False
    """Whether the stream would go on."""


async def call(
    methods: Mapping[str, Method], name: str, request: Message, *, most: int | None = None, ends: bool = False
) -> Answered:
    """The answer of a method; of a stream all messages until it waits, or so many. ends: it has an end, which is
    waited for."""
    method, answered = methods[name], Answered()
    if inspect.isasyncgenfunction(method):
        stream = Open(methods, name, request, ends=ends)
        await stream.more(most)
        await stream.close()
        return stream.answered
    try:
        answered.messages.append(await cast(Unary, method)(request))
    except Failed as error:
        answered.status, answered.text = error.status, error.message
    return answered


class Open:
    """A stream that is read bit by bit. To be closed."""

    def __init__(self, methods: Mapping[str, Method], name: str, request: Message, *, ends: bool = False) -> None:
        self._messages = cast(Stream, methods[name])(request)
        self._ends = ends
        self._next: asyncio.Future[Message | Headers] | None = None
        self.answered = Answered()

    async def more(self, most: int | None = None) -> list[Any]:
        """What has come since, until the stream waits."""
        before = len(self.answered.messages)
        while most is None or len(self.answered.messages) - before < most:
            if self._next is None:
                self._next = asyncio.ensure_future(anext(self._messages))
            if self._ends:
                await asyncio.wait([self._next])
            elif not await _is_done(self._next):
                self.answered.is_open = True
                break
            done, self._next = self._next, None
            try:
                one = done.result()
            except StopAsyncIteration:
                self.answered.is_open = False
                break
            except Failed as error:
                self.answered.is_open = False
                self.answered.status, self.answered.text = error.status, error.message
                break
            if one is Headers.NOW:
                self.answered.has_headers = not self.answered.messages
            else:
                self.answered.messages.append(one)
        return self.answered.messages[before:]

    async def close(self) -> None:
        """Ends it, as a client that goes away."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
        await self._messages.aclose()  # type: ignore[attr-defined]


async def _is_done(future: asyncio.Future[Any]) -> bool:
    """Whether it is done, once nothing of this loop has anything to do."""
    for _ in range(TURNS):
        if future.done():
            return True
        await asyncio.sleep(0)
    return future.done()
