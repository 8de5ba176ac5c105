"""The CUDA driver, through CuPy: a stream for kernels and one for what is read. `opencl` is the same for OpenCL.

Kernels are compiled by NVRTC; CuPy keeps what was compiled on disk. Memory comes straight from the driver, not from
CuPy's pools. Completion is found by asking events: neither a wait that spins nor one that sleeps can be given up when a
driver hangs. Specified in protocol 01-post-tools, sections 1.3 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.devices.types import Device
from kernels.gpu import cuda_devices
from kernels.gpu.driver import Argument, Bytes, DriverError, OutOfMemory, first_line

PACKAGE = cuda_devices.PACKAGE
devices = cuda_devices.devices

STANDARD = "-std=c++17"

_OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY."""

_NOT_READY = 600
"""cudaErrorNotReady"""


@dataclass(frozen=True, slots=True)
class _Mark:
    event: Any


class Driver:
    """Implements `driver.Driver`. Raises `DriverError`, or `KernelError` when the device is gone."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._cupy = cuda_devices.load()
        self._runtime = self._cupy.cuda.runtime
        self._ordinal = cuda_devices.ordinal_of(self._cupy, device)
        with self._explained("opening it"):
            free, _ = self._runtime.memGetInfo()
            self._compute = self._cupy.cuda.Stream(non_blocking=True)
            self._copies = self._cupy.cuda.Stream(non_blocking=True)
        properties = cuda_devices.properties_of(self._cupy, self._ordinal)
        self.numbers = cuda_devices.numbers_of(properties, int(free))

    def build(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Any]:
        """See `driver.Driver`."""
        with self._explained("building the kernel"):
            module = self._cupy.RawModule(code=source, options=(STANDARD, *options), backend="nvrtc")
            return {name: module.get_function(name) for name in names}

    def registers(self, kernel: Any) -> int | None:
        """See `driver.Driver`."""
        with self._explained("asking for registers"):
            return int(kernel.num_regs)

    def allocate(self, size: int) -> np.uint64:
        """See `driver.Driver`. An address."""
        with self._explained(f"allocating {size / 2**20:,.1f} MiB"):
            return np.uint64(self._runtime.malloc(size))

    def free(self, buffer: np.uint64) -> None:
        """See `driver.Driver`."""
        with self._explained("giving memory back"):
            self._runtime.free(int(buffer))

    def host(self, size: int) -> Bytes:
        """See `driver.Driver`. Pinned."""
        with self._explained(f"pinning {size / 2**20:,.1f} MiB of main memory"):
            return np.frombuffer(self._cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def upload(self, buffer: np.uint64, data: Bytes) -> None:
        """See `driver.Driver`."""
        with self._explained("copying to the device"):
            kind = self._runtime.memcpyHostToDevice
            self._runtime.memcpyAsync(int(buffer), data.ctypes.data, data.nbytes, kind, self._compute.ptr)

    def launch(
        self, kernel: Any, groups: int, size: int, arguments: Sequence[Argument], local: Sequence[int] = ()
    ) -> None:
        """See `driver.Driver`. What a work-group shares is declared in the kernel."""
        with self._explained(f"launching {groups} groups of {size}"), self._compute:
            kernel((groups,), (size,), tuple(arguments))

    def mark(self) -> _Mark:
        """See `driver.Driver`."""
        with self._explained("sending the work to the device"):
            return self._marked(self._compute)

    def read(self, copies: Sequence[tuple[Bytes, np.uint64]], after: _Mark) -> _Mark:
        """See `driver.Driver`."""
        with self._explained("copying from the device"):
            self._copies.wait_event(after.event)
            for data, buffer in copies:
                kind = self._runtime.memcpyDeviceToHost
                self._runtime.memcpyAsync(data.ctypes.data, int(buffer), data.nbytes, kind, self._copies.ptr)
            return self._marked(self._copies)

    def _marked(self, stream: Any) -> _Mark:
        event = self._cupy.cuda.Event(block=True)
        event.record(stream)
        return _Mark(event)

    def done(self, mark: _Mark) -> bool:
        """See `driver.Driver`."""
        with self._explained("computing"):
            status = int(self._runtime.eventQuery(mark.event.ptr))
            if status not in (0, _NOT_READY):
                raise self._runtime.CUDARuntimeError(status)
        return status == 0

    def seconds(self, earlier: _Mark, later: _Mark) -> float:
        """See `driver.Driver`."""
        with self._explained("reading the device's clock"):
            return float(self._cupy.cuda.get_elapsed_time(earlier.event, later.event)) / 1e3

    def close(self) -> None:
        """See `driver.Driver`. What CuPy holds goes with this object."""

    @contextmanager
    def _explained(self, deed: str) -> Iterator[None]:
        try:
            with self._cupy.cuda.Device(self._ordinal):
                yield
        except Exception as error:  # CuPy's errors have no common base
            short = isinstance(error, MemoryError) or getattr(error, "status", None) == _OUT_OF_MEMORY
            raise self._error(f"{deed} failed: {first_line(error)}", short) from error

    @staticmethod
    def _error(message: str, short: bool) -> DriverError:
        return OutOfMemory(message) if short else DriverError(message)
