"""Who may read a message at the moment, and who may hold a stream: so many in all, and of one client."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from api.edge.rpc import Failed, Status
from api.grpc.limits import GrpcLimits


class Places:
    """Who may read a message at the moment; others wait, each behind those of the same client."""

    def __init__(self, limits: GrpcLimits) -> None:
        self._free, self._most_of_one = limits.reading, limits.reading_of_one
        self._of_one: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    async def take(self, client: str) -> None:
        """Waits for a place and holds it; it is to be given back."""
        if self._has_place(client):
            self._hold(client)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((client, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back(client)  # it was handed over in the same moment
            raise

    def give_back(self, client: str) -> None:
        """Lets the next one have it."""
        self._free += 1
        self._of_one[client] -= 1
        if not self._of_one[client]:
            del self._of_one[client]
        if self._waiting:
            self._hand_over()

    def _hand_over(self) -> None:
        still: deque[tuple[str, asyncio.Future[None]]] = deque()
        while self._waiting and self._free:
            client, turn = self._waiting.popleft()
            if turn.done():
                continue  # whoever waited has gone
            if self._has_place(client):
                self._hold(client)
                turn.set_result(None)
            else:
                still.append((client, turn))
        still.extend(self._waiting)
        self._waiting = still

    def _has_place(self, client: str) -> bool:
        return self._free > 0 and self._of_one[client] < self._most_of_one

    def _hold(self, client: str) -> None:
        self._free -= 1
        self._of_one[client] += 1


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
