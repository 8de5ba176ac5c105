"""A share of a pool of threads: so many of one kind at once, urgent ones first, and as few as possible while the own
proofs are made. Protocol 04-activation-beacon-eligibility, section 8.2.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from node.runtime.workers import Work

MOST_WAITING = 10_000
"""Of each of the two kinds."""


class Pool(Protocol):
    """Threads: `node.runtime.workers.Workers`."""

    def put(self, work: Work, *, is_urgent: bool = False) -> bool:
        """Have it done; False: it will not be."""

    def give_up(self, call: int) -> bool:
        """Take out what still waits."""


class Share:
    """What may run at once is asked each time that something could begin. From any thread. Also a `Pool`."""

    def __init__(self, pool: Pool, most: Callable[[], int], refused: Callable[[int], None]) -> None:
        """most: how many may run now, at least one; refused: the pool has not taken a call that was taken here."""
        self._pool, self._most, self._refused = pool, most, refused
        self._lock = threading.Lock()
        self._urgent: deque[Work] = deque()
        self._usual: deque[Work] = deque()
        self._running = 0

    def put(self, work: Work, *, is_urgent: bool = False) -> bool:
        """As Pool says."""
        with self._lock:
            queue = self._urgent if is_urgent else self._usual
            if len(queue) >= MOST_WAITING:
                return False
            queue.append(work)
        self._begin()
        return True

    def give_up(self, call: int) -> bool:
        """As Pool says."""
        with self._lock:
            for queue in (self._urgent, self._usual):
                for work in queue:
                    if work.call == call:
                        queue.remove(work)
                        return True
        return False

    def _begin(self) -> None:
        while (taken := self._next()) is not None:
            work, is_urgent = taken
            if not self._pool.put(Work(work.call, work.kind, partial(self._do, work)), is_urgent=is_urgent):
                with self._lock:
                    self._running -= 1
                self._refused(work.call)

    def _next(self) -> tuple[Work, bool] | None:
        with self._lock:
            is_urgent = bool(self._urgent)
            queue = self._urgent if is_urgent else self._usual
            if not queue or self._running >= max(1, self._most()):
                return None
            self._running += 1
            return queue.popleft(), is_urgent

    def _do(self, work: Work) -> None:
        try:
            work.do()
        finally:
            with self._lock:
                self._running -= 1
            self._begin()
