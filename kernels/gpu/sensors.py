"""What a graphics card's driver tells beside computing: temperature, free memory, bandwidth.

NVIDIA's management library is asked directly (it is part of the driver); AMD's and Intel's kernel drivers show the
figures as files below the card's PCI device. Whatever is absent is None; nothing here raises.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PCI_DEVICES = Path("/sys/bus/pci/devices")
_NVML_TEMPERATURE_GPU = 0
_NVML_CLOCK_MEMORY = 2
_TRANSFERS_A_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a card."""

    temperature_c: float | None = None
    memory_free: int | None = None
    """Bytes."""


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@functools.cache
def _nvml() -> Any:
    """NVIDIA's management library, ready to be asked; None where there is none."""
    for name in ("libnvidia-ml.so.1", "nvml.dll"):
        try:
            library = ctypes.CDLL(name)
            if library.nvmlInit_v2() == 0:
                return library
        except (OSError, AttributeError):
            continue
    return None


def read(pci: str | None, nvml: Any = None, root: Path = PCI_DEVICES) -> Reading:
    """The figures of the card at a PCI address ("0000:01:00.0"); all None when it is unknown.

    `nvml` and `root` stand in for the library and the system's files in tests.
    """
    if pci is None:
        return Reading()
    folder = root / pci
    if (folder / "mem_info_vram_total").exists() or list(folder.glob("hwmon/hwmon*/temp1_input")):
        return _from_files(folder)
    library = nvml if nvml is not None else _nvml()
    return Reading() if library is None else _from_nvml(library, pci)


def memory_bandwidth(pci: str | None, nvml: Any = None) -> float | None:
    """Bytes a second that the memory of an NVIDIA card moves at most; None for others, or where it is not told."""
    library = nvml if nvml is not None else _nvml()
    if pci is None or library is None:
        return None
    handle, megahertz, bits = ctypes.c_void_p(), ctypes.c_uint(), ctypes.c_uint()
    try:
        if (
            library.nvmlDeviceGetHandleByPciBusId_v2(pci.encode(), ctypes.byref(handle)) != 0
            or library.nvmlDeviceGetMaxClockInfo(handle, _NVML_CLOCK_MEMORY, ctypes.byref(megahertz)) != 0
            or library.nvmlDeviceGetMemoryBusWidth(handle, ctypes.byref(bits)) != 0
        ):
            return None
    except (OSError, AttributeError):
        return None
    return _TRANSFERS_A_CLOCK * megahertz.value * 1e6 * bits.value / 8 or None


def _from_files(folder: Path) -> Reading:
    heat = [value for file in sorted(folder.glob("hwmon/hwmon*/temp1_input")) if (value := _number(file)) is not None]
    total, used = _number(folder / "mem_info_vram_total"), _number(folder / "mem_info_vram_used")
    return Reading(
        temperature_c=heat[0] / 1000 if heat else None,
        memory_free=total - used if total is not None and used is not None else None,
    )


def _from_nvml(library: Any, pci: str) -> Reading:
    handle = ctypes.c_void_p()
    try:
        if library.nvmlDeviceGetHandleByPciBusId_v2(pci.encode(), ctypes.byref(handle)) != 0:
            return Reading()
        heat, memory = ctypes.c_uint(), _Memory()
        knows_heat = library.nvmlDeviceGetTemperature(handle, _NVML_TEMPERATURE_GPU, ctypes.byref(heat)) == 0
        knows_memory = library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
    except (OSError, AttributeError):
        return Reading()
    return Reading(float(heat.value) if knows_heat else None, int(memory.free) if knows_memory else None)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
