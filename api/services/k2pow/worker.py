"""The thread that searches, and the RandomX memory that it keeps between jobs.

The reference builds cache or data set anew for every job; here they are built at the first one, by all threads,
and given back after ten idle minutes. The service answers meanwhile. Specified in protocol 01-post-tools, section 5.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from api.services.k2pow.jobs import Failed, Job, Outcome
from kernels import randomx
from kernels.devices.types import Stopped
from kernels.errors import KernelError
from prover.errors import Interrupted, ProofError
from prover.post.proof.pow import Search
from prover.post.proof.randomx_cache import RandomXCache
from prover.post.proof.randomx_source import RandomXSource

log = logging.getLogger("k2pow-service")

RESTING_KEPT = 1000
IDLE_S = 600.0
"""After this time without a job the RandomX memory is given back."""


class Searcher(Protocol):
    """What the service needs of a worker."""

    def start(self, job: Job) -> None:
        """Begins a search; one at a time, after the stopped one has ended."""

    def stop(self, job: Job) -> None:
        """Ends a search soon; nothing is reported of it."""

    def close(self) -> None:
        """Ends everything soon; does not wait."""


class RandomX(RandomXSource):
    """The memory of RandomX for a service: what is worth knowing of it stands in the log."""

    def __init__(self, mode: str | None, threads: int, *, large_pages: bool = False) -> None:
        super().__init__(mode, threads, log.log, large_pages=large_pages)

    def open(self, full: bool, stop: threading.Event) -> randomx.Memory:
        """As `RandomXSource.open`."""
        began = time.monotonic()
        memory = super().open(full, stop)
        log.info("RandomX is ready after %.1f s", time.monotonic() - began)
        return memory


class Worker:
    """Searches in a thread of its own. `emit` is called from there with what came out of a job."""

    def __init__(
        self,
        source: RandomX,
        threads: int,
        emit: Callable[[Job, Outcome], None],
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._source, self._threads, self._emit, self._idle_s = source, threads, emit, idle_s
        self._condition = threading.Condition()
        self._next: Job | None = None
        self._current: Job | None = None
        self._search: Search | None = None
        self._reached: OrderedDict[Job, int] = OrderedDict()
        """Where searches rested that were stopped, so that they go on there."""
        self._stop = threading.Event()
        """Ends the current job."""
        self._closed = False
        self.memory = RandomXCache(lambda full: source.open(full, self._stop), idle_s=idle_s)
        self._thread = threading.Thread(target=self._run, name="k2pow-service")
        self._thread.start()

    def start(self, job: Job) -> None:
        """Begins a search, once the one before has ended."""
        with self._condition:
            self._next = job
            self._condition.notify()

    def stop(self, job: Job) -> None:
        """Ends a search soon; nothing is emitted for it."""
        with self._condition:
            if self._next == job:
                self._next = None
            if self._current == job:
                self._end_current()

    def close(self) -> None:
        """Ends everything soon; does not wait."""
        with self._condition:
            self._closed, self._next = True, None
            self._end_current()
            self._condition.notify()

    def join(self) -> None:
        """Waits for the end after `close`."""
        self._thread.join()

    def _end_current(self) -> None:
        self._stop.set()
        if self._search is not None:
            self._search.stop()

    def _run(self) -> None:
        try:
            while (job := self._take()) is not None:
                outcome = self._work(job)
                if outcome is not None:
                    self._emit(job, outcome)
        finally:
            self.memory.close()

    def _take(self) -> Job | None:
        """The next job; None when closed. The memory goes when none comes for a while."""
        with self._condition:
            self._current = self._search = None
            while not self._closed:
                if self._next is not None:
                    self._current, self._next = self._next, None
                    self._stop.clear()
                    return self._current
                kept = self.memory.state != "none"
                if not self._condition.wait(self._idle_s if kept else None) and self.memory.release_idle():
                    log.info("the memory of RandomX is given back")
            return None

    def _remember(self, job: Job) -> None:
        """How far a stopped search came."""
        if self._search is not None:
            self._reached[job] = self._search.reached
            if len(self._reached) > RESTING_KEPT:
                self._reached.popitem(last=False)

    def _work(self, job: Job) -> Outcome | None:
        """What came out; None where the job was stopped."""
        log.info("took k2pow job: %s", job)
        began = time.monotonic()
        try:
            with self.memory.lend(self._source.full) as memory:
                first = self._reached.pop(job, 0)
                search = Search(
                    memory, job.group, job.challenge, job.miner, job.difficulty, threads=self._threads, first=first
                )
                with self._condition:
                    self._search = search
                    if self._stop.is_set():
                        search.stop()
                found = search.run()
        except (Interrupted, Stopped):
            self._remember(job)
            log.info("stopped k2pow job: %s", job)
            return None
        except (ProofError, KernelError, OSError) as error:
            log.error("k2pow job failed: %s: %s", job, error)
            return Failed(str(error))
        log.info("found %d after %.1f s: %s", found, time.monotonic() - began, job)
        return found
