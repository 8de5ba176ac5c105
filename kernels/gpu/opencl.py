"""The OpenCL driver, through pyopencl: a queue for kernels and one for what is read. `cuda` is the same for CUDA.

Completion is found by asking events: a blocking wait keeps a whole core spinning on NVIDIA's driver, callbacks come
from driver threads that do so as well, and neither can be given up when a driver hangs. The event of a copy waits for
its end when it is dropped, so every event is kept with its mark. Specified in protocol 01-post-tools, 1.3 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.devices.types import Device
from kernels.gpu import opencl_devices
from kernels.gpu.driver import Argument, Bytes, DriverError, OutOfMemory, first_line

PACKAGE = opencl_devices.PACKAGE
devices = opencl_devices.devices

_MEMORY_CODES = (-4, -6, -61)
"""MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_HOST_MEMORY, INVALID_BUFFER_SIZE. Drivers give memory when it is first used, so
a launch can fail for want of it."""

_OUT_OF_RESOURCES = -5
"""While memory is allocated this is a lack of it, too; later it means anything."""


@dataclass(frozen=True, slots=True)
class _Mark:
    events: tuple[Any, ...]
    """All since the mark before; the last one is the mark."""


class Driver:
    """Implements `driver.Driver`. Raises `DriverError`, or `KernelError` when the device is gone."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.numbers = opencl_devices.numbers_of(device, handle := opencl_devices.handle_of(device))
        self._cl = opencl_devices.load()
        self._since: list[Any] = []
        """Events since the last mark."""
        self._reading: list[Any] = []
        """Events of the last read."""
        with self._explained("opening it"):
            self._context = self._cl.Context([handle])
            profiling = self._cl.command_queue_properties.PROFILING_ENABLE
            self._compute = self._cl.CommandQueue(self._context, handle, profiling)
            self._copies = self._cl.CommandQueue(self._context, handle)

    def build(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Any]:
        """See `driver.Driver`. The driver keeps what was built."""
        with self._explained("building the kernel"):
            try:
                return self._built(source, options, names)
            except self._cl.Error:
                # a driver's cache of programs may have kept a broken one (a PoCL process that was killed leaves
                # such); another option makes it another program
                return self._built(source, [*options, "-DATTEMPT=2"], names)

    def _built(self, source: str, options: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        program = self._cl.Program(self._context, source).build(["-w", *options], cache_dir=False)
        return {name: self._cl.Kernel(program, name) for name in names}

    def registers(self, kernel: Any) -> int | None:
        """See `driver.Driver`. OpenCL has no such question."""
        return None

    def allocate(self, size: int) -> Any:
        """See `driver.Driver`. Memory is written to, because drivers give it only then."""
        with self._explained(f"allocating {size / 2**20:,.1f} MiB", (*_MEMORY_CODES, _OUT_OF_RESOURCES)):
            buffer = self._cl.Buffer(self._context, self._cl.mem_flags.READ_WRITE, size)
            self._cl.enqueue_fill_buffer(self._compute, buffer, np.uint32(0), 0, min(size, 1 << 16) // 4 * 4)
            self._compute.finish()
            return buffer

    def free(self, buffer: Any) -> None:
        """See `driver.Driver`."""
        with self._explained("giving memory back"):
            buffer.release()

    def host(self, size: int) -> Bytes:
        """See `driver.Driver`."""
        return np.empty(size, np.uint8)

    def upload(self, buffer: Any, data: Bytes) -> None:
        """See `driver.Driver`."""
        with self._explained("copying to the device"):
            self._since.append(self._cl.enqueue_copy(self._compute, buffer, data, is_blocking=False))

    def launch(
        self, kernel: Any, groups: int, size: int, arguments: Sequence[Argument], local: Sequence[int] = ()
    ) -> None:
        """See `driver.Driver`."""
        with self._explained(f"launching {groups} groups of {size}"):
            kernel.set_args(*arguments, *(self._cl.LocalMemory(size_bytes) for size_bytes in local))
            self._since.append(self._cl.enqueue_nd_range_kernel(self._compute, kernel, (groups * size,), (size,)))

    def mark(self) -> _Mark:
        """See `driver.Driver`."""
        with self._explained("sending the work to the device"):
            events = self._since or [self._cl.enqueue_marker(self._compute)]
            self._compute.flush()
        self._since = []
        return _Mark(tuple(events))

    def read(self, copies: Sequence[tuple[Bytes, Any]], after: _Mark) -> _Mark:
        """See `driver.Driver`."""
        events = self._reading = []  # kept also where the second copy is refused
        with self._explained("copying from the device"):
            for data, buffer in copies:
                behind = [after.events[-1]]
                events.append(self._cl.enqueue_copy(self._copies, data, buffer, wait_for=behind, is_blocking=False))
            self._copies.flush()
        return _Mark(tuple(events))

    def done(self, mark: _Mark) -> bool:
        """See `driver.Driver`."""
        with self._explained("computing"):
            last = mark.events[-1].command_execution_status
            if last > self._cl.command_execution_status.COMPLETE:
                return False
            # those behind one that failed only say that one before them did
            failed = [status for one in mark.events if (status := one.command_execution_status) < 0]
        if failed:
            raise self._error(f"computing failed: the driver reports error {failed[0]}", failed[0] in _MEMORY_CODES)
        return True

    def seconds(self, earlier: _Mark, later: _Mark) -> float:
        """See `driver.Driver`."""
        with self._explained("reading the device's clock"):
            return float(later.events[-1].profile.end - earlier.events[-1].profile.end) / 1e9

    def close(self) -> None:
        """See `driver.Driver`. What pyopencl holds goes with this object."""
        self._since.clear()

    @contextmanager
    def _explained(self, deed: str, memory_codes: Sequence[int] = _MEMORY_CODES) -> Iterator[None]:
        try:
            yield
        except self._cl.Error as error:
            short = getattr(error, "code", None) in memory_codes
            raise self._error(f"{deed} failed: {first_line(error)}", short) from None

    @staticmethod
    def _error(message: str, short: bool) -> DriverError:
        return OutOfMemory(message) if short else DriverError(message)
