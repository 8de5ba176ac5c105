"""Threads for what takes longer than a turn may: proofs to verify, VRF proofs, nonces.

Work waits in two queues, what is urgent before the rest. What finds its queue full is refused at once, and counted: who
asked is told, and no work piles up that nobody waits for any more. Kernels and libsodium release the interpreter lock,
so that threads do run side by side.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger

log = getLogger("workers")


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to do."""

    call: int
    kind: str
    """What it is, for those who count."""
    do: Callable[[], None]
    """It tells its result itself, and raises nothing."""


class Workers:
    """A pool of threads. Everything may be called from any thread."""

    def __init__(self, name: str, threads: int, most: int) -> None:
        """threads: at once; most: that wait in each of the two queues."""
        self._most = most
        self._changed = threading.Condition()
        self._urgent: deque[Work] = deque()
        self._usual: deque[Work] = deque()
        self._running: Counter[str] = Counter()
        self._is_open = True
        self.refused: Counter[str] = Counter()
        """By kind: what found no place."""
        self.done: Counter[str] = Counter()
        """By kind."""
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, work: Work, *, is_urgent: bool = False) -> bool:
        """Have it done; False: its queue is full, or the pool is closed, and it will not be."""
        queue = self._urgent if is_urgent else self._usual
        with self._changed:
            if not self._is_open or len(queue) >= self._most:
                self.refused[work.kind] += 1
                return False
            queue.append(work)
            self._changed.notify()
            return True

    def give_up(self, call: int) -> bool:
        """Take out what still waits; False: it is not there, or is being done."""
        with self._changed:
            for queue in (self._urgent, self._usual):
                for work in queue:
                    if work.call == call:
                        queue.remove(work)
                        return True
        return False

    def waiting(self) -> tuple[int, int]:
        """How much waits: urgent, and other work."""
        with self._changed:
            return len(self._urgent), len(self._usual)

    def running(self) -> dict[str, int]:
        """How much is being done now, by kind."""
        with self._changed:
            return {kind: count for kind, count in self._running.items() if count}

    def close(self, wait_s: float = 0.0) -> bool:
        """What waits is not done any more. Whether all threads have ended after so long; those that have not end with
        the process."""
        with self._changed:
            self._is_open = False
            self._urgent.clear()
            self._usual.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(wait_s)
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work.do()
            except Exception:  # a mistake of ours, which is told; the pool must not lose a thread by it
                log.exception("%s has failed", work.kind)
            with self._changed:
                self._running[work.kind] -= 1
                self.done[work.kind] += 1

    def _next(self) -> Work | None:
        with self._changed:
            while self._is_open:
                queue = self._urgent or self._usual
                if queue:
                    work = queue.popleft()
                    self._running[work.kind] += 1
                    return work
                self._changed.wait()
            return None
