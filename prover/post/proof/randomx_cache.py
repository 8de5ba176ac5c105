"""One RandomX memory kept between proofs: made at the first need, lent while it is used, released after an idle time.

The full data set takes the better part of a minute of all cores to build, so proofs that follow each other share
it; between epochs nobody needs its 2 GiB. Any thread may borrow; nothing here starts a thread or a timer, whoever
keeps a cache calls `release_idle` now and then. Specified in protocol 01-post, section 4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

IDLE_S = 300.0
"""How long a memory that nobody uses is kept."""
LIGHT_IDLE_S = 1.0
"""The same of a light one, which is made again in a second: on a small machine node and service need one in turns."""

State = Literal["none", "building", "light", "full"]


class Keepable(Protocol):
    """What is kept: `kernels.randomx.Memory`."""

    full: bool

    def close(self) -> None:
        """Gives the memory back."""


M = TypeVar("M", bound=Keepable)


@dataclass(slots=True)
class _Kept(Generic[M]):
    memory: M
    lent: int = 0
    idle_since: float = 0.0


class RandomXCache(Generic[M]):
    """Keeps at most one memory that is lent again.

    `open_memory(full)` makes one; it may give a light one where the full one does not fit, and what it raises
    reaches the borrower.
    """

    def __init__(
        self,
        open_memory: Callable[[bool], M],
        *,
        idle_s: float = IDLE_S,
        light_idle_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """light_idle_s: of a light memory; None: as of a full one."""
        self._open = open_memory
        self._idle_s = idle_s
        self._light_idle_s = idle_s if light_idle_s is None else light_idle_s
        self._clock = clock
        self._making = threading.Lock()
        """Held while a memory is made: who comes meanwhile waits for it."""
        self._lock = threading.Lock()
        """Guards what follows; never held for long."""
        self._kept: _Kept[M] | None = None
        self._building = False

    @property
    def state(self) -> State:
        """What there is now, for whoever watches."""
        kept = self._kept
        if self._building:
            return "building"
        if kept is None:
            return "none"
        return "full" if kept.memory.full else "light"

    @contextmanager
    def lend(self, full: bool) -> Iterator[M]:
        """The kept memory, made first where there is none; a full one also serves who needs a light one."""
        kept = self._borrow(full)
        try:
            yield kept.memory
        finally:
            self._give_back(kept)

    def release_idle(self) -> bool:
        """Gives the kept memory back if nobody has used it for the idle time; whether it did."""
        with self._lock:
            kept = self._kept
            if kept is None or kept.lent or self._clock() - kept.idle_since < self._patience(kept.memory):
                return False
            self._kept = None
        kept.memory.close()
        return True

    def _patience(self, memory: M) -> float:
        return self._idle_s if memory.full else self._light_idle_s

    def close(self) -> None:
        """Keeps nothing any more; a memory that is lent out is given back when its borrower is done."""
        with self._lock:
            kept, self._kept = self._kept, None
            unused = kept is not None and not kept.lent
        if kept is not None and unused:
            kept.memory.close()

    def _borrow(self, full: bool) -> _Kept[M]:
        with self._making:
            with self._lock:
                kept = self._kept
                if kept is not None and (kept.memory.full or not full):
                    kept.lent += 1
                    return kept
            # The light one stays until the full one is there: the two together fit where the full one does.
            self._building = True
            try:
                made = _Kept(self._open(full), lent=1)
            finally:
                self._building = False
            with self._lock:
                before, self._kept = self._kept, made
                unused = before is not None and not before.lent
            if before is not None and unused:
                before.memory.close()
            return made

    def _give_back(self, kept: _Kept[M]) -> None:
        with self._lock:
            kept.lent -= 1
            kept.idle_since = self._clock()
            surplus = kept is not self._kept and not kept.lent
        if surplus:
            kept.memory.close()
