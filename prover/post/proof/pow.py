"""k2pow: the RandomX proof of work that a nonce group costs.

The search hands out short ranges in order and finishes the lower ones when a solution is found, so that for
any number of threads it returns the lowest solution. Specified in protocol 01-post, section 4.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kernels.randomx import Machine, Memory
from protocol.post.proof import POW_BITS, pow_input
from prover.errors import DataError, Interrupted

RANGE = 16
"""Candidates handed out at once: few, so that at the end of a search no thread works long in vain."""


class Search:
    """One search; `stop` may be called from any thread."""

    def __init__(
        self,
        memory: Memory,
        group: int,
        challenge: bytes,
        node_id: bytes,
        difficulty: bytes,
        *,
        threads: int = 1,
        first: int = 0,
        progress: Callable[[int], None] = lambda hashes: None,
    ) -> None:
        """first: where to begin, the `reached` of an earlier search of the same that was stopped."""
        self._memory = memory
        self._group, self._challenge, self._node_id = group, challenge, node_id
        self._difficulty = difficulty
        self._threads = threads
        self._progress = progress
        self._lock = threading.Lock()
        self._first = self._next = first
        self._found: int | None = None
        self._hashes = [0] * threads
        self._stopped = False

    @property
    def hashes(self) -> int:
        """Hashes computed so far by all threads."""
        return sum(self._hashes)

    @property
    def reached(self) -> int:
        """No candidate below is a solution; what threads had begun above it is not counted."""
        return max(self._first, self._next - self._threads * RANGE)

    def stop(self) -> None:
        """Makes `run` raise Interrupted within a hash or two."""
        self._stopped = True

    def run(self) -> int:
        """The lowest pow whose hash is below the (already scaled) difficulty.

        Raises Interrupted after `stop`; DataError when none of the 2^56 candidates is (a difficulty of 0).
        """
        machines: list[Machine] = []
        try:
            for _ in range(self._threads):
                machines.append(self._memory.machine())
            with ThreadPoolExecutor(self._threads, "k2pow") as pool:
                try:
                    for job in [pool.submit(self._work, number, machine) for number, machine in enumerate(machines)]:
                        job.result()
                except BaseException:
                    self.stop()
                    raise
        finally:
            for machine in machines:
                machine.close()
        if self._stopped:
            raise Interrupted("The search for a proof of work was stopped.")
        if self._found is None:
            raise DataError("No proof of work exists for this difficulty.")
        return self._found

    def _take(self) -> int | None:
        with self._lock:
            if self._stopped or self._next >= 1 << POW_BITS:
                return None
            if self._found is not None and self._next > self._found:
                return None  # every lower candidate is taken by somebody
            first = self._next
            self._next += RANGE
            return first

    def _work(self, thread: int, machine: Machine) -> None:
        power = self._take()
        if power is not None:
            machine.first(self._input(power))
        while power is not None and not self._stopped and (self._found is None or power <= self._found):
            inside = (power + 1) % RANGE != 0
            following = power + 1 if inside else self._take()
            hashed = machine.next(self._input(power if following is None else following))
            self._hashes[thread] += 1
            if hashed < self._difficulty:
                with self._lock:
                    self._found = power if self._found is None else min(self._found, power)
                return  # the lower ranges are others'; higher candidates do not matter
            if not inside:
                with self._lock:
                    self._progress(self.hashes)
            power = following

    def _input(self, power: int) -> bytes:
        return pow_input(power, self._group, self._challenge, self._node_id)


def search(memory: Memory, group: int, challenge: bytes, node_id: bytes, difficulty: bytes, *, threads: int = 1) -> int:
    """The lowest solution; see `Search`."""
    return Search(memory, group, challenge, node_id, difficulty, threads=threads).run()


def rate(memory: Memory, threads: int, seconds: float) -> float:
    """Hashes a second of so many threads, measured on the search itself with a difficulty that nothing meets."""
    endless = Search(memory, 0, bytes(32), bytes(32), b"", threads=threads)
    began = time.monotonic()
    timer = threading.Timer(seconds, endless.stop)
    timer.start()
    try:
        endless.run()
    except Interrupted:
        return endless.hashes / (time.monotonic() - began)
    finally:
        timer.cancel()
    raise AssertionError("a hash was below nothing")
