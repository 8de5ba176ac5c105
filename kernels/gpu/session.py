"""A graphics card from its opening to its end: the thread that makes all calls of its driver, and what may go wrong.

Launches are queued one behind the other, and what they computed is handed over while the next one computes. Nobody
waits without a limit, and every failure has one of three answers:

* a launch, copy or call of the driver that takes much longer than it should: the card is lost;
* an error of the driver: what is under way fails, the card is given up;
* memory that cannot be had: half of it, and the launches that missed it again.

What belongs to a driver that does not answer is left where it is, for ever: giving it back could hang as well, and so
could the end of the program. Specified in protocol 01-post-tools, sections 1.3 and 8.

More than 400 lines, because the thread and those who watch it share one state, which is easier to judge in one place.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels.devices.types import Device, Labels, VrfCandidate
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import plan as plan_gpu
from kernels.gpu.driver import Argument, Buffer, Bytes, Driver, DriverError, Kernel, Mark, OutOfMemory, first_line
from kernels.gpu.layout import Tuning, source
from kernels.gpu.plan import Plan

KERNELS = ("seed", "finish", "best", "seed_each", "finish_each")
"""All but romix: they depend on neither N nor the layout, and are built apart, so that drivers keep them."""

GROUP = 64
"""Work-group size of every kernel but romix."""

LABEL, LABEL32, KEY, INDEX, STATE = 16, 32, 32, 8, 128
"""Bytes on the device: a label, a full label, a commitment, an index, a label's state between the kernels."""

RECORD = 40
"""Bytes of a VRF candidate: the label's four words, most significant first, and the index."""

LOCAL = GROUP * RECORD
"""Bytes that a work-group shares where the smallest of its labels is found."""

SETS = 3
"""Launches that a card holds: one computes, one waits behind it, one is handed over."""

POLL_SECONDS = 0.001
"""Between two looks at a mark when it is due."""

LOOK_SECONDS = 0.05
"""At most between two looks before that: what is due when is only an estimate."""

EARLY = 0.95
"""Share of the estimated time that is slept through."""

HANG_SECONDS = 60.0
"""A launch that takes this much longer than it should, or a call of the driver that takes so long: the card is lost."""

OPEN_SECONDS = 180.0
"""For opening a card; its compiler may need most of it the first time."""

CLOSE_SECONDS = 10.0
"""How long the launches that are under way are waited for when a card is closed, or opened again."""


def leave_behind(thing: object) -> None:
    """Keeps something from ever being destroyed, by the end of the program least of all."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@dataclass(slots=True, eq=False)
class Launch:
    """Labels that somebody wants: consecutive ones of one commitment, or any."""

    keys: npt.NDArray[np.uint64]
    """[1, 4] or [n, 4]"""
    start: int
    count: int
    indices: npt.NDArray[np.uint64] | None
    out: Labels
    """Where they go: uint8[count, 16], uint8[count, 32] where there are indices."""
    candidate: VrfCandidate | None = None
    ended: bool = False
    """Whether it was computed; where it never will be, its session is lost."""
    wanted: bool = True
    """Whether somebody still waits for it; if not, `out` is not touched any more."""


@dataclass(frozen=True, slots=True, eq=False)
class _Memory:
    """Memory of the device, and of the host for copies to it or from it."""

    device: Buffer
    host: Bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Memory of one launch."""

    keys: _Memory
    indices: _Memory
    labels: _Memory
    best: _Memory
    no_best: Bytes
    """A candidate that every other one replaces."""


@dataclass(slots=True, eq=False)
class _Flight:
    """A launch that is queued on the device."""

    launch: Launch
    memory: _Set
    began: Mark
    computed: Mark
    copied: Mark
    since: float
    due: float
    """When it should be done, by the clock `time.monotonic`."""


def pause_before(due_in: float) -> float:
    """How long to sleep before the next look at a launch that should be done in so many seconds (negative: was)."""
    if due_in > 0:
        return min(LOOK_SECONDS, max(POLL_SECONDS / 8, due_in * EARLY))
    return min(POLL_SECONDS, max(POLL_SECONDS / 8, -due_in / 8))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a card is opened for, each time."""

    device: Device
    scrypt_n: int
    memory_bytes: int | None
    """Most that may be used."""
    note: Callable[[str], None]
    opened: Callable[[Device], Driver]


class Session:
    """A device from its opening to its end, with the thread that makes all calls of its driver."""

    def __init__(self, terms: Terms, change: threading.Condition, tuning: Tuning | None, plan: Plan | None) -> None:
        self.tuning = tuning
        self.lost: KernelError | None = None
        """Why nothing is computed any more."""
        self.waiting: deque[Launch] = deque()
        self.rate = 0.0
        """Labels a second while a launch computes."""
        self.busy_seconds = 0.0
        """Time that the device has computed, by its own clock."""
        self._terms = terms
        self._change = change
        self._flights: deque[_Flight] = deque()
        self._limit: float | None = time.monotonic() + OPEN_SECONDS
        """When the call of the driver that is under way should long have come back, by `time.monotonic`."""
        self._deed = "opening it"
        self._open = False
        self._ending = False
        self._over = False
        self._plan = plan
        self._driver: Driver | None = None
        self._kernels: Mapping[str, Kernel] = {}
        self._rows: list[Buffer] = []
        self._others: list[Buffer] = []
        self._idle: list[_Set] = []
        self._queueing: list[object] = []
        self._free_at = 0.0
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)

    # -- for those who wait ------------------------------------------------------------------------------------

    @property
    def known_plan(self) -> Plan | None:
        """What the card was opened with; None until its kernel is built."""
        return self._plan

    @property
    def plan(self) -> Plan:
        """The same, when it is known."""
        assert self._plan is not None
        return self._plan

    @property
    def takes_launches(self) -> bool:
        """Whether it is open and shall stay so."""
        return self._open and not self._ending

    def start(self) -> None:
        """Begins to open the device; `wait_open` raises why that was not possible."""
        try:
            self._thread.start()
        except RuntimeError as error:
            with self._change:
                self._over = True  # there is nothing to give back
                self._lose(KernelError(f"{self._name}: it got no thread to work in: {error}"))

    def wait_open(self) -> None:
        """Until the device is open. Raises why it is not."""
        with self._change:
            while not self._open and self.lost is None:
                self.watch()
                self._change.wait(LOOK_SECONDS)
            if self.lost is not None:
                raise self.lost

    def watch(self) -> None:
        """Gives the card up when a call of its driver does not come back. The lock is held."""
        if self._limit is not None and self.lost is None and time.monotonic() > self._limit:
            self._lose(KernelError(f"{self._name} does not come back from {self._deed}: it is lost"))
            self._keep()

    def end(self) -> None:
        """Gives everything back once what was asked for has ended, or leaves it all behind when that takes too long."""
        until = time.monotonic() + CLOSE_SECONDS
        with self._change:
            self._ending = True
            self._change.notify_all()
            while not self._over and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
            if not self._over:
                self._lose(KernelError(f"{self._name} was closed while it computed"))
                self._keep()

    # -- the card's own thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._set_up()
            with self._change:
                self._open = True
                self._change.notify_all()
            while self._step():
                pass
        except KernelError as error:
            self._failed(error)
        except BaseException as error:  # of a driver's package: no thread may end without a word
            self._failed(KernelError(f"{self._name} failed: {type(error).__name__}: {first_line(error)}"))
        self._tear_down()

    def _step(self) -> bool:
        """One launch queued, or one look at the oldest. False at the end."""
        with self._change:
            while not self._flights and not self.waiting:
                if self._ending:
                    return False
                self._change.wait()
            room = bool(self.waiting) and bool(self._idle)
            launch = self.waiting.popleft() if room else None
        if self.lost is not None:
            raise self.lost  # a call came back after the card had been given up
        try:
            if launch is None:
                self._look()
            else:
                self._queue(launch)
        except OutOfMemory as error:
            with self._change:
                self.waiting.extendleft([launch] if launch else [])
            self._go_on_with_less(error)
        return True

    @contextmanager
    def _calling(self, deed: str, seconds: float | None = None) -> Iterator[Driver]:
        """For calls of the driver: limits their time, for those who wait, and names the device in its errors."""
        assert self._driver is not None
        self._deed, self._limit = deed, time.monotonic() + (HANG_SECONDS if seconds is None else seconds)
        try:
            yield self._driver
        except OutOfMemory:
            raise
        except DriverError as error:
            raise KernelError(f"{self._name}: {deed} failed, {self.plan.layout.describe()}: {error}") from error
        finally:
            self._limit = None
        if self.lost is not None:
            raise self.lost

    @property
    def _name(self) -> str:
        return f"{self._terms.device.name} (driver {self._terms.device.driver})"

    def _set_up(self) -> None:
        terms = self._terms
        try:
            self._driver = driver = terms.opened(terms.device)
        except DriverError as error:
            raise KernelError(f"{self._name}: {error}") from error
        numbers, scrypt_n, limit = driver.numbers, terms.scrypt_n, terms.memory_bytes
        wanted = self.tuning or Tuning(plan_gpu.default_layout(numbers, scrypt_n, limit))
        layout = self._plan.layout if self._plan else wanted.layout.fitted(scrypt_n, numbers.max_group)
        options = [f"-D{name}={value}" for name, value in layout.options(scrypt_n).items()]
        try:
            romix = driver.build(source(), ["-DPART=1", *options], ["romix"])
            self._kernels = {**romix, **driver.build(source(), ["-DPART=2"], KERNELS)}
            if self._plan is None:
                registers = driver.registers(self._kernels["romix"])
                self._plan = plan_gpu.plan(numbers, layout, scrypt_n, limit, wanted.share, registers)
            self._side_memory()
        except OutOfMemory as error:
            needed = self._plan.launch * plan_gpu.SIDE_BYTES if self._plan else 0
            raise MemoryShortage(needed, numbers.memory_free or 0, f"{self._name}: {error}") from error
        except DriverError as error:
            raise KernelError(f"{self._name}, {layout.describe()}: {error}") from error
        self._take_rows()

    def _side_memory(self) -> None:
        """Memory beside the rows, for the largest launch of the first plan; halving later frees rows alone."""
        count = self.plan.launch
        self._states = self._allocate(count * STATE)
        self._groups = self._allocate(-(-count // GROUP) * RECORD)
        for _ in range(SETS):
            sizes = (count * KEY, count * INDEX, count * LABEL32, RECORD)
            keys, indices, labels, best = (_Memory(self._allocate(size), self._host(size)) for size in sizes)
            no_best = self._host(RECORD)
            no_best[:] = 0xFF
            self._idle.append(_Set(keys, indices, labels, best, no_best))

    def _host(self, size: int) -> Bytes:
        assert self._driver is not None
        return self._driver.host(size)

    def _allocate(self, size: int) -> Buffer:
        assert self._driver is not None
        self._others.append(self._driver.allocate(size))
        return self._others[-1]

    def _take_rows(self) -> None:
        """The lookup buffers of the plan, or of one with half the labels in flight, and so on."""
        while True:
            try:
                with self._calling("allocating memory", HANG_SECONDS if self._open else OPEN_SECONDS) as driver:
                    while len(self._rows) < self.plan.buffers:
                        self._rows.append(driver.allocate(self.plan.buffer_bytes))
                return
            except OutOfMemory as error:
                self._halve(error)

    def _halve(self, reason: OutOfMemory) -> None:
        with self._calling("giving memory back") as driver:
            while self._rows:
                driver.free(self._rows.pop())
            before, name = self.plan, self._terms.device.name
            try:
                self._plan = plan_gpu.halved(before, driver.numbers.max_allocation)
            except MemoryShortage as error:
                what = f"{name}, {reason}; one work-group of {before.layout.whole} labels"
                raise MemoryShortage(error.needed, error.available, what) from error
        self._terms.note(
            f"{name}: {before.total_bytes / 2**20:,.1f} MiB could not be had ({reason}); going on with "
            f"{self.plan.slots} labels in flight instead of {before.slots}. Other programs may hold memory of the "
            "device; --gpu-memory sets a limit."
        )

    def _go_on_with_less(self, reason: OutOfMemory) -> None:
        """After a launch missed memory: all that are under way end, those that missed it too are to do again."""
        again: list[Launch] = []
        while self._flights:
            flight = self._flights[0]
            try:
                self._look()
            except OutOfMemory:
                again.append(flight.launch)
                self._idle.append(self._flights.popleft().memory)
        with self._change:
            self.waiting.extendleft(reversed(again))
        self._drain()
        self._halve(reason)
        self._take_rows()

    def _drain(self) -> None:
        """Until a launch that could be queued only in part has ended, too: it may use rows that are freed next."""
        until = time.monotonic() + HANG_SECONDS
        with self._calling("computing", HANG_SECONDS + CLOSE_SECONDS) as driver:
            self._queueing.append(end := driver.mark())
            try:
                while not driver.done(end):
                    if time.monotonic() > until:
                        raise _Hangs(f"{self._name} has not answered for {HANG_SECONDS:.0f} s: it is lost")
                    time.sleep(POLL_SECONDS)
            except OutOfMemory:
                pass  # it missed the memory itself
        self._queueing.clear()

    def _queue(self, launch: Launch) -> None:
        """One launch: what it needs up, its kernels, its result down."""
        plan, memory, count = self.plan, self._idle[-1], launch.count
        layout, blocks, n = plan.layout, -(-count // GROUP), np.uint32(count)
        rows = [self._rows[min(number, plan.buffers - 1)] for number in range(plan_gpu.MAX_BUFFERS)]
        romix = (self._states, *rows, np.uint32(plan.per_buffer), n, np.uint32(1))
        share = [4 * layout.group] if layout.lanes == 4 and layout.lane_op == 0 else []
        # no more groups than labels need: a group without labels would compute surplus ones
        groups = min(plan.slots, -(-count // layout.unit) * layout.unit) // layout.unit
        keys, step = memory.keys.device, np.uint32(len(launch.keys) > 1)
        labels, best = memory.labels.device, memory.best.device
        seed: tuple[Argument, ...]
        if launch.indices is None:
            name, what = "seed", f"labels {launch.start}…{launch.start + count - 1}"
            seed = (self._states, keys, np.uint64(launch.start), n)
        else:
            name, what = "seed_each", f"{count} single labels"
            seed = (self._states, keys, memory.indices.device, n, step)
        with self._calling(f"computing {what}") as driver:
            driver.upload(keys, _filled(memory.keys.host, launch.keys))
            if launch.indices is None:
                driver.upload(best, memory.no_best)
            else:
                driver.upload(memory.indices.device, _filled(memory.indices.host, launch.indices))
            self._queueing.append(began := driver.mark())
            driver.launch(self._kernels[name], blocks, GROUP, seed)
            driver.launch(self._kernels["romix"], groups, layout.group, romix, share)
            copies = [(memory.labels.host[: launch.out.nbytes], labels)]
            if launch.indices is None:
                driver.launch(self._kernels["finish"], blocks, GROUP, (*seed, labels, self._groups), (LOCAL,))
                last = (self._groups, np.uint32(blocks), best)
                driver.launch(self._kernels["best"], 1, GROUP, last, (LOCAL, LOCAL))
                copies.append((memory.best.host, best))
            else:
                driver.launch(self._kernels["finish_each"], blocks, GROUP, (*seed, labels))
            self._queueing.append(computed := driver.mark())
            self._queueing.append(copied := driver.read(copies, computed))
        self._idle.pop()
        begins, rate = max(time.monotonic(), self._free_at), self.rate
        self._free_at = begins + (count / rate if rate else 0.0)
        self._flights.append(_Flight(launch, memory, began, computed, copied, begins, self._free_at))
        self._queueing.clear()

    def _look(self) -> None:
        """Hands the oldest launch over if it is done, else sleeps a little."""
        flight = self._flights[0]
        with self._calling("computing") as driver:
            done = driver.done(flight.computed) and driver.done(flight.copied)
            seconds = driver.seconds(flight.began, flight.computed) if done else 0.0
        now = time.monotonic()
        if not done:
            # some devices copy only when the launch behind this one has ended, so that counts as well
            patience = HANG_SECONDS + 5 * (max(0.0, self._free_at - flight.since))
            if now - flight.since > patience:
                raise _Hangs(f"{self._name} has not answered for {now - flight.since:.0f} s: it is lost")
            with self._change:
                self._change.wait(pause_before(flight.due - now))
            return
        self._flights.popleft()
        self._idle.append(flight.memory)
        if self._flights:
            self._flights[0].since = now
        else:
            self._free_at = now
        launch, memory = flight.launch, flight.memory
        with self._change:
            self.rate = launch.count / max(seconds, 1e-6)
            self.busy_seconds += seconds
            if launch.wanted:
                launch.out[:] = memory.labels.host[: launch.out.nbytes].reshape(launch.out.shape)
                launch.candidate = decode_record(memory.best.host) if launch.indices is None else None
            launch.ended = True
            self._change.notify_all()

    # -- its end -----------------------------------------------------------------------------------------------

    def _failed(self, error: KernelError) -> None:
        with self._change:
            self._lose(error)
            if isinstance(error, _Hangs):
                self._keep()

    def _lose(self, error: KernelError) -> None:
        """Nothing is computed any more: whoever waits for a launch finds why in `lost`. The lock is held."""
        if self.lost is None:
            self.lost = error
        self.waiting.clear()
        self._change.notify_all()

    def _keep(self) -> None:
        """Nothing of this is ever destroyed: its driver would wait for what never ends."""
        if not self._over:
            self._over = True
            leave_behind(self)

    def _tear_down(self) -> None:
        """Gives the device's memory back; what is under way has to end before, within a time."""
        driver, until = self._driver, time.monotonic() + CLOSE_SECONDS
        try:
            if self._over or driver is None:
                return
            self._deed, self._limit = "closing it", until + HANG_SECONDS
            self._queueing.append(end := driver.mark())
            marks = [mark for flight in self._flights for mark in (flight.computed, flight.copied)]
            for mark in (*marks, end):
                while not self._over and not self._reached(driver, mark):
                    if time.monotonic() > until:
                        with self._change:
                            self._keep()
                    time.sleep(POLL_SECONDS)
            if not self._over:
                for buffer in (*self._rows, *self._others):
                    driver.free(buffer)
                driver.close()
        except KernelError:
            pass  # one that fails here has failed before, and that was reported
        finally:
            self._limit = None
            with self._change:
                if not self._over:
                    self._kernels, self._driver = {}, None
                    for held in (self._rows, self._others, self._idle, self._queueing, self._flights):
                        held.clear()
                self._over = True
                self._change.notify_all()

    @staticmethod
    def _reached(driver: Driver, mark: Mark) -> bool:
        try:
            return driver.done(mark)
        except KernelError:
            return True  # the work before it has ended, if not well


def _filled(memory: Bytes, values: npt.NDArray[np.uint64]) -> Bytes:
    """As much of the memory as the values take, with them in it."""
    part = memory[: values.nbytes]
    part[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return part


class _Hangs(KernelError):
    """A card does not end what it was told to do."""


def decode_record(record: Bytes) -> VrfCandidate:
    """The candidate that the kernel `best` left."""
    words = record.view(np.uint64)
    return VrfCandidate(int(words[4]), words[:4].astype(">u8").tobytes())
