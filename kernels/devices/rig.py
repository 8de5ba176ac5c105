"""All devices of a job together: opened as far as they can be, in one pool, and what there is to say of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from kernels.devices import opening
from kernels.devices.pool import Pool
from kernels.devices.spot_check import CHECK_ONE_IN, Sample
from kernels.devices.types import Device, Engine
from kernels.errors import KernelError
from kernels.gpu.sensors import Thermometer
from kernels.labels import cpu

Note = Callable[[str], None]
Busy = Callable[[str], AbstractContextManager[object]]
"""Shows what is being waited for."""


@dataclass(frozen=True, slots=True)
class Use:
    """How devices are used."""

    share: float = 1.0
    """Of the time that a device works."""
    gpu_memory: int | None = None
    """Most bytes that each GPU may use; None: what suits it."""
    check_one_in: int | None = None
    """One label in so many of a GPU is recomputed on the CPU (0: only the last of each piece); None: as usual."""


def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
    """One full label in plain integers (see `kernels.labels.scalar`)."""
    from kernels.labels import scalar as scrypt_scalar

    return scrypt_scalar.label32(commitment, index, scrypt_n)


def open_engines(
    devices: Sequence[Device],
    scrypt_n: int,
    threads: int,
    use: Use,
    note: Note = lambda message: None,
    busy: Busy = lambda message: nullcontext(),
) -> list[Engine]:
    """Engines of all the devices that can be opened; says why others are passed over, and where memory is short.

    Raises the `KernelError` of the last one when none can be opened.
    """
    opened: list[Engine] = []
    for place, one in enumerate(devices):
        try:
            if one.backend == "cpu":
                opened += _of_cpu(one, scrypt_n, threads, note)
                continue
            with busy(f"opening {one.name} …"):
                found = opening.engines(one, scrypt_n, threads, use.gpu_memory, note=note)
        except KernelError as error:
            if not opened and place == len(devices) - 1:
                raise
            note(f"{one.name} is passed over: {error}")
            continue
        if use.share < 1:
            # one that rests after its launch is enough: a second one would use the time of the rest
            for surplus in found[1:]:
                surplus.close()
            found = found[:1]
        opened += found
    return opened


def _of_cpu(device: Device, scrypt_n: int, threads: int, note: Note) -> Sequence[Engine]:
    engines = cpu.engines(device, scrypt_n, threads)
    if len(engines) < threads or engines[0].plan.runs < cpu.way().runs:
        note(
            f"Memory is short: {len(engines)} of {threads} threads are used, each with {engines[0].granularity} labels "
            "in flight."
        )
    return engines


def sample_for(devices: Sequence[Device], scrypt_n: int, use: Use) -> Sample | None:
    """How labels of GPUs are checked on the CPU; None when there is no GPU among the devices."""
    if all(one.backend == "cpu" for one in devices):
        return None
    reference = cpu.LabelEngine(cpu.devices()[0], scrypt_n)
    rate = CHECK_ONE_IN if use.check_one_in is None else use.check_one_in
    return Sample(lambda key, indices: reference.labels32([key], indices), rate)


@contextmanager
def open_pool(
    devices: Sequence[Device],
    scrypt_n: int,
    threads: int,
    use: Use,
    note: Note = lambda message: None,
    busy: Busy = lambda message: nullcontext(),
) -> Iterator[Pool]:
    """A pool over the devices that can be opened (see `open_engines`); `note` is told of their failures as well."""
    engines = open_engines(devices, scrypt_n, threads, use, note, busy)
    pool = Pool(
        engines,
        share=use.share,
        check=lambda key, index: label32(key, index, scrypt_n),
        sample=sample_for([engine.device for engine in engines], scrypt_n, use),
        note=note,
    )
    try:
        yield pool
    finally:
        pool.close()


def labels_per_second(pool: Pool, seconds: float) -> float:
    """What a pool computes with the zero commitment, measured for so long, as the node's benchmark does."""
    began, done = time.monotonic(), 0
    for batch in pool.run(bytes(32), [(0, 1 << 40)]):
        done += len(batch.labels)
        if time.monotonic() - began >= seconds:
            break
    return done / (time.monotonic() - began)


# -- what there is to say of devices -------------------------------------------------------------------------------


def titles(pool: Pool) -> list[str]:
    """A name for each device of a pool; cards of the same name are told apart."""
    devices = [report.device for report in pool.reports]
    names = [one.name for one in devices]
    return [
        one.name if names.count(one.name) == 1 else f"{one.name} ({one.pci or one.id or one.handle})" for one in devices
    ]


class States:
    """What there is to say of a pool's devices beside their rates: temperature, errors, given up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._heat = Thermometer(report.device.pci for report in pool.reports)

    def now(self) -> dict[str, dict[str, object]]:
        """Facts by device; nothing for one that works and has no sensor."""
        heat = self._heat.latest()
        states: dict[str, dict[str, object]] = {}
        for title, report in zip(titles(self._pool), self._pool.reports):
            facts: dict[str, object] = {
                "temperature_c": heat.get(report.device.pci or ""),
                "errors": len(report.errors) or None,
                "engines_retired": report.retired or None,
            }
            known = {name: fact for name, fact in facts.items() if fact is not None}
            if known:
                states[title] = known
        return states
