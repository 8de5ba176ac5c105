"""The OpenCL backend: `devices`, `engines` and `LabelEngine` on the kernel source `labels.cl`.

All engines of a device share its lookup memory and one queue (`opencl_card`): while one's labels are computed,
those of the other are read, checked and written. Ids, names and filters are the reference's. Specified in protocol
01-post-tools, sections 1.1, 1.3 and 8.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.devices.types import Device, Labels, PassedOver, Stopped, VrfCandidate
from kernels.errors import KernelError
from kernels.gpu import plan as plan_gpu
from kernels.gpu import sensors
from kernels.gpu.opencl_card import CANDIDATE_WORDS, Card, CommandFailed, Faults, Side, first_line
from kernels.gpu.plan import DeviceNumbers, Layout, Plan, Tuning
from kernels.gpu.pocl import lacks as pocl_lacks

PLATFORMS_FILTER = "POST_OCL_PLATFORMS_BLACKLIST"
DEVICES_FILTER = "POST_OCL_DEVICES_BLACKLIST"

# -- what is here --------------------------------------------------------------------------------------------------


def devices() -> list[Device]:
    """OpenCL devices in platform and device order; empty where there is no package, driver or device."""
    return _look()[0]


def passed_over() -> list[PassedOver]:
    """What was looked for and cannot be used, and why."""
    return _look()[1]


def _driver() -> Any:
    return importlib.import_module("pyopencl")


def _look() -> tuple[list[Device], list[PassedOver]]:
    if importlib.util.find_spec("pyopencl") is None:
        reason = (
            "Python package pyopencl not installed (in smesher's folder: make install, or pip install '.[opencl]', "
            "without a GPU '.[pocl]')"
        )
        return [], [PassedOver("OpenCL", reason)]
    try:
        cl = _driver()
        platforms = cl.get_platforms()
    except Exception as error:  # the loader's answer to an absent driver is an exception of its own
        return [], [PassedOver("OpenCL", f"no platform: {first_line(error)}; install the GPU's OpenCL driver")]
    if not platforms:
        return [], [PassedOver("OpenCL", "no platform; install the GPU's OpenCL driver")]
    found: list[Device] = []
    passed: list[PassedOver] = []
    hidden_platforms, hidden_devices = (_filter(name, passed) for name in (PLATFORMS_FILTER, DEVICES_FILTER))
    for number, platform in enumerate(platforms):
        name = platform.name.strip()
        if hidden_platforms is not None and hidden_platforms.search(name):
            passed.append(PassedOver(f"OpenCL platform {name}", f"filtered by {PLATFORMS_FILTER}"))
            continue
        try:
            listed = platform.get_devices()
        except Exception as error:  # a platform without devices is an error to some drivers
            passed.append(PassedOver(f"OpenCL platform {name}", f"no device: {first_line(error)}"))
            continue
        if not listed:
            passed.append(PassedOver(f"OpenCL platform {name}", "no device"))
        for place, one in enumerate(listed):
            reason = _unusable(cl, one)
            title = f"OpenCL device {name}/{one.name.strip()}"
            if hidden_devices is not None and hidden_devices.search(one.name.strip()):
                reason = f"filtered by {DEVICES_FILTER}"
            if reason:
                passed.append(PassedOver(title, reason))
                continue
            gpus = sum(device.device_class == "GPU" for device in found)
            found.append(_described(cl, one, f"{number}:{place}", gpus))
    return found, passed


def _filter(variable: str, passed: list[PassedOver]) -> re.Pattern[str] | None:
    expression = os.environ.get(variable)
    if not expression:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        passed.append(PassedOver(f"filter {variable}", f"{expression!r} is no regular expression ({error}): not used"))
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
        pci=_pci(device),
        aliases=("opencl", "pocl") if pocl else ("opencl",),
        handle=handle,
    )


def _pci(device: Any) -> str | None:
    """The address in the system's form; drivers that do not tell it raise."""
    try:
        slot = int(device.pci_slot_id_nv)
        domain = int(getattr(device, "pci_domain_id_nv", 0) or 0)
        return f"{domain:04x}:{int(device.pci_bus_id_nv):02x}:{slot >> 3:02x}.{slot & 7}"
    except Exception:
        pass
    try:
        place = device.topology_amd
        return f"0000:{int(place.bus) & 0xFF:02x}:{int(place.device) & 0xFF:02x}.{int(place.function) & 7}"
    except Exception:
        return None


def _handle(device: Device) -> Any:
    """The driver's own object. Raises `KernelError` when another device, or none, is in its place now."""
    platform, place = (int(part) for part in device.handle.split(":"))
    try:
        found = _driver().get_platforms()[platform].get_devices()[place]
    except Exception as error:
        raise KernelError(f"{device.name} is not there any more: {first_line(error)}") from None
    if found.name.strip() != device.name.split("/", 1)[-1]:
        raise KernelError(f"{device.name} is not there any more: {found.name.strip()} is in its place")
    return found


def numbers(device: Device) -> DeviceNumbers:
    """What the planner has to know. Raises `KernelError` when the device is gone."""
    handle, cl = _handle(device), _driver()
    vendor = device.vendor.lower()
    kind = next((name for name, word in _VENDORS if word in vendor), "other")
    if handle.type & cl.device_type.CPU:
        kind = "cpu"
    free = sensors.read(device.pci).memory_free
    try:
        free = int(handle.global_free_memory_amd[0]) << 10 if free is None else free
    except Exception:
        pass  # only AMD's driver has this figure
    lane_op = {"nvidia": 2, "amd": 3}.get(kind, 1 if "cl_khr_subgroup_shuffle " in f"{handle.extensions} " else 0)
    return DeviceNumbers(
        kind=kind,
        memory_total=int(handle.global_mem_size),
        memory_free=free,
        max_allocation=int(handle.max_mem_alloc_size),
        compute_units=int(handle.max_compute_units),
        max_group=int(handle.max_work_group_size),
        lane_op=0 if kind == "cpu" else lane_op,
        hbm=any(word in device.name for word in _STACKED_MEMORY),
        capability=_capability(handle) if kind == "nvidia" else None,
        clock_hz=int(handle.max_clock_frequency) * 1e6 or None,
        bandwidth=sensors.memory_bandwidth(device.pci) if kind == "nvidia" else None,
    )


def _capability(handle: Any) -> tuple[int, int] | None:
    """NVIDIA's number of the architecture; drivers that do not tell it raise."""
    try:
        return int(handle.compute_capability_major_nv), int(handle.compute_capability_minor_nv)
    except Exception:
        return None


_VENDORS = (("nvidia", "nvidia"), ("amd", "advanced micro"), ("amd", "amd"), ("intel", "intel"))
_STACKED_MEMORY = ("A100", "A30", "H100", "H200", "H800", "B200", "B300", "V100", "P100", "GB200", "Instinct", "gfx9")


def engines(
    device: Device,
    scrypt_n: int,
    threads: int = 1,
    memory_bytes: int | None = None,
    *,
    tuning: Tuning | None = None,
    note: Callable[[str], None] = lambda message: None,
    faults: Faults | None = None,
) -> list[LabelEngine]:
    """The engines of one device for a pool, which share its memory; `threads` belongs to other backends.

    Raises `MemoryShortage` when not even one work-group of labels fits into `memory_bytes`, `KernelError` when the
    device is gone, the driver refuses, or N is no power of two.
    """
    card = _card(device, scrypt_n, memory_bytes, tuning, note, faults)
    return [LabelEngine(device, scrypt_n, card=card) for _ in range(plan_gpu.ENGINES)]


def _card(
    device: Device,
    scrypt_n: int,
    memory_bytes: int | None = None,
    tuning: Tuning | None = None,
    note: Callable[[str], None] = lambda message: None,
    faults: Faults | None = None,
    plan: Plan | None = None,
) -> Card:
    plan_gpu.check_scrypt_n(scrypt_n)
    handle, known = _handle(device), numbers(device)
    if plan is None:
        chosen = tuning or Tuning(plan_gpu.default_layout(known, scrypt_n, memory_bytes))
        plan = plan_gpu.plan(known, chosen.layout, scrypt_n, memory_bytes, chosen.share)
    return Card(_driver(), handle, device, plan, known.max_allocation, note, faults or Faults())


def first_label(device: Device, scrypt_n: int, layout: Layout) -> bytes:
    """Builds a layout for a single work-group and computes label 0 of the zero commitment, 32 bytes."""
    engine = LabelEngine(device, scrypt_n, plan=plan_gpu.smallest(numbers(device), layout, scrypt_n))
    return engine.labels32([bytes(32)], [0])[0].tobytes()


class LabelEngine:
    """Labels on an OpenCL device. Implements `device.Engine`.

    Made alone it has the device's memory to itself; `engines` makes several that share it. Raises what `engines`
    raises.
    """

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        memory_bytes: int | None = None,
        *,
        tuning: Tuning | None = None,
        plan: Plan | None = None,
        note: Callable[[str], None] = lambda message: None,
        faults: Faults | None = None,
        card: Card | None = None,
    ) -> None:
        self.device = device
        self.scrypt_n = scrypt_n
        self._card = card or _card(device, scrypt_n, memory_bytes, tuning, note, faults, plan)
        self._card.users += 1
        self._side = Side(self._card)
        self._epoch = self._card.epoch
        """Of the device, when the last call began."""
        self._stop = threading.Event()
        self._closed = False

    @property
    def plan(self) -> Plan:
        """The plan in use; smaller than at first when memory could not be had."""
        return self._card.plan

    @property
    def layout(self) -> Layout:
        """How the kernel is built."""
        return self._card.plan.layout

    @property
    def granularity(self) -> int:
        """Labels in flight on the device."""
        return self._card.plan.slots

    @property
    def busy_seconds(self) -> float:
        """Time that the device has computed, for all its engines."""
        return self._card.busy_seconds

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]; count >= 1."""
        card, side, cl = self._card, self._side, self._card.cl
        local = cl.LocalMemory(64 * 8 * CANDIDATE_WORDS)
        candidates: list[VrfCandidate] = []

        def compute(at: int, size: int) -> None:
            groups, first, n = -(-size // 64), np.uint64(start + at), np.uint32(size)
            key = side.commitment(commitment)

            def seed() -> Any:
                cl.enqueue_fill_buffer(card.queue, side.best, np.uint32(0xFFFFFFFF), 0, 8 * CANDIDATE_WORDS)
                return card.kernel("seed", groups * 64, 64, side.state, key, first, n)

            def finish() -> Any:
                card.kernel("finish", groups * 64, 64, side.state, key, first, n, side.labels, side.groups, local)
                return card.kernel("best", 64, 64, side.groups, np.uint32(groups), side.best, local, local)

            card.wait(card.launch(side.state, size, seed, finish), self._stop)
            found, best = np.empty((size, 16), np.uint8), np.empty(CANDIDATE_WORDS, np.uint64)
            card.read(found, side.labels, self._stop)
            card.read(best, side.best, self._stop)
            card.faults.labels(start + at, found)
            out[at : at + size] = found
            candidates.append(VrfCandidate(int(best[4]), best[:4].astype(">u8").tobytes()))

        self._in_launches(count, compute)
        return min(candidates, key=lambda candidate: (candidate.label32, candidate.index))

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""
        card, side = self._card, self._side
        wanted = np.asarray(indices, dtype=np.uint64)
        keys = np.frombuffer(b"".join(commitments), np.uint64).reshape(-1, 4)
        out = np.empty((len(wanted), 32), np.uint8)
        step = np.uint32(len(keys) > 1)

        def compute(at: int, size: int) -> None:
            items, n, index = -(-size // 64) * 64, np.uint32(size), side.given(wanted[at : at + size])
            key = side.given(keys[at : at + size] if step else keys)
            launch = card.launch(
                side.state,
                size,
                lambda: card.kernel("seed_each", items, 64, side.state, key, index, n, step),
                lambda: card.kernel("finish_each", items, 64, side.state, key, index, n, step, side.labels),
            )
            card.wait(launch, self._stop)
            found = np.empty((size, 32), np.uint8)
            card.read(found, side.labels, self._stop)
            out[at : at + size] = found

        self._in_launches(len(wanted), compute)
        return out

    def _in_launches(self, count: int, compute: Callable[[int, int], None]) -> None:
        """Calls `compute` with (first, size) piece by piece; one that failed for want of memory again, smaller."""
        card, at = self._card, 0
        with card.gate.passed(self._stop):
            self._epoch = card.epoch
            card.check()
            self._side.renew()
            while at < count:
                if self._stop.is_set():
                    raise Stopped("the label engine was stopped")
                generation, size = card.generation, card.size(count - at)
                try:
                    self._side.hold(size)
                    compute(at, size)
                except (card.cl.Error, CommandFailed) as error:
                    if not card.is_memory(error):
                        with card.explained(f"computing {size} labels"):
                            raise
                    card.shrink(generation, first_line(error))
                    continue
                at += size

    def reopen(self) -> None:
        """Opens the device again, unless another of its engines has done so since this one failed.

        Raises `KernelError` when the device is gone or the driver refuses, `MemoryShortage` when not even one
        work-group fits any more.
        """
        self._card.reopen(self._epoch, _handle(self.device))

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once. The device ends its launch."""
        self._stop.set()

    def close(self) -> None:
        """Gives the memory back when the last engine of the device is closed."""
        self.stop()
        if not self._closed:
            self._closed = True
            self._card.leave()
