"""Which CUDA devices are here, and the figures of one of them, through CuPy.

CUDA has no number of the reference's, which lists OpenCL devices only. Specified in protocol 01-post-tools, sections
1.1 and 8.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernels.devices.types import Device, PassedOver
from kernels.errors import KernelError
from kernels.gpu import plan as plan_gpu
from kernels.gpu.driver import first_line
from kernels.gpu.layout import DeviceNumbers
from kernels.gpu.sensors import TRANSFERS_A_CLOCK
from kernels.labels.memory import available_memory

PACKAGE = "cupy"

DRIVER_VERSION_FILE = Path("/sys/module/nvidia/version")
"""The NVIDIA driver's version on Linux."""

_PROHIBITED = 2
"""cudaComputeModeProhibited"""

_CLOCK_KHZ, _MEMORY_CLOCK_KHZ, _MEMORY_BUS_BITS = 13, 36, 37
"""cudaDevAttrClockRate, cudaDevAttrMemoryClockRate, cudaDevAttrGlobalMemoryBusWidth"""


@dataclass(frozen=True, slots=True)
class Properties:
    """The figures of a device."""

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
    bus_bits: int | None = None
    """Lines of the memory's bus."""
    integrated: bool = False
    """Whether its memory is the machine's main memory."""


def devices() -> tuple[list[Device], list[PassedOver]]:
    """The CUDA devices that can be used; what cannot be, and why. Never raises."""
    try:
        cupy = load()
        driver = driver_version(cupy)
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Absent as error:
        return [], [PassedOver("CUDA", str(error))]
    except Exception as error:  # whatever a driver raises
        return [], [PassedOver("CUDA", f"the driver does not answer: {first_line(error)}")]
    found: list[Device] = []
    refused: list[PassedOver] = []
    for ordinal in range(count):
        try:
            found.append(device_of(properties_of(cupy, ordinal), driver))
        except KernelError as error:
            refused.append(PassedOver("CUDA", str(error)))
        except Exception as error:  # a driver that leaves figures out, or tells what are none
            what = f"{type(error).__name__}: {first_line(error)}"
            refused.append(PassedOver("CUDA", f"device {ordinal} does not tell what it is: {what}"))
    return found, refused


def device_of(properties: Properties, driver: str) -> Device:
    """What a person sees of a CUDA device."""
    return Device(
        id=None,
        name=f"[GPU] CUDA/{properties.name}",
        device_class="GPU",
        backend="cuda",
        platform="CUDA",
        vendor="NVIDIA Corporation",
        driver=driver,
        memory_bytes=properties.memory_bytes,
        compute_units=properties.multiprocessors,
        pci=properties.pci,
        aliases=("cuda",),
    )


def numbers_of(properties: Properties, free: int | None = None) -> DeviceNumbers:
    """What the planner asks. A quarter of the memory an allocation: four find room where one of all does not."""
    return DeviceNumbers(
        kind="nvidia",
        memory_total=properties.memory_bytes,
        memory_free=available_memory() if properties.integrated else free,
        shared=properties.integrated,
        max_allocation=properties.memory_bytes // plan_gpu.MAX_BUFFERS,
        compute_units=properties.multiprocessors,
        max_group=1024,
        lane_op=2,  # the CUDA dialect has one way to exchange lanes; any number but 0 says that it is quick
        rot_mul=True,
        bus_bits=properties.bus_bits,
        capability=properties.capability,
        clock_hz=properties.clock_hz,
        bandwidth=properties.bandwidth,
        unit_registers=properties.registers,
        unit_threads=properties.threads,
    )


class Absent(KernelError):
    """CUDA cannot be used here. The message says what was looked for and what is missing."""


def load() -> Any:
    """The module cupy, with at least one device that it can drive. Raises `Absent`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on a machine without CUDA it warns of what is reported below
            cupy: Any = importlib.import_module(PACKAGE)
    except ImportError as error:
        if error.name == "cupy":
            raise Absent("the Python package cupy is not installed (extra `cuda`)") from None
        raise Absent(f"the Python package cupy cannot be loaded: {first_line(error)}") from error
    except Exception as error:  # a damaged installation raises whatever it likes
        raise Absent(f"the Python package cupy cannot be loaded: {first_line(error)}") from error
    try:
        if cupy.cuda.runtime.is_hip:
            raise Absent("this cupy is made for ROCm; AMD cards are used through OpenCL")
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Absent:
        raise
    except Exception as error:
        raise Absent(f"cupy {cupy.__version__} finds no usable NVIDIA driver: {first_line(error)}") from error
    if count == 0:
        raise Absent(f"cupy {cupy.__version__} and the NVIDIA driver are here, but no device")
    return cupy


def ordinal_of(cupy: Any, device: Device) -> int:
    """The number that CUDA gives a device now. Raises `KernelError` when it is gone."""
    try:
        return int(cupy.cuda.runtime.deviceGetByPCIBusId(device.pci or ""))
    except Exception as error:
        raise KernelError(f"{device.name} at {device.pci} is not there any more: {first_line(error)}") from error


def properties_of(cupy: Any, ordinal: int) -> Properties:
    """The figures of the device with that number. Raises `KernelError` where it may not be used."""
    try:
        found = cupy.cuda.runtime.getDeviceProperties(ordinal)
        pci = str(cupy.cuda.runtime.deviceGetPCIBusId(ordinal)).lower()
    except Exception as error:
        raise KernelError(f"CUDA device {ordinal} does not tell its properties: {first_line(error)}") from error
    name, bits = found["name"], _attribute(cupy, ordinal, _MEMORY_BUS_BITS, 1)
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
        bus_bits=None if bits is None else int(bits),
        integrated=bool(found.get("integrated", 0)),
    )
    if int(found.get("computeMode", 0)) == _PROHIBITED:
        raise KernelError(f"{properties.name} at {pci} is in compute mode `prohibited`; nvidia-smi -c 0 allows its use")
    return properties


def _attribute(cupy: Any, ordinal: int, number: int, unit: float) -> float | None:
    """A figure of a device in its unit; None where the driver does not tell it."""
    try:
        value = float(cupy.cuda.runtime.deviceGetAttribute(number, ordinal)) * unit
    except Exception:  # a question that a driver does not know is an error of its own kind
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
