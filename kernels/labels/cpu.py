"""The CPU backend: `devices` and `LabelEngine` on the vector kernels of `scrypt`.

Threads release the interpreter lock; each has its own scratch memory. Importing this module is cheap:
numba is loaded when an engine is made.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.devices.types import CPU_ID, Device, Labels, Stopped, VrfCandidate
from kernels.labels import memory
from kernels.vectors import target

ROW_BYTES = 128
LABEL_OVERHEAD = 4096
"""Bytes a label beyond its N rows: the stagger of the rows and its share of the states."""

_PIECE_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Way:
    """How a thread computes labels; every way gives the same bytes."""

    registers: int
    """Of one run, mixed in lock step: they hide how long an instruction takes, until there are no more of them."""
    runs: int
    """Runs in flight: while one mixes, the others' rows arrive from memory, if the caches have room for so many."""


WAYS = (Way(2, 2), Way(3, 1), Way(3, 2), Way(2, 1))
"""The first is taken where nothing was measured."""

MEASURED_N, MEASURED_TIMES = 8192, 9
"""N of the measurement, and how often each way is measured, in turns; the best time counts: others may disturb it."""

WORTH_ANOTHER_WAY = 1.03
"""Another way than the first is taken when it is so many times as fast: less is within what others disturb."""

MEASURING_THREADS = 16
"""At most: all cores share the caches, but memory has an end."""


def usable_cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def devices() -> list[Device]:
    """The CPU, as one device."""
    variant = target.variant()
    return [
        Device(
            id=CPU_ID,
            name=f"[CPU] {_model_name()}",
            device_class="CPU",
            backend="cpu",
            platform=f"{platform.system()} {platform.machine()}",
            vendor=_vendor(),
            driver=f"numba {_version('numba')}, {variant.name} vectors",
            memory_bytes=memory.total_memory(),
            compute_units=usable_cores(),
            aliases=("cpu",),
        )
    ]


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


@functools.cache
def _cpu_info() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in reversed(list(pairs))}


def _model_name() -> str:
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _vendor() -> str:
    return _cpu_info().get("vendor_id") or platform.machine()


def lanes(chosen: Way | None = None) -> int:
    """Labels of one run."""
    return (chosen or way()).registers * target.variant().registers // 128


@functools.cache
def way() -> Way:
    """The fastest way on this machine, as `choose_way` found it; else the first."""
    return _remembered() or WAYS[0]


def _remembered() -> Way | None:
    try:
        known = json.loads(_ways_file().read_bytes())[_machine()]
        found = Way(int(known["registers"]), int(known["runs"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found in WAYS else None


def _ways_file() -> Path:
    """Beside the compiled code, so that another code is measured anew."""
    return target.cache_directory("kernels.labels.scrypt") / "ways.json"


def _machine() -> str:
    return f"{_model_name()}, {usable_cores()} cores, {target.variant().name}"


def choose_way() -> None:
    """Measures the ways on all cores and keeps the fastest; compiles all of them before, so it takes some seconds."""
    warm_up()
    threads = min(usable_cores(), MEASURING_THREADS)
    fitting = [one for one in WAYS if plan_memory(MEASURED_N, threads, how=one) == memory.Plan(threads, one.runs)]
    rates = dict.fromkeys(fitting, 0.0)
    for _ in range(MEASURED_TIMES if len(fitting) > 1 else 0):
        for one in fitting:
            rates[one] = max(rates[one], _labels_per_second(one, threads))
    if fitting:
        best = max(fitting, key=lambda one: rates[one])
        _remember(best if rates[best] > WORTH_ANOTHER_WAY * rates[fitting[0]] else fitting[0])


def _labels_per_second(one: Way, threads: int) -> float:
    """Of one core, in processor time, while all of them work."""
    engines_ = [LabelEngine(devices()[0], MEASURED_N, plan=memory.Plan(1, one.runs), how=one) for _ in range(threads)]

    def work(engine: LabelEngine) -> float:
        engine.labels32([bytes(32)], range(engine.granularity))  # its memory is touched for the first time
        began = time.thread_time()
        engine.labels32([bytes(32)], range(engine.granularity))
        return time.thread_time() - began

    with ThreadPoolExecutor(threads) as pool:
        seconds = sum(pool.map(work, engines_))
    return sum(engine.granularity for engine in engines_) / max(seconds, 1e-9)


def _remember(chosen: Way) -> None:
    """A cache that cannot be written is none: the first way is as right."""
    file = _ways_file()
    try:
        known = json.loads(file.read_bytes())
    except (OSError, ValueError):
        known = {}
    try:
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
            json.dump({**known, _machine(): asdict(chosen)}, temporary, indent=2)
        os.replace(temporary.name, file)
    except OSError:
        return


def is_compiled() -> bool:
    """Whether the label kernels for this processor are in the cache and measured: making an engine is quick."""
    names = ("labels.scrypt.labels", "labels.scalar._label")
    return _remembered() is not None and all(target.has_cached_code(name) for name in names)


def compile_kernels() -> None:
    """Fills the cache of compiled code, and finds the fastest way; see `target.compile_in_child`."""
    if not is_compiled():
        target.compile_in_child(__name__, "choose_way")
        way.cache_clear()


def warm_up() -> None:
    """Compiles the vector kernel and the scalar one, or loads them from the cache."""
    from kernels.labels import scalar as scrypt_scalar

    engine = LabelEngine(devices()[0], 2)
    engine.labels32([bytes(32)], [0])
    engine.close()
    scrypt_scalar.label32(bytes(32), 0, 2)


def plan_memory(scrypt_n: int, threads: int, memory_bytes: int | None = None, *, how: Way | None = None) -> memory.Plan:
    """How many threads and runs in flight fit into `memory_bytes` (default: what is available).

    Raises `MemoryShortage` when not even one label fits.
    """
    available = memory.available_memory() if memory_bytes is None else memory_bytes
    chosen = how or way()
    return memory.plan(available, scrypt_n * ROW_BYTES + LABEL_OVERHEAD, lanes(chosen), threads, chosen.runs)


def engines(device: Device, scrypt_n: int, threads: int, memory_bytes: int | None = None) -> list[LabelEngine]:
    """One engine a thread, for a pool: so that no thread waits for another at the end of a batch.

    Fewer than `threads` when memory is short. Raises `MemoryShortage` when not even one label fits.
    """
    plan = plan_memory(scrypt_n, threads, memory_bytes)
    return [LabelEngine(device, scrypt_n, plan=memory.Plan(1, plan.runs)) for _ in range(plan.threads)]


class LabelEngine:
    """Labels of one commitment or many, on `threads` threads of the CPU.

    Implements `types.Engine`. Raises `MemoryShortage` when not even one label fits into `memory_bytes`
    (default: what is available). `how` is the way to compute (default: the fastest on this machine).
    """

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        threads: int = 1,
        memory_bytes: int | None = None,
        plan: memory.Plan | None = None,
        *,
        how: Way | None = None,
    ) -> None:
        from kernels.labels import scalar as scrypt_scalar
        from kernels.labels import scrypt

        self.device = device
        self.scrypt_n = scrypt_n
        chosen = how or way()
        self.plan = plan or plan_memory(scrypt_n, threads, memory_bytes, how=chosen)
        self.granularity = self.plan.runs * lanes(chosen) if self.plan.runs else 1
        self._shape = (0,) * chosen.registers
        self._scrypt = scrypt
        self._scalar = scrypt_scalar
        self._stop = np.zeros(1, np.uint8)
        self._threads = ThreadPoolExecutor(self.plan.threads, "labels") if self.plan.threads > 1 else None
        self._scratch: list[npt.NDArray[np.uint32]] = []
        self._lock = threading.Lock()

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]; count >= 1."""
        full = self.labels32([commitment], np.arange(start, start + count, dtype=np.uint64))
        out[:] = full[:, :16]
        position = smallest(full)
        return VrfCandidate(start + position, full[position].tobytes())

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""
        # a copy: the kernel is compiled for one kind of array, and would be again for a read-only or strided one
        wanted = np.array(indices, dtype=np.uint64)
        keys = np.frombuffer(b"".join(commitments), dtype=np.uint64).reshape(-1, 4)
        if len(keys) not in (1, len(wanted)):
            raise ValueError(f"{len(keys)} commitments for {len(wanted)} labels; expected one for all, or one each")
        out = np.empty((len(wanted), 4), np.uint64)
        pieces = self._pieces(len(wanted))

        def compute(piece: slice) -> int:
            chosen = keys if len(keys) == 1 else keys[piece]
            return self._compute(chosen, wanted[piece], out[piece])

        if self._threads is None or len(pieces) == 1:
            done = sum(compute(piece) for piece in pieces)
        else:
            done = sum(self._threads.map(compute, pieces))
        if done != len(wanted):
            raise Stopped("the label engine was stopped")
        return out.view(np.uint8)

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""
        self._stop[0] = 1

    def close(self) -> None:
        """Gives memory and threads back."""
        self.stop()
        if self._threads is not None:
            self._threads.shutdown()
        self._scratch.clear()

    def _pieces(self, count: int) -> list[slice]:
        """Small enough that all threads end at about the same time."""
        size = self.granularity
        if self._threads is None:
            size = count
        elif count > self.granularity * self.plan.threads * _PIECE_ROUNDS:
            size = self.granularity * _PIECE_ROUNDS
        return [slice(start, min(count, start + size)) for start in range(0, count, max(1, size))]

    def _compute(self, keys: Any, indices: Any, out: Any) -> int:
        with self._lock:
            scratch = self._scratch.pop() if self._scratch else None
        if scratch is None:
            if self.plan.runs:
                size = self._scrypt.scratch_words(self.scrypt_n, self.granularity)
            else:
                size = self.scrypt_n * self._scrypt.ROW_WORDS
            scratch = np.empty(size, np.uint32)
        try:
            if self.plan.runs:
                common = (self.scrypt_n, self.plan.runs, self._shape, scratch, self._stop)
                return int(self._scrypt.labels(keys, indices, out, *common))
            for position, index in enumerate(indices):
                if self._stop[0]:
                    return position
                key = keys[0 if len(keys) == 1 else position].tobytes()
                label = self._scalar.label32(key, int(index), self.scrypt_n, scratch=scratch)
                out[position] = np.frombuffer(label, np.uint64)
            return len(indices)
        finally:
            with self._lock:
                self._scratch.append(scratch)


def smallest(labels32: Labels) -> int:
    """Position of the smallest row of uint8[n, 32], compared bytewise; the lowest on a tie."""
    first_words = labels32[:, :8].copy().view(">u8").ravel()
    ties = np.flatnonzero(first_words == first_words.min())
    return int(min(ties, key=lambda position: (labels32[position].tobytes(), position)))
