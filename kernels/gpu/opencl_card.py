"""One OpenCL device at work: context, program, queue and lookup memory, shared by the engines of `opencl`.

Launches of all engines stand in one queue, one behind the other; results are read through a second one. A card
whose memory cannot be had goes on with half of it, and says so. Specified in protocol 01-post-tools, sections 1.3
and 8.

After a failure the card can be opened again: everything anew on the same device. What belonged to a driver that hangs
is never given back, since that could hang as well.

Completion is found by asking the event between sleeps: a blocking wait keeps a whole core spinning on NVIDIA's
driver, callbacks come from driver threads that do so as well, and neither can be given up when a driver hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.devices.gate import Gate
from kernels.devices.types import Device, Labels, Stopped
from kernels.errors import KernelError
from kernels.gpu import plan as plan_gpu
from kernels.gpu.plan import Plan

SOURCE = Path(__file__).with_name("labels.cl")
ROMIX = "romix"
KERNELS = ("seed", ROMIX, "finish", "best", "seed_each", "finish_each")

LAUNCH_SECONDS = 0.25
"""What one launch should take: a screen on the same card stays usable, and a stop is soon obeyed."""

POLL_SECONDS = 0.001
"""Between two looks at an event when it is due."""

LOOK_SECONDS = 0.05
"""At most between two looks before that: what is due when is only an estimate."""

EARLY = 0.95
"""Share of the estimated time that is slept through."""

HANG_SECONDS = 60.0
"""A launch that takes this much longer than it should: the device is lost."""

CLOSE_SECONDS = 10.0
"""How long closing waits for a launch that is under way."""

REOPEN_SECONDS = 10.0
"""How long opening again waits for the calls of other engines of the device to end."""

CANDIDATE_WORDS = 5
"""64-bit words of a VRF candidate: four of the value, and the index."""

# Codes of OpenCL for memory that is not there: MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_HOST_MEMORY, INVALID_BUFFER_SIZE;
# while memory is allocated OUT_OF_RESOURCES too, which later means anything. Drivers give memory when it is first
# used, so a launch can fail for want of it.
_MEMORY_CODES = (-4, -6, -61)
_OUT_OF_RESOURCES = -5


_left_behind: list[Any] = []
"""What belonged to lost devices, so that nobody gives it back."""


class Faults:
    """Where a test makes a device fail: the methods are called at the places that their names say."""

    def step(self, what: str) -> None:
        """Before "open", "allocate", "launch" and "read"; may raise what the driver would."""

    def labels(self, start: int, labels: Labels) -> None:
        """After labels were read; may change them."""


class CommandFailed(Exception):
    """A command in the queue ended with an error."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the driver reports error {code}")
        self.code = code


@dataclass(slots=True)
class Launch:
    """Labels that the device was told to compute."""

    first: Any
    """The event of its first kernel."""
    last: Any
    count: int
    due: float
    """When it should be done, by the clock `time.monotonic`."""
    generation: int


def first_line(error: object) -> str:
    """What a driver's error says, without its listings."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Card:
    """A device with a plan. Several threads use it; what they share is changed under `lock`.

    Raises `KernelError` when the driver refuses, `MemoryShortage` when not even one work-group of labels fits.
    """

    _lost = ""
    """Why the device is not used at present."""

    def __init__(
        self,
        cl: Any,
        handle: Any,
        device: Device,
        plan: Plan,
        max_allocation: int,
        note: Callable[[str], None],
        faults: Faults,
    ) -> None:
        self.cl = cl
        self.device = device
        self.plan = plan
        self.faults = faults
        self.lock = threading.RLock()
        self.gate = Gate()
        """Every call of an engine passes it."""
        self.users = 0
        self.generation = 0
        """Rises when the memory is halved."""
        self.epoch = 0
        """Rises when the device is opened again."""
        self._lost_epochs: set[int] = set()
        self.rate = 0.0
        """Labels a second while a launch computes."""
        self.busy_seconds = 0.0
        """Time that the device has computed."""
        self._max_allocation = max_allocation
        self._note = note
        self._v: list[Any] = []
        self._open(handle)

    def _open(self, handle: Any) -> None:
        cl = self.cl
        self._lost = ""
        self._last: Any = None
        self._free_at = 0.0
        with self.explained("opening it"):
            self.faults.step("open")
            self.context = cl.Context([handle])
            profiling = cl.command_queue_properties.PROFILING_ENABLE
            self.queue = cl.CommandQueue(self.context, handle, profiling)
            self.transfer = cl.CommandQueue(self.context, handle)
        self._kernels = self._build()
        with self.lock:
            self._allocate()

    def reopen(self, epoch: int, handle: Any) -> None:
        """Everything anew, unless another engine has seen to it since `epoch`.

        Raises `KernelError` when the driver refuses, `MemoryShortage` when not even one work-group fits any more.
        """
        with self.gate.shut(REOPEN_SECONDS) as alone:
            if epoch != self.epoch:
                return
            if not alone:
                raise KernelError(f"{self.device.name}: another launch is still under way on it")
            with self.lock:
                if self._lost:
                    self._lost_epochs.add(self.epoch)
                    _left_behind.append((self.context, self.queue, self.transfer, self._kernels, self._last))
                self.release(self.epoch, self._v)
                self._v.clear()
                self.epoch += 1
                try:
                    self._open(handle)
                except KernelError as error:
                    self._lost = str(error)
                    raise

    def release(self, epoch: int, buffers: Iterable[Any]) -> None:
        """Gives the buffers of an epoch back; those of a driver that hung in it stay where they are."""
        for buffer in buffers:
            if epoch in self._lost_epochs:
                _left_behind.append(buffer)
                continue
            try:
                buffer.release()
            except self.cl.Error:
                pass  # the device has forgotten it already

    def check(self) -> None:
        """Raises `KernelError` when the device was lost."""
        if self._lost:
            raise KernelError(self._lost)

    @contextmanager
    def explained(self, deed: str) -> Iterator[None]:
        """Turns the driver's exceptions into `KernelError` that says on which device what was tried."""
        try:
            yield
        except (self.cl.Error, CommandFailed) as error:
            raise KernelError(
                f"{self.device.name} (driver {self.device.driver}): {deed} failed: {first_line(error)}"
            ) from None

    def _build(self) -> dict[str, Any]:
        """Two programs: only romix depends on N and the layout, the others come from the driver's cache."""
        layout = self.plan.layout
        options = [f"-D{name}={value}" for name, value in layout.options(self.plan.scrypt_n).items()]
        with self.explained(f"building the kernel ({layout.describe()})"):
            return {
                **self._compiled(["-DPART=1", *options], [ROMIX]),
                **self._compiled(["-DPART=2"], [name for name in KERNELS if name != ROMIX]),
            }

    def _compiled(self, options: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        try:
            return self._program(options, names)
        except self.cl.Error:
            # a driver's cache of programs may have kept a broken one (a PoCL process that was killed leaves
            # such); another option makes it another program
            return self._program([*options, "-DATTEMPT=2"], names)

    def _program(self, options: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        program = self.cl.Program(self.context, SOURCE.read_text()).build(["-w", *options], cache_dir=False)
        return {name: self.cl.Kernel(program, name) for name in names}

    # -- memory ------------------------------------------------------------------------------------------------

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
            except (self.cl.Error, CommandFailed) as error:
                if not self.is_memory(error) and error.code != _OUT_OF_RESOURCES:
                    with self.explained("allocating memory"):
                        raise
                self._halve(first_line(error))

    def _halve(self, reason: str) -> None:
        before = self.plan
        self.release(self.epoch, self._v)
        self._v.clear()
        self.plan = plan_gpu.halved(before, self._max_allocation)
        self.generation += 1
        self._note(
            f"{self.device.name}: {before.total_bytes / 2**20:,.1f} MiB could not be had ({reason}); going on with "
            f"{self.plan.slots} labels in flight instead of {before.slots}. Other programs may hold memory of the "
            "device; --gpu-memory sets a limit."
        )

    def is_memory(self, error: Any) -> bool:
        """Whether an error says that there is no memory."""
        return getattr(error, "code", None) in _MEMORY_CODES

    def shrink(self, generation: int, reason: str) -> None:
        """After a launch failed for want of memory: half the memory, unless another thread has seen to it."""
        with self.lock:
            if generation != self.generation:
                return
            if self._last is not None:
                self._until_done(self._last, None, HANG_SECONDS, failures=False)
            self._halve(reason)
            self._allocate()

    # -- work --------------------------------------------------------------------------------------------------

    def size(self, left: int) -> int:
        """Labels of the next launch: whole waves that take about `LAUNCH_SECONDS`."""
        slots = self.plan.slots
        waves = max(1, int(self.rate * LAUNCH_SECONDS) // slots)
        return min(left, min(self.plan.launch // slots, waves) * slots)

    def kernel(self, name: str, size: int, group: int, *arguments: Any) -> Any:
        """Puts one kernel into the queue; returns its event. The lock is held."""
        kernel = self._kernels[name]
        kernel.set_args(*arguments)
        return self.cl.enqueue_nd_range_kernel(self.queue, kernel, (size,), (group,))

    def launch(self, state: Any, count: int, seed: Callable[[], Any], finish: Callable[[], Any]) -> Launch:
        """Puts `seed`, romix and `finish` behind what the queue holds and returns at once."""
        with self.lock:
            self.check()
            self.faults.step("launch")
            plan, layout = self.plan, self.plan.layout
            work = min(plan.slots, -(-count // layout.unit) * layout.unit)
            buffers = [self._v[min(number, plan.buffers - 1)] for number in range(plan_gpu.MAX_BUFFERS)]
            share = [self.cl.LocalMemory(4 * layout.group)] if layout.lanes == 4 and layout.lane_op == 0 else []
            numbers = (np.uint32(plan.per_buffer), np.uint32(count), np.uint32(1))
            first = seed()
            self.kernel("romix", work // layout.labels * layout.lanes, layout.group, state, *buffers, *numbers, *share)
            last = finish()
            self.queue.flush()
            begins = max(time.monotonic(), self._free_at)
            self._free_at = begins + (count / self.rate if self.rate else 0.0)
            self._last = last
            return Launch(first, last, count, self._free_at, self.generation)

    def wait(self, launch: Launch, stop: threading.Event) -> None:
        """Until a launch is done. Raises `Stopped` at once when told to, `KernelError` when the device is lost."""
        patience = HANG_SECONDS + 5 * max(0.0, launch.due - time.monotonic())
        self._until_done(launch.last, stop, patience, launch.due)
        seconds = (launch.last.profile.end - launch.first.profile.start) / 1e9
        with self.lock:
            self.rate = launch.count / max(seconds, 1e-6)
            self.busy_seconds += seconds
            if self._last is launch.last:
                self._free_at = time.monotonic()

    def read(self, into: npt.NDArray[Any], source: Any, stop: threading.Event) -> None:
        """Copies from the device, beside whatever computes."""
        self.faults.step("read")
        event = self.cl.enqueue_copy(self.transfer, into, source, is_blocking=False)
        self.transfer.flush()
        # some devices copy only when the launch that is under way has ended
        self._until_done(event, stop, HANG_SECONDS + 5 * max(0.0, self._free_at - time.monotonic()))

    def _until_done(
        self, event: Any, stop: threading.Event | None, limit_s: float, due: float = 0.0, failures: bool = True
    ) -> None:
        began = time.monotonic()
        complete = self.cl.command_execution_status.COMPLETE
        fine = POLL_SECONDS / 8
        while (status := event.command_execution_status) != complete:
            if status < 0:
                if failures:
                    raise CommandFailed(status)
                return
            now = time.monotonic()
            self.check()  # another thread may have given the device up
            if now - began > limit_s:
                self._lost = (
                    f"{self.device.name} (driver {self.device.driver}) has not answered for {limit_s:.0f} s: it is lost"
                )
                raise KernelError(self._lost)
            pause = min(LOOK_SECONDS, max(fine, (due - now) * EARLY))
            fine = min(POLL_SECONDS, 2 * fine)
            if stop is None:
                time.sleep(pause)
            elif stop.wait(pause):
                raise Stopped("the label engine was stopped")

    def leave(self) -> None:
        """One engine less; the last one takes the memory along, when the device is done with it."""
        if not self.lock.acquire(timeout=CLOSE_SECONDS):
            return  # it hangs while it is opened again
        try:
            self.users -= 1
            if self.users > 0 or self._lost:
                return
            if self._last is not None:
                self._until_done(self._last, None, CLOSE_SECONDS, failures=False)
            self.release(self.epoch, self._v)
            self._v.clear()
        except KernelError:
            return  # it hangs; the system takes the memory when the program ends
        finally:
            self.lock.release()


class Side:
    """The buffers of one engine beside the lookup memory; made for its largest launch so far."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._forget()
        self.best: Any = self._buffer(8 * CANDIDATE_WORDS)

    def _forget(self) -> None:
        self.epoch = self._card.epoch
        self._room = 0
        self._commitment: tuple[bytes, Any] = (b"", None)
        self.state: Any = None
        self.labels: Any = None
        self.groups: Any = None

    def renew(self) -> None:
        """At the beginning of a call: other buffers where the device was opened again."""
        if self.epoch != self._card.epoch:
            known = (self.state, self.labels, self.groups, self.best, self._commitment[1])
            self._card.release(self.epoch, (buffer for buffer in known if buffer is not None))
            self._forget()
            self.best = self._buffer(8 * CANDIDATE_WORDS)

    def _buffer(self, size: int) -> Any:
        return self._card.cl.Buffer(self._card.context, self._card.cl.mem_flags.READ_WRITE, size)

    def hold(self, count: int) -> None:
        """Makes room for a launch of `count` labels."""
        if count > self._room:
            self.state, self.labels = self._buffer(count * 128), self._buffer(count * 32)
            self.groups = self._buffer(-(-count // 64) * 8 * CANDIDATE_WORDS)
            self._room = count

    def given(self, values: npt.NDArray[np.uint64]) -> Any:
        """A buffer with values that the kernel reads."""
        flags = self._card.cl.mem_flags.READ_ONLY | self._card.cl.mem_flags.COPY_HOST_PTR
        return self._card.cl.Buffer(self._card.context, flags, hostbuf=np.array(values, np.uint64))

    def commitment(self, commitment: bytes) -> Any:
        """The commitment's buffer; the last one is kept, a job has only one."""
        if self._commitment[0] != commitment:
            self._commitment = (commitment, self.given(np.frombuffer(commitment, np.uint64)))
        return self._commitment[1]
