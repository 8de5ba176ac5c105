"""Which OpenCL devices are here, with the reference's ids, names and filters, and the figures of one of them.

Specified in protocol 01-post-tools, sections 1.1 and 8.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import re
from typing import Any

from kernels.devices.types import Device, PassedOver
from kernels.errors import KernelError
from kernels.gpu import sensors
from kernels.gpu.driver import first_line
from kernels.gpu.layout import DeviceNumbers
from kernels.gpu.pocl import lacks as pocl_lacks
from kernels.labels.memory import available_memory

PACKAGE = "pyopencl"
PLATFORMS_FILTER = "POST_OCL_PLATFORMS_BLACKLIST"
DEVICES_FILTER = "POST_OCL_DEVICES_BLACKLIST"

_PCI_BUS_INFO_KHR = 0x410F
"""CL_DEVICE_PCI_BUS_INFO_KHR of the extension cl_khr_pci_bus_info, which pyopencl does not know."""


def devices() -> tuple[list[Device], list[PassedOver]]:
    """OpenCL devices in platform and device order; what cannot be used, and why. Never raises."""
    if importlib.util.find_spec("pyopencl") is None:
        reason = (
            "Python package pyopencl not installed (in smesher's folder: make install, or pip install '.[opencl]', "
            "without a GPU '.[pocl]')"
        )
        return [], [PassedOver("OpenCL", reason)]
    try:
        cl = load()
        platforms = cl.get_platforms()
    except Exception as error:  # the loader's answer to an absent driver is an exception of its own
        return [], [PassedOver("OpenCL", f"no platform: {first_line(error)}; install the GPU's OpenCL driver")]
    if not platforms:
        return [], [PassedOver("OpenCL", "no platform; install the GPU's OpenCL driver")]
    found: list[Device] = []
    passed: list[PassedOver] = []
    hidden_platforms, hidden_devices = (_filter(name, passed) for name in (PLATFORMS_FILTER, DEVICES_FILTER))
    for number, platform in enumerate(platforms):
        name = str(number)
        try:
            name = platform.name.strip()
            if hidden_platforms is not None and hidden_platforms.search(name):
                passed.append(PassedOver(f"OpenCL platform {name}", f"filtered by {PLATFORMS_FILTER}"))
                continue
            listed = platform.get_devices()
        except Exception as error:  # a platform without devices is an error to some drivers
            passed.append(PassedOver(f"OpenCL platform {name}", f"no device: {first_line(error)}"))
            continue
        if not listed:
            passed.append(PassedOver(f"OpenCL platform {name}", "no device"))
        for place, one in enumerate(listed):
            gpus = sum(device.device_class == "GPU" for device in found)
            judged = _judged(cl, one, name, f"{number}:{place}", gpus, hidden_devices)
            if isinstance(judged, Device):
                found.append(judged)
            else:
                passed.append(judged)
    return found, passed


def _judged(
    cl: Any, device: Any, platform: str, handle: str, gpus: int, hidden: re.Pattern[str] | None
) -> Device | PassedOver:
    """One device, or why it is not used; one that fails while it is asked what it is hides no other."""
    title = f"OpenCL device {platform}/{handle}"
    try:
        name = device.name.strip()
        title = f"OpenCL device {platform}/{name}"
        reason = _unusable(cl, device)
        if hidden is not None and hidden.search(name):
            reason = f"filtered by {DEVICES_FILTER}"
        return PassedOver(title, reason) if reason else _described(cl, device, handle, gpus)
    except Exception as error:  # whatever a driver raises
        return PassedOver(title, f"it does not tell what it is: {first_line(error)}")


def load() -> Any:
    """The module pyopencl."""
    return importlib.import_module(PACKAGE)


def _filter(variable: str, passed: list[PassedOver]) -> re.Pattern[str] | None:
    expression = os.environ.get(variable)
    if not expression:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        passed.append(
            PassedOver(f"filter {variable}", f"{expression[:60]!r} is no regular expression ({error}): not used")
        )
        return None


def _unusable(cl: Any, device: Any) -> str:
    if not device.type & (cl.device_type.GPU | cl.device_type.CPU):
        return "neither a GPU nor a CPU"
    if not device.available:
        return "the driver says that it is not available"
    if not device.compiler_available:
        return "its driver has no compiler"
    return pocl_lacks(device.platform.version) or ""


def _described(cl: Any, device: Any, handle: str, gpus: int) -> Device:
    platform, name = device.platform.name.strip(), device.name.strip()
    is_gpu = bool(device.type & cl.device_type.GPU)
    pocl = platform == "Portable Computing Language"
    return Device(
        id=gpus if is_gpu else None,
        name=f"[{'GPU' if is_gpu else 'CPU'}] {platform}/{name}",
        device_class="GPU" if is_gpu else "CPU",
        backend="opencl",
        platform=f"{platform}, {device.platform.version.strip()}",
        vendor=device.vendor.strip(),
        driver=device.driver_version.strip(),
        memory_bytes=int(device.global_mem_size),
        compute_units=int(device.max_compute_units),
        pci=_pci(cl, device),
        aliases=("opencl", "pocl") if pocl else ("opencl",),
        handle=handle,
    )


def _pci(cl: Any, device: Any) -> str | None:
    """The address in the system's form, by whichever of three extensions the driver has; None where it has none."""
    for ask in (_pci_khr, _pci_nvidia, _pci_amd):
        try:
            domain, bus, slot, function = ask(cl, device)
        except Exception:  # a question that a driver does not know is an error of its own kind
            continue
        return f"{domain:04x}:{bus:02x}:{slot:02x}.{function}"
    return None


def _pci_khr(cl: Any, device: Any) -> tuple[int, ...]:
    if "cl_khr_pci_bus_info" not in device.extensions.split():
        raise KernelError("the driver does not have the extension")
    answer, size = (ctypes.c_uint32 * 4)(), ctypes.c_size_t()
    loader = ctypes.CDLL(cl._cl.__file__)  # finds the functions of the loader that pyopencl itself uses
    handle, what = ctypes.c_void_p(device.int_ptr), ctypes.c_uint32(_PCI_BUS_INFO_KHR)
    status = loader.clGetDeviceInfo(handle, what, ctypes.c_size_t(16), answer, ctypes.byref(size))
    if status != 0 or size.value != 16:
        raise KernelError(f"the driver answers {status} and {size.value} bytes")
    return tuple(answer)


def _pci_nvidia(cl: Any, device: Any) -> tuple[int, ...]:
    slot, domain = int(device.pci_slot_id_nv), int(getattr(device, "pci_domain_id_nv", 0) or 0)
    return domain, int(device.pci_bus_id_nv), slot >> 3, slot & 7


def _pci_amd(cl: Any, device: Any) -> tuple[int, ...]:
    place = device.topology_amd  # its fields are signed bytes
    return 0, int(place.bus) & 0xFF, int(place.device) & 0xFF, int(place.function) & 7


def handle_of(device: Device) -> Any:
    """The driver's own object. Raises `KernelError` when another device, or none, is in its place now."""
    platform, place = (int(part) for part in device.handle.split(":"))
    try:
        found = load().get_platforms()[platform].get_devices()[place]
    except Exception as error:
        raise KernelError(f"{device.name} is not there any more: {first_line(error)}") from None
    if found.name.strip() != device.name.split("/", 1)[-1]:
        raise KernelError(f"{device.name} is not there any more: {found.name.strip()} is in its place")
    return found


def numbers_of(device: Device, handle: Any) -> DeviceNumbers:
    """What the planner has to know."""
    cl, vendor = load(), device.vendor.lower()
    kind = next((name for name, word in _VENDORS if word in vendor), "other")
    if handle.type & cl.device_type.CPU:
        kind = "cpu"
    shared = kind != "cpu" and bool(handle.host_unified_memory)
    lane_op = {"nvidia": 2, "amd": 3}.get(kind, 1 if "cl_khr_subgroup_shuffle" in handle.extensions.split() else 0)
    capability = _capability(handle) if kind == "nvidia" else None
    return DeviceNumbers(
        kind=kind,
        memory_total=int(handle.global_mem_size),
        memory_free=available_memory() if shared else _free(device, handle),
        shared=shared,
        max_allocation=int(handle.max_mem_alloc_size),
        compute_units=int(handle.max_compute_units),
        max_group=int(handle.max_work_group_size),
        lane_op=0 if kind == "cpu" else lane_op,
        bus_bits=sensors.bus_bits(device.pci),
        capability=capability,
        clock_hz=int(handle.max_clock_frequency) * 1e6 or None,
        bandwidth=sensors.memory_bandwidth(device.pci) if kind == "nvidia" else None,
    )


def _free(device: Device, handle: Any) -> int | None:
    if (free := sensors.read(device.pci).memory_free) is not None:
        return free
    try:
        return int(handle.global_free_memory_amd[0]) << 10
    except Exception:  # only AMD's driver has this figure
        return None


def _capability(handle: Any) -> tuple[int, int] | None:
    """NVIDIA's number of the architecture; drivers that do not tell it raise."""
    try:
        return int(handle.compute_capability_major_nv), int(handle.compute_capability_minor_nv)
    except Exception:  # as for other questions that a driver does not know
        return None


_VENDORS = (("nvidia", "nvidia"), ("amd", "advanced micro"), ("amd", "amd"), ("intel", "intel"))
