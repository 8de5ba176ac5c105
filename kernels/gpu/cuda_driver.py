"""What the CUDA engine asks of a driver, and the one that answers through CuPy.

The seam is thin on purpose: memory, streams, events, copies, launches. Everything that decides something is on
the other side of it, in `cuda`, so that the same engine runs on any other driver, among them one that executes
the kernels on a CPU. Waiting is by events with blocking synchronisation: the thread sleeps until the device's
interrupt, it does not spin. Specified in protocol 01-post-tools, section 8 ("what GPU users need").
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kernels.errors import KernelError

Bytes = npt.NDArray[np.uint8]

Argument = np.uint32 | np.uint64
"""What a kernel receives: exactly as wide as its parameter; addresses are uint64."""

_OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY."""

DRIVER_VERSION_FILE = Path("/sys/module/nvidia/version")
"""The NVIDIA driver's version on Linux."""

_PROHIBITED = 2
"""cudaComputeModeProhibited"""

_CLOCK_KHZ, _MEMORY_CLOCK_KHZ, _MEMORY_BUS_BITS = 13, 36, 37
"""cudaDevAttrClockRate, cudaDevAttrMemoryClockRate, cudaDevAttrGlobalMemoryBusWidth"""

TRANSFERS_A_CLOCK = 2
"""Of the memory clock that NVIDIA's drivers tell, on every line of the bus."""


class DriverError(KernelError):
    """The driver refused or the device failed. The message names what was tried and the driver's answer."""


class OutOfMemory(DriverError):
    """The device has not that much memory left; less may do."""


@dataclass(frozen=True, slots=True)
class Properties:
    """The figures of a device that the engine decides with."""

    name: str
    multiprocessors: int
    capability: tuple[int, int]
    """Compute capability, major and minor."""
    registers: int
    """32-bit registers of one multiprocessor."""
    threads: int
    """Threads that one multiprocessor holds at most."""
    memory_bytes: int
    pci: str
    """domain:bus:device.function, lower case"""
    clock_hz: float | None = None
    """Of the multiprocessors, at most."""
    bandwidth: float | None = None
    """Bytes a second of the memory, at most."""


class Kernel(Protocol):
    """A compiled kernel, on one device."""

    name: str
    registers: int
    """Registers a thread."""


class Driver(Protocol):
    """One device. Calls may come from any thread; work on one stream runs in order."""

    properties: Properties

    def free_memory(self) -> int:
        """Bytes that can still be allocated."""

    def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Kernel]:
        """The named kernels of a CUDA C++ source. Raises `DriverError` with the compiler's words."""

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device. Raises `OutOfMemory`."""

    def free(self, address: int) -> None:
        """Gives back what `allocate` returned; waits for the work that uses it."""

    def pinned(self, size: int) -> Bytes:
        """Memory of the host that copies reach without a detour."""

    def stream(self) -> Any:
        """A new queue of work, independent of all others."""

    def event(self) -> Any:
        """A mark that `record` puts into a queue."""

    def upload(self, address: int, data: Bytes, stream: Any) -> None:
        """Queues a copy to the device; `data` is pinned and must not change before it is done."""

    def download(self, data: Bytes, address: int, stream: Any) -> None:
        """Queues a copy from the device into pinned memory."""

    def launch(self, kernel: Kernel, groups: int, size: int, arguments: Sequence[Argument], stream: Any) -> None:
        """Queues a kernel: `groups` work-groups of `size` items."""

    def record(self, event: Any, stream: Any) -> None:
        """Queues the mark behind the work that is there now."""

    def follow(self, stream: Any, event: Any) -> None:
        """Lets later work of the queue begin only after the mark."""

    def wait(self, event: Any) -> None:
        """Sleeps until the mark is reached. Raises `DriverError` where work before it failed."""

    def seconds(self, earlier: Any, later: Any) -> float:
        """The device's time between two marks that were reached."""

    def finish(self, stream: Any) -> None:
        """Sleeps until the queue is empty."""

    def close(self) -> None:
        """Gives streams, events and modules back; allocations are the caller's."""


class Absent(KernelError):
    """CUDA cannot be used here. The message says what was looked for and what is missing."""


def load_cupy() -> Any:
    """The module cupy, with at least one device that it can drive. Raises `Absent`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on a machine without CUDA it warns of what is reported below
            import cupy
    except ImportError as error:
        if error.name == "cupy":
            raise Absent("the Python package cupy is not installed (extra `cuda`)") from None
        raise Absent(f"the Python package cupy cannot be loaded: {_first_line(error)}") from error
    except Exception as error:  # a damaged installation raises whatever it likes
        raise Absent(f"the Python package cupy cannot be loaded: {_first_line(error)}") from error
    try:
        if cupy.cuda.runtime.is_hip:
            raise Absent("this cupy is made for ROCm; AMD cards are used through OpenCL")
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Absent:
        raise
    except Exception as error:
        raise Absent(f"cupy {cupy.__version__} finds no usable NVIDIA driver: {_first_line(error)}") from error
    if count == 0:
        raise Absent(f"cupy {cupy.__version__} and the NVIDIA driver are here, but no device")
    return cupy


def properties_of(cupy: Any, ordinal: int) -> Properties:
    """The figures of the device with that number. Raises `DriverError` where it may not be used."""
    try:
        found = cupy.cuda.runtime.getDeviceProperties(ordinal)
        pci = str(cupy.cuda.runtime.deviceGetPCIBusId(ordinal)).lower()
    except Exception as error:
        raise DriverError(f"CUDA device {ordinal} does not tell its properties: {_first_line(error)}") from error
    name = found["name"]
    properties = Properties(
        name=name.decode(errors="replace") if isinstance(name, bytes) else str(name),
        multiprocessors=int(found["multiProcessorCount"]),
        capability=(int(found["major"]), int(found["minor"])),
        registers=int(found["regsPerMultiprocessor"]),
        threads=int(found["maxThreadsPerMultiProcessor"]),
        memory_bytes=int(found["totalGlobalMem"]),
        pci=pci,
        clock_hz=_attribute(cupy, ordinal, _CLOCK_KHZ, 1e3),
        bandwidth=_bandwidth(cupy, ordinal),
    )
    if int(found.get("computeMode", 0)) == _PROHIBITED:
        raise DriverError(f"{properties.name} at {pci} is in compute mode `prohibited`; nvidia-smi -c 0 allows its use")
    return properties


def _attribute(cupy: Any, ordinal: int, number: int, unit: float) -> float | None:
    """A figure of a device in its unit; None where the driver does not tell it."""
    try:
        value = float(cupy.cuda.runtime.deviceGetAttribute(number, ordinal)) * unit
    except Exception:
        return None
    return value if value > 0 else None


def _bandwidth(cupy: Any, ordinal: int) -> float | None:
    clock = _attribute(cupy, ordinal, _MEMORY_CLOCK_KHZ, 1e3)
    width = _attribute(cupy, ordinal, _MEMORY_BUS_BITS, 1 / 8)
    return None if clock is None or width is None else TRANSFERS_A_CLOCK * clock * width


def driver_version(cupy: Any) -> str:
    """Version of CUDA that the installed driver supports, and before it the driver's own where the system shows it."""
    number = int(cupy.cuda.runtime.driverGetVersion())
    text = f"CUDA {number // 1000}.{number % 1000 // 10}"
    try:
        return f"{DRIVER_VERSION_FILE.read_text().strip()}, {text}"
    except OSError:
        return text


class CupyKernel:
    """A kernel of a `RawModule`."""

    def __init__(self, name: str, raw: Any) -> None:
        self.name = name
        self.raw = raw
        self.registers = int(raw.num_regs)


class CupyDriver:
    """Implements `Driver` with CuPy; memory comes straight from the driver, not from CuPy's pools.

    `pci` names the device. Raises `Absent` or `DriverError`.
    """

    def __init__(self, pci: str) -> None:
        self._cupy = load_cupy()
        self._runtime = self._cupy.cuda.runtime
        try:
            self._ordinal = int(self._runtime.deviceGetByPCIBusId(pci))
        except Exception as error:
            raise DriverError(f"no CUDA device at {pci} any more: {_first_line(error)}") from error
        self.properties = properties_of(self._cupy, self._ordinal)
        self._modules: list[Any] = []

    def free_memory(self) -> int:
        """See `Driver`."""
        with self._guard("asking for free memory"):
            free, _ = self._runtime.memGetInfo()
            return int(free)

    def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Kernel]:
        """See `Driver`. CuPy keeps what was compiled in its own cache on disk."""
        with self._guard(f"compiling the kernels with {' '.join(options)}"):
            module = self._cupy.RawModule(code=source, options=tuple(options), backend="nvrtc")
            kernels = {name: CupyKernel(name, module.get_function(name)) for name in names}
        self._modules.append(module)
        return kernels

    def allocate(self, size: int) -> int:
        """See `Driver`."""
        with self._guard(f"allocating {size / 2**20:,.0f} MiB"):
            return int(self._runtime.malloc(size))

    def free(self, address: int) -> None:
        """See `Driver`."""
        with self._guard("giving memory back"):
            self._runtime.free(address)

    def pinned(self, size: int) -> Bytes:
        """See `Driver`."""
        with self._guard(f"pinning {size / 2**20:,.1f} MiB of main memory"):
            return np.frombuffer(self._cupy.cuda.alloc_pinned_memory(size), np.uint8, size)

    def stream(self) -> Any:
        """See `Driver`."""
        with self._guard("making a stream"):
            return self._cupy.cuda.Stream(non_blocking=True)

    def event(self) -> Any:
        """See `Driver`."""
        with self._guard("making an event"):
            return self._cupy.cuda.Event(block=True)

    def upload(self, address: int, data: Bytes, stream: Any) -> None:
        """See `Driver`."""
        with self._guard("copying to the device"):
            kind = self._runtime.memcpyHostToDevice
            self._runtime.memcpyAsync(address, data.ctypes.data, data.nbytes, kind, stream.ptr)

    def download(self, data: Bytes, address: int, stream: Any) -> None:
        """See `Driver`."""
        with self._guard("copying from the device"):
            kind = self._runtime.memcpyDeviceToHost
            self._runtime.memcpyAsync(data.ctypes.data, address, data.nbytes, kind, stream.ptr)

    def launch(self, kernel: Kernel, groups: int, size: int, arguments: Sequence[Argument], stream: Any) -> None:
        """See `Driver`."""
        assert isinstance(kernel, CupyKernel)
        with self._guard(f"launching {kernel.name}, {groups} groups of {size}"), stream:
            kernel.raw((groups,), (size,), tuple(arguments))

    def record(self, event: Any, stream: Any) -> None:
        """See `Driver`."""
        with self._guard("recording an event"):
            event.record(stream)

    def follow(self, stream: Any, event: Any) -> None:
        """See `Driver`."""
        with self._guard("ordering two streams"):
            stream.wait_event(event)

    def wait(self, event: Any) -> None:
        """See `Driver`."""
        with self._guard("waiting for the device"):
            event.synchronize()

    def seconds(self, earlier: Any, later: Any) -> float:
        """See `Driver`."""
        with self._guard("reading the device's clock"):
            return float(self._cupy.cuda.get_elapsed_time(earlier, later)) / 1e3

    def finish(self, stream: Any) -> None:
        """See `Driver`. By an event: waiting for a stream would spin."""
        event = self.event()
        self.record(event, stream)
        self.wait(event)

    def close(self) -> None:
        """See `Driver`."""
        self._modules.clear()

    @contextlib.contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        """Makes the device current and turns what CuPy raises into this module's errors."""
        try:
            with self._cupy.cuda.Device(self._ordinal):
                yield
        except Exception as error:  # CuPy's errors have no common base
            kind = DriverError
            if isinstance(error, MemoryError) or getattr(error, "status", None) == _OUT_OF_MEMORY:
                kind = OutOfMemory
            raise kind(f"{what} failed: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
