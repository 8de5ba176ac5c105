"""The GPU backends behind one interface, for what treats them alike: discovery, trial, tuning, engines.

A backend's own module says what its driver can do; nothing here touches a driver before it is asked to.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kernels.devices.types import Device, Engine, PassedOver
from kernels.errors import KernelError
from kernels.gpu import plan as plan_gpu
from kernels.gpu.plan import DeviceNumbers, Layout, Tuning

Note = Callable[[str], None]


class Backend(Protocol):
    """What a GPU backend does. Every method may raise `KernelError`, except the first two."""

    package: str
    """The Python package that it needs."""

    def devices(self) -> list[Device]:
        """The devices of its driver."""

    def passed_over(self) -> list[PassedOver]:
        """What it cannot use, and why."""

    def numbers(self, device: Device) -> DeviceNumbers:
        """What the planner has to know."""

    def engine(self, device: Device, scrypt_n: int, tuning: Tuning) -> Engine:
        """A single engine, to measure with."""

    def engines(
        self, device: Device, scrypt_n: int, memory_bytes: int | None, tuning: Tuning | None, note: Note
    ) -> Sequence[Engine]:
        """The engines of a device for a pool."""

    def first_label(self, device: Device, scrypt_n: int, layout: Layout) -> bytes:
        """Label 0 of the zero commitment, 32 bytes, from the smallest engine of this layout."""


class _OpenCL:
    package = "pyopencl"

    def devices(self) -> list[Device]:
        from kernels.gpu import opencl

        return opencl.devices()

    def passed_over(self) -> list[PassedOver]:
        from kernels.gpu import opencl

        return opencl.passed_over()

    def numbers(self, device: Device) -> DeviceNumbers:
        from kernels.gpu import opencl

        return opencl.numbers(device)

    def engine(self, device: Device, scrypt_n: int, tuning: Tuning) -> Engine:
        from kernels.gpu import opencl

        return opencl.LabelEngine(device, scrypt_n, tuning=tuning)

    def engines(
        self, device: Device, scrypt_n: int, memory_bytes: int | None, tuning: Tuning | None, note: Note
    ) -> Sequence[Engine]:
        from kernels.gpu import opencl

        return opencl.engines(device, scrypt_n, 1, memory_bytes, tuning=tuning, note=note)

    def first_label(self, device: Device, scrypt_n: int, layout: Layout) -> bytes:
        from kernels.gpu import opencl

        return opencl.first_label(device, scrypt_n, layout)


class _Notes(list[str]):
    """A list that passes on what is added to it."""

    def __init__(self, earlier: Sequence[str], note: Note) -> None:
        super().__init__()
        self._note = note
        for message in earlier:
            self.append(message)

    def append(self, message: str) -> None:
        super().append(message)
        self._note(message)


class _Cuda:
    package = "cupy"

    def devices(self) -> list[Device]:
        from kernels.gpu import cuda

        return cuda.devices()

    def passed_over(self) -> list[PassedOver]:
        from kernels.gpu import cuda

        reason = cuda.absence()
        return [] if reason is None else [PassedOver("CUDA", reason)]

    def numbers(self, device: Device) -> DeviceNumbers:
        from kernels.gpu import cuda_driver, cuda_plan

        driver = cuda_driver.CupyDriver(device.pci or "")
        return cuda_plan.numbers_of(driver.properties, driver.free_memory())

    def engine(self, device: Device, scrypt_n: int, tuning: Tuning) -> Engine:
        return self._engine(device, scrypt_n, None, tuning, lambda message: None)

    def engines(
        self, device: Device, scrypt_n: int, memory_bytes: int | None, tuning: Tuning | None, note: Note
    ) -> Sequence[Engine]:
        engine = self._engine(device, scrypt_n, memory_bytes, tuning, note)
        return [engine, engine]

    def first_label(self, device: Device, scrypt_n: int, layout: Layout) -> bytes:
        small = layout.whole * (layout.label_bytes(scrypt_n) + 16 * plan_gpu.SIDE_BYTES)
        engine = self._engine(device, scrypt_n, 2 * small, Tuning(layout), lambda message: None)
        return engine.labels32([bytes(32)], [0])[0].tobytes()

    def _engine(
        self, device: Device, scrypt_n: int, memory_bytes: int | None, tuning: Tuning | None, note: Note
    ) -> Any:
        from kernels.gpu import cuda

        layout = None if tuning is None else tuning.layout
        if tuning is not None and tuning.share < 1:
            allowed = int(plan_gpu.budget(self.numbers(device), memory_bytes) * tuning.share)
            memory_bytes = allowed
        engine = cuda.LabelEngine(device, scrypt_n, layout=layout, memory_bytes=memory_bytes)
        engine.notes = _Notes(engine.notes, note)
        return engine


_BACKENDS: dict[str, Backend] = {"cuda": _Cuda(), "opencl": _OpenCL()}


def of(name: str) -> Backend:
    """The backend of a name ("cuda", "opencl"). Raises `KernelError` for any other."""
    if name not in _BACKENDS:
        raise KernelError(f"backend {name!r} is unknown, expected one of {', '.join(_BACKENDS)}")
    return _BACKENDS[name]


@functools.cache
def kernel_hash() -> str:
    """Names the kernel source, for what is remembered about it."""
    return hashlib.sha256(plan_gpu.source().encode()).hexdigest()[:16]
