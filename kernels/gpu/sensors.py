"""What a graphics card's driver tells beside computing: temperature, free memory, bandwidth.

NVIDIA's management library is asked directly (it is part of the driver); AMD's and Intel's kernel drivers show the
figures as files below the card's PCI device. Whatever is absent is None; nothing here raises.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PCI_DEVICES = Path("/sys/bus/pci/devices")
KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
_NVML_TEMPERATURE_GPU = 0
_NVML_CLOCK_MEMORY = 2
TRANSFERS_A_CLOCK = 2
"""Of the memory clock that NVIDIA's drivers tell, on every line of the bus."""

SENSOR_SECONDS = 2.0
"""How often the drivers are asked for temperatures."""

ANSWER_SECONDS = 0.2
"""How long an answer is waited for; a later one is seen at the next look."""


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
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        return library if library.nvmlInit_v2() == 0 else None
    except (OSError, AttributeError):
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


class Thermometer:
    """Temperatures of cards, read by a thread of its own: with a card that hangs the question may hang as well."""

    def __init__(self, addresses: Iterable[str | None]) -> None:
        self._addresses = [pci for pci in addresses if pci is not None]
        self._heat: dict[str, float | None] = {}
        self._asked_at = float("-inf")
        self._answered = threading.Event()
        self._answered.set()

    def latest(self) -> dict[str, float | None]:
        """Degrees Celsius by PCI address, a few seconds old at most while the drivers answer."""
        if self._addresses and self._answered.is_set() and time.monotonic() - self._asked_at >= SENSOR_SECONDS:
            self._asked_at = time.monotonic()
            self._answered.clear()
            threading.Thread(target=self._ask, name="sensors", daemon=True).start()
            self._answered.wait(ANSWER_SECONDS)
        return dict(self._heat)

    def _ask(self) -> None:
        self._heat = {pci: read(pci).temperature_c for pci in self._addresses}
        self._answered.set()


def memory_bandwidth(pci: str | None, nvml: Any = None) -> float | None:
    """Bytes a second that the memory of an NVIDIA card moves at most; None for others, or where it is not told."""
    library = nvml if nvml is not None else _nvml()
    bits = _nvml_figure(library, pci, "nvmlDeviceGetMemoryBusWidth")
    megahertz = _nvml_figure(library, pci, "nvmlDeviceGetMaxClockInfo", _NVML_CLOCK_MEMORY)
    return None if bits is None or megahertz is None else TRANSFERS_A_CLOCK * megahertz * 1e6 * bits / 8 or None


def bus_bits(pci: str | None, nvml: Any = None, nodes: Path = KFD_NODES) -> int | None:
    """Lines of the bus of a card's memory, as its driver says: NVIDIA's library, AMD's description of its nodes."""
    if pci is None:
        return None
    library = nvml if nvml is not None else _nvml()
    return _nvml_figure(library, pci, "nvmlDeviceGetMemoryBusWidth") or _kfd_bus_bits(pci, nodes)


def _nvml_figure(library: Any, pci: str | None, question: str, *what: int) -> int | None:
    handle, figure = ctypes.c_void_p(), ctypes.c_uint()
    if pci is None or library is None:
        return None
    try:
        if library.nvmlDeviceGetHandleByPciBusId_v2(pci.encode(), ctypes.byref(handle)) != 0:
            return None
        if getattr(library, question)(handle, *what, ctypes.byref(figure)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return figure.value or None


def _kfd_bus_bits(pci: str, nodes: Path) -> int | None:
    """The width of the widest memory of the node at a PCI address, from the files of Linux's driver for AMD cards."""
    domain, bus, rest = pci.split(":")
    slot, function = rest.split(".")
    location = int(bus, 16) << 8 | int(slot, 16) << 3 | int(function, 16)
    for node in nodes.glob("*/properties"):
        facts = _facts(node)
        if (facts.get("location_id"), facts.get("domain", 0)) != (location, int(domain, 16)):
            continue
        widths = [_facts(bank).get("width", 0) for bank in node.parent.glob("mem_banks/*/properties")]
        return max(widths, default=0) or None
    return None


def _facts(file: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


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
