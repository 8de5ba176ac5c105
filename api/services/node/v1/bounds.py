"""What keeps a large question from hurting others: they have their turns, and no answer is larger than what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

from api.edge.rpc import Failed, Status
from node.store.table import Index, Table
from node.store.view import Span, View

T = TypeVar("T")
M = TypeVar("M", bound=Message)

KEYS_A_TURN = 5_000


class Room:
    """What there still is for an answer. Mutable."""

    def __init__(self, most: int, what: str) -> None:
        """most: bytes that are sent. what: is asked for, for the error."""
        self._most = self._left = most
        self._what = what

    def take(self, message: M) -> M:
        """A part of the answer. Raises Failed (RESOURCE_EXHAUSTED) where there is no room for it."""
        self._left -= message.ByteSize()
        if self._left < 0:
            raise Failed(
                Status.RESOURCE_EXHAUSTED,
                f"{self._what}: more than {self._most} bytes, which is the most that is sent; ask for less at once",
            )
        return message


async def unhurried(rows: Iterable[T], at_once: int) -> AsyncIterator[T]:
    """Rows, so many before other clients have their turn."""
    for place, row in enumerate(rows, 1):
        yield row
        if place % at_once == 0:
            await asyncio.sleep(0)


async def counted(view: View, space: Table[Any, Any] | Index[Any, Any, Any], span: Span) -> int:
    """How many keys a range has, other clients in between. Raises StoreFault."""
    count = 0
    async for _ in unhurried(view.pairs(space, *span.bounds(space.key), False), KEYS_A_TURN):
        count += 1
    return count
