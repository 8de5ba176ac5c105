"""What the check of a GPU's labels costs the CPU: at most 2 % of a core, for every speed of card.

Counted, on a pool whose device only advances a clock: how many labels are recomputed, against how many were made with
the sizes of batches that the pool chooses. And measured, on PoCL, in processor time of the threads that check.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kernels.devices.pool import MAX_PIECE, PIECE_SECONDS, Pool
from kernels.devices.spot_check import FIRST_CHECK, WAVE_CHECK, Sample
from kernels.devices.types import Device, Labels, VrfCandidate
from kernels.gpu import engine as gpu_engine
from kernels.labels import cpu
from tests.support import pocl

MOST = 0.02
"""Of one core."""

JOB_SECONDS = 60.0
"""The first two pieces of an engine are checked more thoroughly; a unit of 64 GiB takes an hour on the fastest card."""

CORES = {"AVX-512": (3400.0, 8), "AVX2": (2300.0, 4), "plain": (1200.0, 2)}
"""Labels a second of one core at N = 8192, as in docs/benchmarks.md, and how many it computes side by side: fewer cost
as much."""

CARDS = {
    "small graphics processor": (5_000, 3_072),
    "old card of 4 GiB": (60_000, 10_240),
    "RTX 3090": (488_000, 31_488),
    "RTX 4090": (631_000, 65_536),
    "H100": (1_310_000, 50_688),
    "MI300X": (2_070_000, 116_736),
}
"""Labels a second, as measured or expected by the model, and labels in flight."""

PAIRS = [(card, core) for card in CARDS for core in CORES if core != "plain" or CARDS[card][0] < 1_000_000]
"""Cards of data centres do not stand in machines without wide vectors."""

CARD = Device(0, "[GPU] P/card", "GPU", "opencl", "P", "maker", "1.2", 24 << 30, 82)


class Clock:
    """Time of the simulated card."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Simulated:
    """Labels that are all zero, in the time that a card of this speed would take."""

    device, scrypt_n = CARD, 8192

    def __init__(self, labels_per_second: float, slots: int, clock: Clock) -> None:
        self.granularity, self._rate, self._clock = slots, labels_per_second, clock
        self.counts: list[int] = []

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        out[:] = 0
        self._clock.now += count / self._rate
        self.counts.append(count)
        return VrfCandidate(start, bytes(32))

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(("card", "core"), PAIRS)
def test_few_labels_are_recomputed(card: str, core: str) -> None:
    (labels_per_second, slots), (core_rate, lanes) = CARDS[card], CORES[core]
    clock = Clock()
    engine = Simulated(labels_per_second, slots, clock)
    recomputed: list[int] = []

    def labels32(key: bytes, indices: Sequence[int]) -> Labels:
        recomputed.append(len(indices))
        return np.zeros((len(indices), 32), np.uint8)

    pool = Pool([engine], sample=Sample(labels32), clock=clock)
    total = int(labels_per_second * JOB_SECONDS)
    made = sum(len(batch.labels) for batch in pool.run(bytes(32), [(0, total)]))
    assert made == total == sum(engine.counts)
    assert len(recomputed) == len(engine.counts) and min(recomputed) >= 1, "every batch is checked"
    assert recomputed[0] == FIRST_CHECK and recomputed[1] == WAVE_CHECK + 1
    assert sum(recomputed) >= total / (1 << 16), "one label in 65,536"
    assert pool.reports[0].checked == sum(recomputed)
    work = sum(-(-count // lanes) * lanes for count in recomputed) / core_rate
    assert work / JOB_SECONDS <= MOST
    # not by checking seldom: a batch takes no longer than others, or holds no more than it has to
    longest = max(engine.counts)
    assert longest <= max(MAX_PIECE, slots) and longest / labels_per_second <= max(1.5 * PIECE_SECONDS, slots / 4500)


@pocl.needed
@pytest.mark.timing
def test_checking_costs_at_most_2_percent_of_the_time_that_the_device_works() -> None:
    reference = cpu.LabelEngine(cpu.devices()[0], 8192)
    key, spent, lock = bytes(range(32)), [0.0], threading.Lock()
    reference.labels32([key], range(8))

    def labels32(commitment: bytes, indices: Sequence[int]) -> Labels:
        began = time.thread_time()
        found = reference.labels32([commitment], indices)
        with lock:
            spent[0] += time.thread_time() - began
        return found

    engines = gpu_engine.engines(pocl.device(), 8192)
    pool = Pool(engines, sample=Sample(labels32))
    batches, busy, before, began = pool.run(key, [(0, 1 << 40)]), 0.0, 0.0, 0.0
    for _ in batches:
        if not began and min(worker.pieces for worker in pool._workers) > 2:  # beyond the first two
            began, busy, before = time.monotonic(), engine_seconds(engines), spent[0]
        if began and time.monotonic() - began > 6:
            break
    cost = (spent[0] - before) / (engine_seconds(engines) - busy)
    batches.close()
    pool.close()
    assert 0 < cost <= MOST


def engine_seconds(engines: Sequence[Any]) -> float:
    """Time that the device has computed; the engines share it."""
    return float(engines[0].busy_seconds)
