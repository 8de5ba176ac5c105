"""The CUDA backend: `devices` and `LabelEngine` on the kernels of `labels.cl`, compiled by NVRTC through CuPy.

A batch is one pass of all labels in flight: seed, romix, finish and best in one stream, the copy to pinned memory
in another, so that the next batch computes while the last is read back. Batches of two callers share the device;
a pool gives it two (`engines`), and the device is never without work while one of them writes or checks.
When memory is short the labels in flight are halved and the work goes on; `notes` says so. After a failure the device
can be opened again, as far as its driver recovers within one program.
Specified in protocol 01-post-tools, sections 1.3 and 8.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from kernels.devices.gate import Gate
from kernels.devices.types import Device, Labels, Stopped, VrfCandidate
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import cuda_driver, cuda_plan, sensors
from kernels.gpu import plan as plan_gpu
from kernels.gpu.cuda_driver import Absent, Argument, Bytes, Driver, DriverError, OutOfMemory, Properties
from kernels.gpu.plan import Layout

REOPEN_SECONDS = 10.0
"""How long opening again waits for the batches of other callers to end."""

GROUP = 64
"""Work-group size of every kernel but romix."""

SETS = 3
"""Batches that may be queued or waiting to be handed over: two callers have one each in flight and one to spare."""

AHEAD = 2
"""Batches of one call in flight: one computes while the other is handed over."""

LABEL, LABEL32, KEY, INDEX, STATE = 16, 32, 32, 8, 128
"""Bytes on the device: a label, a full label, a commitment, an index, a label's state between the kernels."""

RECORD = 40
"""A VRF candidate on the device: the label's four words, most significant first, and the index."""


class DeviceFailure(KernelError):
    """A device did not do what it was told. The message names it, its driver, the labels and the layout."""


def devices() -> list[Device]:
    """The CUDA devices that can be used; empty where there are none. `absence` tells why."""
    return _look()[0]


def absence() -> str | None:
    """Why there is no CUDA device, or why one of them is passed over; None when all can be used."""
    return _look()[1]


def _look() -> tuple[list[Device], str | None]:
    try:
        cupy = cuda_driver.load_cupy()
        driver = cuda_driver.driver_version(cupy)
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Absent as error:
        return [], str(error)
    found: list[Device] = []
    refused: list[str] = []
    for ordinal in range(count):
        try:
            properties = cuda_driver.properties_of(cupy, ordinal)
        except DriverError as error:
            refused.append(str(error))
            continue
        found.append(device_of(properties, driver))
    return found, "; ".join(refused) or None


def device_of(properties: Properties, driver: str) -> Device:
    """What a person sees of a CUDA device. It has no number of the reference's, which lists OpenCL devices only."""
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


def engines(device: Device, scrypt_n: int, memory_bytes: int | None = None) -> list[LabelEngine]:
    """One engine, twice: for a pool, so that the device has work while one caller's labels are handed over."""
    engine = LabelEngine(device, scrypt_n, memory_bytes=memory_bytes)
    return [engine, engine]


@dataclass(slots=True)
class _Set:
    """Memory of one batch: input and output on the device, the same in pinned memory of the host, and marks."""

    input: int
    output: int
    host_input: Bytes
    host_output: Bytes
    began: object
    computed: object
    copied: object
    used: bool = False
    """Whether `copied` was recorded since the set was last waited for."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """One pass, queued."""

    memory: _Set
    first: int
    count: int


class LabelEngine:
    """Labels on one CUDA device. Implements `device.Engine`; up to two callers at a time may use it.

    `memory_bytes` limits the memory on the device (default: what is free, less a little). `driver` replaces CuPy.
    Raises `MemoryShortage` when not even one work-group fits, `DriverError` when the device cannot be opened.
    """

    def __init__(
        self,
        device: Device,
        scrypt_n: int,
        *,
        layout: Layout | None = None,
        memory_bytes: int | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.device = device
        self.scrypt_n = scrypt_n
        self.notes: list[str] = []
        self._given_driver = driver
        self._driver = self._new_driver()
        numbers = cuda_plan.numbers_of(self._driver.properties)
        plan_gpu.check_scrypt_n(scrypt_n)
        wanted = layout or plan_gpu.default_layout(numbers, scrypt_n, memory_bytes)
        lane_op = numbers.lane_op if wanted.lanes > 1 else 0
        self.layout = replace(wanted, lane_op=lane_op).fitted(scrypt_n, numbers.max_group)
        self._allocated: list[int] = []
        self._rows: list[int] = []
        self._stop = threading.Event()
        self._closed = False
        self._busy_seconds = 0.0
        self._memory_bytes = memory_bytes
        self._gate = Gate()
        self._epoch = 0
        """Rises when the device is opened again."""
        self._began_in = threading.local()
        """Each caller's `epoch` when its last call began."""
        self._lost = ""
        """Why nothing can be computed at present."""
        self._queue = threading.RLock()
        self._freed = threading.Condition()
        try:
            self._open(memory_bytes)
        except BaseException:
            self._release()
            raise

    @property
    def granularity(self) -> int:
        """Labels in flight; less after the device's memory became short."""
        return self._plan.slots

    @property
    def temperature(self) -> float | None:
        """Degrees Celsius; None where the driver does not tell."""
        return sensors.read(self.device.pci).temperature_c

    @property
    def busy_seconds(self) -> float:
        """Time that the device has computed, by its own clock, for all callers."""
        return self._busy_seconds

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]; count >= 1."""
        key = np.frombuffer(commitment, np.uint8)
        best: list[VrfCandidate] = []

        def queue(memory: _Set, first: int, size: int) -> None:
            self._queue_run(memory, key, start + first, size)

        def hand_over(batch: _Batch) -> None:
            labels = batch.memory.host_output[: batch.count * LABEL]
            out[batch.first : batch.first + batch.count] = labels.reshape(-1, LABEL)
            candidate = decode_record(batch.memory.host_output[-RECORD:])
            if not best or (candidate.label32, candidate.index) < (best[0].label32, best[0].index):
                best[:] = [candidate]

        self._run(count, queue, hand_over, f"labels {start}…{start + count - 1}")
        return best[0]

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""
        wanted = np.asarray(indices, dtype=np.uint64)
        keys = np.frombuffer(b"".join(commitments), np.uint8).reshape(-1, KEY)
        out = np.empty((len(wanted), LABEL32), np.uint8)

        def queue(memory: _Set, first: int, size: int) -> None:
            chosen = keys if len(keys) == 1 else keys[first : first + size]
            self._queue_each(memory, chosen, wanted[first : first + size])

        def hand_over(batch: _Batch) -> None:
            labels = batch.memory.host_output[: batch.count * LABEL32]
            out[batch.first : batch.first + batch.count] = labels.reshape(-1, LABEL32)

        self._run(len(wanted), queue, hand_over, f"{len(wanted)} single labels")
        return out

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""
        self._stop.set()
        with self._freed:
            self._freed.notify_all()

    def reopen(self) -> None:
        """Opens the device again, unless another caller has done so since the last call of this one.

        A driver that reports the same error until its program ends refuses, and `KernelError` says so.
        """
        with self._gate.shut(REOPEN_SECONDS) as alone:
            if getattr(self._began_in, "epoch", self._epoch) != self._epoch:
                return
            if not alone:
                raise KernelError(f"{self.device.name}: another batch is still under way on it")
            with self._queue:
                self._epoch += 1
                self._release()
                self._lost = f"{self.device.name} (driver {self.device.driver}) could not be opened again"
                self._driver = self._new_driver()
                try:
                    self._open(self._memory_bytes)
                except BaseException:
                    self._release()
                    raise
                self._lost = ""

    def close(self) -> None:
        """Gives the device's memory back, once what is queued has ended."""
        self.stop()
        with self._queue:
            if not self._closed:
                self._closed = True
                self._release()

    # Setting up

    def _new_driver(self) -> Driver:
        return self._given_driver or cuda_driver.CupyDriver(self.device.pci or "")

    def _open(self, memory_bytes: int | None) -> None:
        driver = self._driver
        self._kernels = driver.compile(
            plan_gpu.source(), cuda_plan.options(self.layout, self.scrypt_n), cuda_plan.KERNELS
        )
        self._compute = driver.stream()
        self._copies = driver.stream()
        registers = self._kernels["romix"].registers
        free = driver.free_memory()
        self._plan = cuda_plan.plan(driver.properties, self.layout, self.scrypt_n, registers, free, memory_bytes)
        self._capacity = self._plan.slots
        try:
            self._states = self._allocate(self._capacity * STATE)
            self._groups = self._allocate(-(-self._capacity // GROUP) * RECORD)
            self._sets = [self._new_set() for _ in range(SETS)]
        except OutOfMemory as error:
            raise MemoryShortage(self._capacity * plan_gpu.SIDE_BYTES, free, f"{self.device.name}: {error}") from error
        self._idle = list(self._sets)
        self._allocate_rows("at the start")

    def _new_set(self) -> _Set:
        driver = self._driver
        input_bytes = self._capacity * (KEY + INDEX) + KEY + RECORD
        output_bytes = self._capacity * LABEL32 + RECORD
        return _Set(
            self._allocate(input_bytes),
            self._allocate(output_bytes),
            driver.pinned(input_bytes),
            driver.pinned(output_bytes),
            driver.event(),
            driver.event(),
            driver.event(),
        )

    def _allocate(self, size: int) -> int:
        address = self._driver.allocate(size)
        self._allocated.append(address)
        return address

    def _allocate_rows(self, when: str) -> None:
        """The row buffers; half as many labels at each refusal. Raises `MemoryShortage` at the last."""
        while True:
            try:
                while len(self._rows) < self._plan.buffers:
                    self._rows.append(self._driver.allocate(self._plan.buffer_bytes))
                return
            except OutOfMemory as error:
                self._free_rows()
                self._halve(f"{when}: {error}")

    def _halve(self, why: str) -> None:
        limit = cuda_plan.numbers_of(self._driver.properties).max_allocation
        try:
            smaller = plan_gpu.halved(self._plan, limit)
        except MemoryShortage as error:
            what = f"{self.device.name}, {why}; one work-group"
            raise MemoryShortage(error.needed, self._driver.free_memory(), what) from error
        self.notes.append(
            f"{self.device.name}: memory is short {why}; "
            f"going on with {smaller.slots} labels in flight instead of {self._plan.slots}"
        )
        self._plan = smaller

    def _free_rows(self) -> None:
        while self._rows:
            self._driver.free(self._rows.pop())

    def _release(self) -> None:
        """Frees everything; a device that fails here has failed before, and that was reported."""
        try:
            for stream in (getattr(self, "_compute", None), getattr(self, "_copies", None)):
                if stream is not None:
                    self._driver.finish(stream)
            self._free_rows()
            while self._allocated:
                self._driver.free(self._allocated.pop())
        except DriverError:
            self._rows.clear()
            self._allocated.clear()
        self._driver.close()

    # Running

    def _run(
        self,
        count: int,
        queue: Callable[[_Set, int, int], None],
        hand_over: Callable[[_Batch], None],
        what: str,
    ) -> None:
        """Passes over `count` labels: queues one while another computes and a third is handed over."""
        with self._gate.passed(self._stop):
            self._began_in.epoch = self._epoch
            if self._lost:
                raise DeviceFailure(self._lost)
            self._run_passes(count, queue, hand_over, what)

    def _run_passes(
        self,
        count: int,
        queue: Callable[[_Set, int, int], None],
        hand_over: Callable[[_Batch], None],
        what: str,
    ) -> None:
        waiting: deque[_Batch] = deque()
        first = 0
        try:
            while first < count or waiting:
                memory = self._take_set(block=not waiting) if first < count and len(waiting) < AHEAD else None
                if memory is not None:
                    size = min(self.granularity, count - first)
                    batch = _Batch(memory, first, size)
                    waiting.append(batch)
                    self._queue_batch(batch, queue)
                    first += size
                    continue
                batch = waiting.popleft()
                try:
                    self._await(batch.memory)
                    if self._stop.is_set():
                        raise Stopped("the label engine was stopped")
                    hand_over(batch)
                finally:
                    self._give_set(batch.memory)
        except DriverError as error:
            raise DeviceFailure(
                f"{self.device.name} (driver {self.device.driver}) failed at {what}, {self.layout.describe()}: {error}"
            ) from error
        finally:
            for batch in waiting:
                self._give_set(batch.memory)

    def _queue_batch(self, batch: _Batch, queue: Callable[[_Set, int, int], None]) -> None:
        """Queues one pass. On a shortage of memory frees all rows, takes half as many, and queues it again."""
        with self._queue:
            if self._stop.is_set():
                raise Stopped("the label engine was stopped")
            while True:
                try:
                    queue(batch.memory, batch.first, batch.count)
                    return
                except OutOfMemory as error:
                    self._driver.finish(self._compute)
                    self._driver.finish(self._copies)
                    self._free_rows()
                    self._halve(f"at a later batch: {error}")
                    self._allocate_rows("at a later batch")

    def _take_set(self, block: bool) -> _Set | None:
        """An idle set; None when there is none and the caller has batches of its own to hand over first."""
        with self._freed:
            while not self._idle:
                if not block:
                    return None
                self._freed.wait()
                if self._stop.is_set():
                    raise Stopped("the label engine was stopped")
            memory = self._idle.pop(0)
        try:
            self._await(memory)  # one that was left behind by a call that ended early
        except BaseException:
            self._give_set(memory)
            raise
        return memory

    def _give_set(self, memory: _Set) -> None:
        with self._freed:
            self._idle.append(memory)
            self._freed.notify()

    def _await(self, memory: _Set) -> None:
        if memory.used:
            self._driver.wait(memory.copied)
            memory.used = False
            seconds = self._driver.seconds(memory.began, memory.computed)
            with self._freed:
                self._busy_seconds += seconds

    def _queue_run(self, memory: _Set, key: Bytes, start: int, count: int) -> None:
        """Consecutive labels of one commitment, and the smallest of them."""
        memory.host_input[:KEY] = key
        memory.host_input[KEY : KEY + RECORD] = 0xFF  # a candidate that every other one replaces
        commitment, best = np.uint64(memory.input), np.uint64(memory.input + KEY)
        states, groups, output = np.uint64(self._states), np.uint64(self._groups), np.uint64(memory.output)
        blocks = -(-count // GROUP)
        self._driver.record(memory.began, self._compute)
        self._driver.upload(memory.input, memory.host_input[: KEY + RECORD], self._compute)
        self._launch("seed", blocks, states, commitment, np.uint64(start), np.uint32(count))
        self._romix(count)
        self._launch("finish", blocks, states, commitment, np.uint64(start), np.uint32(count), output, groups)
        self._launch("best", 1, groups, np.uint32(blocks), best)
        self._read_back(
            memory,
            (memory.host_output[: count * LABEL], memory.output),
            (memory.host_output[-RECORD:], memory.input + KEY),
        )

    def _queue_each(self, memory: _Set, keys: Labels, indices: npt.NDArray[np.uint64]) -> None:
        """Any labels."""
        count, key_bytes = len(indices), keys.size
        used = key_bytes + count * INDEX
        memory.host_input[:key_bytes] = keys.ravel()
        memory.host_input[key_bytes:used] = indices.view(np.uint8)
        commitments, numbers = np.uint64(memory.input), np.uint64(memory.input + key_bytes)
        states, output = np.uint64(self._states), np.uint64(memory.output)
        step = np.uint32(len(keys) > 1)
        blocks = -(-count // GROUP)
        self._driver.record(memory.began, self._compute)
        self._driver.upload(memory.input, memory.host_input[:used], self._compute)
        self._launch("seed_each", blocks, states, commitments, numbers, np.uint32(count), step)
        self._romix(count)
        self._launch("finish_each", blocks, states, commitments, numbers, np.uint32(count), step, output)
        self._read_back(memory, (memory.host_output[: count * LABEL32], memory.output))

    def _romix(self, count: int) -> None:
        """All the work. No more groups than labels need: a group without labels would compute surplus ones."""
        plan, per_group = self._plan, self.layout.unit
        groups = min(plan.slots, -(-count // per_group) * per_group) // per_group
        rows = [np.uint64(self._rows[min(number, plan.buffers - 1)]) for number in range(plan_gpu.MAX_BUFFERS)]
        numbers = (np.uint32(plan.per_buffer), np.uint32(count), np.uint32(1))
        arguments: list[Argument] = [np.uint64(self._states), *rows, *numbers]
        self._driver.launch(self._kernels["romix"], groups, self.layout.group, arguments, self._compute)

    def _launch(self, name: str, groups: int, *arguments: Argument) -> None:
        self._driver.launch(self._kernels[name], groups, GROUP, arguments, self._compute)

    def _read_back(self, memory: _Set, *copies: tuple[Bytes, int]) -> None:
        self._driver.record(memory.computed, self._compute)
        self._driver.follow(self._copies, memory.computed)
        for data, address in copies:
            self._driver.download(data, address, self._copies)
        self._driver.record(memory.copied, self._copies)
        memory.used = True


def decode_record(record: Bytes) -> VrfCandidate:
    """The candidate that the kernel `best` left."""
    words = record.view(np.uint64)
    return VrfCandidate(int(words[4]), words[:4].astype(">u8").tobytes())
