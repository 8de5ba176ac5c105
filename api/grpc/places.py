"""Who may read a message at the moment, and who may hold a stream: so many in all, and of one client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from api.edge.rpc import Failed, Status
from api.grpc.limits import GrpcLimits


class Places:
    """Who may read a message at the moment; others wait."""

    def __init__(self, limits: GrpcLimits) -> None:
        self._limits = limits
        self._all = asyncio.Semaphore(limits.reading)
        self._of_one: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Waits for a place and holds it."""
        if self._of_one[client] >= self._limits.reading_of_one:
            async with self._freed:
                await self._freed.wait_for(lambda: self._of_one[client] < self._limits.reading_of_one)
        self._of_one[client] += 1
        try:
            async with self._all:
                yield
        finally:
            self._of_one[client] -= 1
            if not self._of_one[client]:
                del self._of_one[client]
            async with self._freed:
                self._freed.notify_all()


class Held:
    """Who holds streams; nobody waits for one."""

    def __init__(self, in_all: int, of_one: int) -> None:
        self._most, self._most_of_one = in_all, of_one
        self._of_one: Counter[str] = Counter()
        self.count = 0
        """Held now."""

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Holds one more. Raises Failed."""
        if self._of_one[client] >= self._most_of_one:
            raise Failed(
                Status.RESOURCE_EXHAUSTED,
                f"this client has {self._most_of_one} streams of this kind open, which is as many as one may have; "
                "close some of them first",
            )
        if self.count >= self._most:
            raise Failed(
                Status.RESOURCE_EXHAUSTED,
                f"all clients together have {self._most} streams of this kind open, which is as many as are served; "
                "try again later",
            )
        self.count += 1
        self._of_one[client] += 1
        try:
            yield
        finally:
            self.count -= 1
            self._of_one[client] -= 1
            if not self._of_one[client]:
                del self._of_one[client]
