"""The OpenCL backend: `devices`, `engines` and `LabelEngine` on the kernel source `labels.cl`.

All engines of a device share its lookup memory and one queue, in which launches stand one behind the other: while
one launch computes, the labels of the one before are read, checked and written. Ids, names and filters are the
reference's. Specified in protocol 01-post-tools, sections 1.1, 1.3 and 8.

Completion is found by asking the event between sleeps: a blocking wait keeps a whole core spinning on NVIDIA's
driver, callbacks come from driver threads that do so as well, and neither can be given up when a driver hangs.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import plan_gpu, sensors
from .device import Device, Labels, PassedOver, Stopped, VrfCandidate
from .errors import KernelError
from .plan_gpu import DeviceNumbers, Layout, Plan

SOURCE = Path(__file__).with_name("labels.cl")

PLATFORMS_FILTER = "POST_OCL_PLATFORMS_BLACKLIST"
DEVICES_FILTER = "POST_OCL_DEVICES_BLACKLIST"

LAUNCH_SECONDS = 0.25
"""What one launch should take: a screen on the same card stays usable, and a stop is soon obeyed."""

POLL_SECONDS = 0.001
"""Between two looks at an event when it is due."""

EARLY = 0.95
"""The first look at an event comes after this share of the time that it should take."""

HANG_SECONDS = 60.0
"""A launch that takes this much longer than it should: the device is lost."""

CLOSE_SECONDS = 10.0
"""How long closing waits for a launch that is under way."""

_WORDS_OF_CANDIDATE = 5
_FOUND_NOTHING = 0xFFFFFFFF

# Codes of OpenCL for memory that is not there: MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_RESOURCES, OUT_OF_HOST_MEMORY,
# INVALID_BUFFER_SIZE. Drivers give memory when it is first used, so a launch can fail with them too.
_MEMORY_CODES = (-4, -5, -6, -61)


class Faults:
    """Where a test makes a device fail: the methods are called at the places that their names say."""

    def step(self, what: str) -> None:
        """Before "allocate", "launch" and "read"; may raise what the driver would."""

    def labels(self, start: int, labels: Labels) -> None:
        """After labels were read; may change them."""


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
        reason = "Python package pyopencl not installed (pip install 'smesher[opencl]', without a GPU 'smesher[pocl]')"
        return [], [PassedOver("OpenCL", reason)]
    try:
        cl = _driver()
        platforms = cl.get_platforms()
    except Exception as error:  # the loader's answer to an absent driver is an exception of its own
        return [], [PassedOver("OpenCL", f"no platform: {_first_line(error)}; install the GPU's OpenCL driver")]
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
            passed.append(PassedOver(f"OpenCL platform {name}", f"no device: {_first_line(error)}"))
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
    return ""


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


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _handle(device: Device) -> Any:
    """The driver's own object. Raises `KernelError` when another device, or none, is in its place now."""
    platform, place = (int(part) for part in device.handle.split(":"))
    try:
        found = _driver().get_platforms()[platform].get_devices()[place]
    except Exception as error:
        raise KernelError(f"{device.name} is not there any more: {_first_line(error)}") from None
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
    )


_VENDORS = (("nvidia", "nvidia"), ("amd", "advanced micro"), ("amd", "amd"), ("intel", "intel"))
_STACKED_MEMORY = ("A100", "A30", "H100", "H200", "H800", "B200", "B300", "V100", "P100", "GH200", "GB200", "MI", "gfx9")


@functools.cache
def kernel_hash() -> str:
    """Names the kernel source, for what is remembered about it."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]


def engines(
    device: Device,
    scrypt_n: int,
    threads: int = 1,
    memory_bytes: int | None = None,
    *,
    layout: Layout | None = None,
    note: Callable[[str], None] = lambda message: None,
    faults: Faults | None = None,
) -> list[LabelEngine]:
    """The engines of one device for a pool, which share its memory; `threads` belongs to other backends.

    Raises `MemoryShortage` when not even one work-group of labels fits into `memory_bytes`, `KernelError` when the
    device is gone, the driver refuses, or N is no power of two.
    """
    card = _Card(device, scrypt_n, memory_bytes, layout, note, faults or Faults())
    return [LabelEngine(device, scrypt_n, card=card) for _ in range(plan_gpu.ENGINES)]


def first_label(document: Any) -> str:
    """Opens a device, builds a layout and computes label 0 of the zero commitment; hex. For `discovery`."""
    device = Device(**{**document["device"], "aliases": tuple(document["device"]["aliases"])})
    layout = plan_gpu.layout_of(document["layout"])
    card = _Card(device, document["scrypt_n"], None, layout, lambda message: None, Faults(), waves=0)
    return LabelEngine(device, document["scrypt_n"], card=card).labels32([bytes(32)], [0])[0].tobytes().hex()


# -- one device ----------------------------------------------------------------------------------------------------


class _Card:
    """Context, program, queues and lookup memory of one device. Used by several threads under its lock."""

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        memory_bytes: int | None,
        layout: Layout | None,
        note: Callable[[str], None],
        faults: Faults,
        waves: int | None = None,
    ) -> None:
        plan_gpu.check_scrypt_n(scrypt_n)
        self.device = device
        self.faults = faults
        self.note = note
        self.lock = threading.RLock()
        self.users = 0
        self.generation = 0
        self.rate = 0.0
        """Labels a second of the last launch."""
        self.lost = ""
        self._last: Any = None
        self._busy_until = 0.0
        self._v: list[Any] = []
        self.cl = _driver()
        handle = _handle(device)
        self.numbers = numbers(device)
        chosen = layout or plan_gpu.default_layout(self.numbers, scrypt_n, memory_bytes)
        self.plan = plan_gpu.plan(self.numbers, chosen, scrypt_n, memory_bytes)
        if waves == 0:
            whole = self.plan.layout.whole
            self.plan = Plan(self.plan.layout, scrypt_n, whole, whole, 1, whole, whole)
        with self._explained("opening"):
            self.context = self.cl.Context([handle])
            self.queue = self.cl.CommandQueue(self.context, handle)
            self.transfer = self.cl.CommandQueue(self.context, handle)
        self._build(scrypt_n)
        with self.lock:
            self._allocate()

    def _build(self, scrypt_n: int) -> None:
        options = [f"-D{name}={value}" for name, value in self.plan.layout.options(scrypt_n).items()]
        names = ("seed", "romix", "finish", "best", "seed_each", "finish_each")
        with self._explained("building the kernel"):
            for attempt in (0, 1):
                # the second attempt has another option: a driver's cache of programs may have kept a broken one
                flags = ["-w", *options, *([f"-DATTEMPT={attempt}"] if attempt else [])]
                try:
                    program = self.cl.Program(self.context, SOURCE.read_text()).build(flags, cache_dir=False)
                    self._kernels = {name: self.cl.Kernel(program, name) for name in names}
                    return
                except self.cl.Error:
                    if attempt:
                        raise

    def _explained(self, deed: str) -> _Explained:
        return _Explained(self, deed)

    def _allocate(self) -> None:
        """Lookup buffers as planned, or by halves; each is written to, because drivers give memory only then."""
        while True:
            try:
                for _ in range(self.plan.buffers):
                    self.faults.step("allocate")
                    buffer = self.cl.Buffer(self.context, self.cl.mem_flags.READ_WRITE, self.plan.buffer_bytes)
                    self._v.append(buffer)
                    size = min(self.plan.buffer_bytes, 1 << 16)
                    event = self.cl.enqueue_fill_buffer(self.queue, buffer, np.uint32(0), 0, size)
                    self.queue.flush()
                    self._until_done(event, None, HANG_SECONDS)
                return
            except self.cl.Error as error:
                if not self.is_memory(error):
                    raise KernelError(f"{self.device.name}: allocating memory: {_first_line(error)}") from None
                self._halve(_first_line(error))

    def _halve(self, reason: str) -> None:
        before = self.plan
        for buffer in self._v:
            buffer.release()
        self._v.clear()
        self.plan = plan_gpu.halved(before, self.numbers.max_allocation)
        self.generation += 1
        self.note(
            f"{self.device.name}: {before.total_bytes / 2**20:,.0f} MiB could not be had ({reason}); going on with "
            f"{self.plan.slots} labels in flight instead of {before.slots}. Other programs may hold memory of the "
            "device; --gpu-memory sets a limit."
        )

    def is_memory(self, error: Exception) -> bool:
        """Whether the driver has no memory."""
        return isinstance(error, self.cl.MemoryError) or getattr(error, "code", None) in _MEMORY_CODES

    def shrink(self, generation: int, reason: str) -> None:
        """After a launch failed for want of memory: half the memory, unless another thread has seen to it."""
        with self.lock:
            if generation != self.generation:
                return
            if self._last is not None:
                self._until_done(self._last, None, HANG_SECONDS, failures=False)
            self._halve(reason)
            self._allocate()

    def size(self, left: int) -> int:
        """Labels of the next launch: whole waves that take about `LAUNCH_SECONDS`."""
        slots = self.plan.slots
        waves = max(1, int(self.rate * LAUNCH_SECONDS) // slots)
        return min(left, min(self.plan.launch // slots, waves) * slots)

    def launch(self, side: _Side, seed: tuple[Any, ...], finish: list[tuple[Any, ...]], count: int) -> _Launch:
        """Puts seed, romix and `finish` behind what the queue holds; returns at once."""
        cl, plan, layout = self.cl, self.plan, self.plan.layout
        with self.lock:
            if self.lost:
                raise KernelError(self.lost)
            self.faults.step("launch")
            groups = -(-count // 64)
            work = min(plan.slots, -(-count // layout.unit) * layout.unit)
            items = work // layout.labels * layout.lanes
            buffers = [self._v[min(number, plan.buffers - 1)] for number in range(plan_gpu.MAX_BUFFERS)]
            share = [cl.LocalMemory(4 * layout.group)] if layout.lanes == 4 and layout.lane_op == 0 else []
            one = np.uint32(1)
            self._kernel(seed[0], groups * 64, 64, *seed[1:])
            event = self._kernel(
                "romix", items, layout.group, side.state, *buffers, np.uint32(plan.per_buffer), np.uint32(count), one, *share
            )
            for name, size, *arguments in finish:
                event = self._kernel(name, size, 64, *arguments)
            self.queue.flush()
            now = time.monotonic()
            begins = max(now, self._busy_until)
            expected = count / self.rate if self.rate else 0.0
            self._busy_until = begins + expected
            self._last = event
            return _Launch(event, count, begins, begins + expected, self.generation)

    def _kernel(self, name: str, size: int, group: int, *arguments: Any) -> Any:
        kernel = self._kernels[name]
        kernel.set_args(*arguments)
        return self.cl.enqueue_nd_range_kernel(self.queue, kernel, (size,), (group,))

    def wait(self, launch: _Launch, stop: threading.Event) -> None:
        """Until a launch has ended. Raises `Stopped` at once when told to, `KernelError` when the device is lost."""
        expected = launch.due - launch.begins
        self._until_done(launch.event, stop, launch.due - time.monotonic() + expected * 4 + HANG_SECONDS, launch.due)
        now = time.monotonic()
        with self.lock:
            self.rate = launch.count / max(now - launch.begins, 1e-6)
            self._busy_until = min(self._busy_until, now + max(0.0, self._busy_until - launch.due))

    def read(self, side: _Side, into: npt.NDArray[Any], source: Any, stop: threading.Event) -> None:
        """Copies from the device, beside whatever computes."""
        self.faults.step("read")
        side.pending = self.cl.enqueue_copy(self.transfer, into, source, is_blocking=False)
        self.transfer.flush()
        self._until_done(side.pending, stop, HANG_SECONDS + max(0.0, self._busy_until - time.monotonic()))
        side.pending = None

    def _until_done(
        self, event: Any, stop: threading.Event | None, limit_s: float, due: float = 0.0, failures: bool = True
    ) -> None:
        began = time.monotonic()
        complete = self.cl.command_execution_status.COMPLETE
        pause = max(POLL_SECONDS / 4, (due - began) * EARLY)
        while (status := event.command_execution_status) != complete:
            if status < 0:
                if failures:
                    raise _CommandFailed(f"the driver reports error {status}", status)
                return
            if time.monotonic() - began > limit_s:
                self.lost = f"{self.device.name} (driver {self.device.driver}) does not answer any more: it is lost"
                raise KernelError(self.lost)
            if stop is None:
                time.sleep(pause)
            elif stop.wait(pause):
                raise Stopped("the label engine was stopped")
            pause = min(POLL_SECONDS, 2 * pause) if pause < POLL_SECONDS else POLL_SECONDS

    def leave(self) -> None:
        """One engine less; the last one takes the memory along, when the device is done with it."""
        with self.lock:
            self.users -= 1
            if self.users > 0:
                return
            if self._last is not None and not self.lost:
                try:
                    self._until_done(self._last, None, CLOSE_SECONDS, failures=False)
                except KernelError:
                    return
            for buffer in self._v:
                buffer.release()
            self._v.clear()


class _CommandFailed(Exception):
    """A command in the queue ended with an error."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _Explained:
    """Turns the driver's exceptions into `KernelError` that says on which device what was tried."""

    def __init__(self, card: _Card, deed: str) -> None:
        self._card, self._deed = card, deed

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (self._card.cl.Error, _CommandFailed)):
            device = self._card.device
            raise KernelError(
                f"{device.name} (driver {device.driver}): {self._deed} failed: {_first_line(error)}"
            ) from None


class _Launch:
    """A launch under way."""

    def __init__(self, event: Any, count: int, begins: float, due: float, generation: int) -> None:
        self.event, self.count, self.begins, self.due, self.generation = event, count, begins, due, generation


class _Side:
    """The buffers of one engine beside the lookup memory; made for the largest launch so far."""

    def __init__(self, card: _Card) -> None:
        self._card = card
        self._room = 0
        self._commitment = (b"", None)
        self.pending: Any = None
        self.state: Any = None
        self.labels: Any = None
        self.groups: Any = None
        self.best = self._buffer(8 * _WORDS_OF_CANDIDATE)

    def _buffer(self, size: int) -> Any:
        return self._card.cl.Buffer(self._card.context, self._card.cl.mem_flags.READ_WRITE, size)

    def hold(self, count: int) -> None:
        """Makes room for a launch of `count` labels."""
        if count > self._room:
            self.state, self.labels = self._buffer(count * 128), self._buffer(count * 32)
            self.groups = self._buffer(-(-count // 64) * 8 * _WORDS_OF_CANDIDATE)
            self._room = count

    def given(self, values: npt.NDArray[np.uint64]) -> Any:
        """A buffer with values that the kernel reads."""
        flags = self._card.cl.mem_flags.READ_ONLY | self._card.cl.mem_flags.COPY_HOST_PTR
        return self._card.cl.Buffer(self._card.context, flags, hostbuf=np.ascontiguousarray(values))

    def commitment(self, commitment: bytes) -> Any:
        """The commitment's buffer; the last one is kept, a job has only one."""
        if self._commitment[0] != commitment:
            self._commitment = (commitment, self.given(np.frombuffer(commitment, np.uint64)))
        return self._commitment[1]


class LabelEngine:
    """Labels on an OpenCL device. Implements `device.Engine`.

    Made alone it has the device's memory to itself; `engines` makes several that share it. Raises what `engines`
    raises.
    """

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        threads: int = 1,
        memory_bytes: int | None = None,
        *,
        layout: Layout | None = None,
        note: Callable[[str], None] = lambda message: None,
        faults: Faults | None = None,
        card: _Card | None = None,
    ) -> None:
        self.device = device
        self.scrypt_n = scrypt_n
        self._card = card or _Card(device, scrypt_n, memory_bytes, layout, note, faults or Faults())
        self._card.users += 1
        self._side = _Side(self._card)
        self._stop = threading.Event()
        self._closed = False

    @property
    def plan(self) -> Plan:
        """The plan in use; smaller than at first when memory could not be had."""
        return self._card.plan

    @property
    def granularity(self) -> int:
        """Labels in flight on the device."""
        return self._card.plan.slots

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]; count >= 1."""
        card, side = self._card, self._side
        local = [card.cl.LocalMemory(64 * 8 * _WORDS_OF_CANDIDATE)]
        smallest: VrfCandidate | None = None
        for at, size in self._pieces(count):
            groups = -(-size // 64)
            key, first, n = side.commitment(commitment), np.uint64(start + at), np.uint32(size)
            with card.lock:
                card.cl.enqueue_fill_buffer(card.queue, side.best, np.uint32(_FOUND_NOTHING), 0, 8 * _WORDS_OF_CANDIDATE)
                launch = card.launch(
                    side,
                    ("seed", side.state, key, first, n),
                    [
                        ("finish", groups * 64, side.state, key, first, n, side.labels, side.groups, *local),
                        ("best", 64, side.groups, np.uint32(groups), side.best, *local, *local),
                    ],
                    size,
                )
            card.wait(launch, self._stop)
            found, best = np.empty((size, 16), np.uint8), np.empty(_WORDS_OF_CANDIDATE, np.uint64)
            card.read(side, found, side.labels, self._stop)
            card.read(side, best, side.best, self._stop)
            card.faults.labels(start + at, found)
            out[at : at + size] = found
            candidate = VrfCandidate(int(best[4]), best[:4].astype(">u8").tobytes())
            if smallest is None or candidate.label32 < smallest.label32:
                smallest = candidate
        assert smallest is not None
        return smallest

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""
        card, side = self._card, self._side
        wanted = np.asarray(indices, dtype=np.uint64)
        keys = np.frombuffer(b"".join(commitments), np.uint64).reshape(-1, 4)
        out = np.empty((len(wanted), 32), np.uint8)
        for at, size in self._pieces(len(wanted)):
            groups, n, step = -(-size // 64), np.uint32(size), np.uint32(len(keys) > 1)
            key, index = side.given(keys[at : at + size] if step else keys), side.given(wanted[at : at + size])
            launch = card.launch(
                side,
                ("seed_each", side.state, key, index, n, step),
                [("finish_each", groups * 64, side.state, key, index, n, step, side.labels)],
                size,
            )
            card.wait(launch, self._stop)
            found = np.empty((size, 32), np.uint8)
            card.read(side, found, side.labels, self._stop)
            out[at : at + size] = found
        return out

    def _pieces(self, count: int) -> Iterator[tuple[int, int]]:
        """(first, size) of the launches of one call; one that failed for want of memory comes again, smaller."""
        at = 0
        while at < count:
            if self._stop.is_set():
                raise Stopped("the label engine was stopped")
            generation, size = self._card.generation, self._card.size(count - at)
            try:
                self._side.hold(size)
                yield at, size
            except (self._card.cl.Error, _CommandFailed) as error:
                raise error
            at += size
            del generation

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once. The device ends its launch."""
        self._stop.set()

    def close(self) -> None:
        """Gives the memory back when the last engine of the device is closed."""
        self.stop()
        if not self._closed:
            self._closed = True
            self._card.leave()
