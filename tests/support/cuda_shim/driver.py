"""A driver of CUDA's kind that runs the kernels on the CPU: real labels, and an order of work to choose.

Queued work does nothing until somebody waits for it. Then the queues advance in an order drawn from a seed, each
in its own order and no further than the marks allow: an engine that forgets a mark, or touches memory that a
queued copy still needs, computes wrong labels here for some seed. Allocations are limited as on a device, start
full of rubbish, and stand between guard bytes that are checked when they are given back.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kernels.gpu.cuda_devices import Properties, numbers_of
from kernels.gpu.driver import Argument, Bytes, Driver, DriverError, Kernel, OutOfMemory
from tests.support.cuda_shim.build import CompilationFailed, Library

GUARD = 256
ALIGNMENT = 256
RUBBISH = 0xA5


@dataclass
class Stream:
    """A queue; `name` says in a trace which."""

    name: str
    work: deque[tuple[str, Callable[[], None], Callable[[], bool]]] = field(default_factory=deque)


@dataclass
class Event:
    """A mark: how often it was recorded, and how many of these the work has passed."""

    recorded: int = 0
    reached: int = 0
    time: float = 0.0


def small_card(multiprocessors: int = 1, memory_bytes: int = 1 << 30) -> Properties:
    """The figures of a card that is small enough for a CPU to be one."""
    return Properties("Fake", multiprocessors, (8, 6), 65536, 1536, memory_bytes, "0000:01:00.0")


class ShimDevice:
    """The device, with streams and events as CUDA has them.

    `order` is the seed of the order of work; 0 does everything at once, as it is queued. `before_launch` may
    raise what a driver raises; `while_running` may raise what a device does to those who wait.
    """

    def __init__(
        self,
        folder: Path,
        properties: Properties | None = None,
        *,
        order: int = 0,
        before_launch: Callable[[str], None] = lambda name: None,
        while_running: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.properties = properties or small_card()
        self.trace: list[str] = []
        """What was queued, in that order."""
        self.carried_out: list[str] = []
        """What was carried out, in that order."""
        self.queued_at: list[int] = []
        """How much of that was carried out when each of `trace` was queued."""
        self.closed = False
        self.refuse_above: int | None = None
        """Allocations of more bytes than this are refused."""
        self._folder = folder
        self._order = order
        self._random = random.Random(order)
        self._before_launch = before_launch
        self._while_running = while_running
        self._lock = threading.RLock()
        self._memory: dict[int, Bytes] = {}
        self._streams: list[Stream] = []

    @property
    def allocated_bytes(self) -> int:
        """Bytes in use."""
        return sum(block.nbytes - 2 * GUARD - ALIGNMENT for block in self._memory.values())

    def free_memory(self) -> int:
        return self.properties.memory_bytes - self.allocated_bytes

    def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Kernel]:
        try:
            return Library(source, options, names, self._folder).kernels
        except CompilationFailed as error:
            raise DriverError(f"compiling the kernels with {' '.join(options)} failed: {error}") from error

    def allocate(self, size: int) -> int:
        with self._lock:
            if size > self.free_memory() or (self.refuse_above is not None and size > self.refuse_above):
                raise OutOfMemory(f"allocating {size} bytes failed: out of memory")
            block = np.full(size + 2 * GUARD + ALIGNMENT, RUBBISH, np.uint8)
            address = -(-(int(block.ctypes.data) + GUARD) // ALIGNMENT) * ALIGNMENT
            self._memory[address] = block
            self.trace.append(f"allocate {size}")
            return address

    def free(self, address: int) -> None:
        with self._lock:
            assert not any(stream.work for stream in self._streams), "memory is freed that queued work may use"
            self._check_guards(address)
            del self._memory[address]
            self.trace.append("free")

    def pinned(self, size: int) -> Bytes:
        return np.full(size, RUBBISH, np.uint8)

    def stream(self) -> Any:
        self._streams.append(Stream(f"stream {len(self._streams)}"))
        return self._streams[-1]

    def event(self) -> Any:
        return Event()

    def upload(self, address: int, data: Bytes, stream: Any) -> None:
        target = self._view(address, data.nbytes)
        self._queue(stream, f"upload {data.nbytes}", lambda: np.copyto(target, data))

    def download(self, data: Bytes, address: int, stream: Any) -> None:
        source = self._view(address, data.nbytes)
        self._queue(stream, f"download {data.nbytes}", lambda: np.copyto(data, source))

    def launch(self, kernel: Any, groups: int, size: int, arguments: Sequence[Argument], stream: Any) -> None:
        self._before_launch(kernel.name)
        order = self._random.choice([0, 1, self._random.randrange(2, 1 << 31)]) if self._order else 0

        def run() -> None:
            kernel(groups, size, arguments, order)
            self._while_running(kernel.name)

        self._queue(stream, f"{kernel.name} {groups}x{size}", run)

    def record(self, event: Any, stream: Any) -> None:
        with self._lock:
            event.recorded += 1
            number = event.recorded

        def reach() -> None:
            event.reached, event.time = number, time.perf_counter()

        self._queue(stream, "record", reach)

    def follow(self, stream: Any, event: Any) -> None:
        number = event.recorded
        self._queue(stream, "follow", lambda: None, lambda: event.reached >= number)

    def done(self, event: Any) -> bool:
        """Whether the mark is reached; with an order of work, after some steps of it."""
        with self._lock:
            for _ in range(self._random.randrange(6) if self._order else 0):
                if any(stream.work for stream in self._streams):
                    self._advance_once()
            return bool(event.reached >= event.recorded)

    def seconds(self, earlier: Any, later: Any) -> float:
        assert earlier.reached == earlier.recorded and later.reached == later.recorded, "a mark was not reached yet"
        return later.time - earlier.time

    def close(self) -> None:
        with self._lock:
            for address in self._memory:
                self._check_guards(address)
            self.closed = True

    def _queue(
        self, stream: Stream, what: str, work: Callable[[], None], ready: Callable[[], bool] = lambda: True
    ) -> None:
        with self._lock:
            self.trace.append(f"{stream.name}: {what}")
            self.queued_at.append(len(self.carried_out))
            stream.work.append((what, work, ready))
        with self._lock:
            while not self._order and any(queue.work and queue.work[0][2]() for queue in self._streams):
                self._advance_once()

    def _advance_once(self) -> None:
        able = [stream for stream in self._streams if stream.work and stream.work[0][2]()]
        assert able, "the device waits for a mark that nobody will reach"
        stream = self._random.choice(able)
        what, work, _ = stream.work.popleft()
        self.carried_out.append(f"{stream.name}: {what}")
        work()

    def _view(self, address: int, size: int) -> Bytes:
        """Device memory; the whole range must be of one allocation."""
        for start, block in self._memory.items():
            usable = block.nbytes - 2 * GUARD - ALIGNMENT
            if start <= address and address + size <= start + usable:
                offset = address - int(block.ctypes.data)
                return block[offset : offset + size]
        raise AssertionError(f"a copy of {size} bytes at {address:#x} is outside all allocations")

    def _check_guards(self, address: int) -> None:
        block = self._memory[address]
        size = block.nbytes - 2 * GUARD - ALIGNMENT
        offset = address - int(block.ctypes.data)
        assert (block[:offset] == RUBBISH).all(), "a kernel wrote before the start of an allocation"
        assert (block[offset + size :] == RUBBISH).all(), "a kernel wrote behind the end of an allocation"


class ShimDriver:
    """Implements `kernels.gpu.driver.Driver` on such a device."""

    def __init__(self, card: ShimDevice) -> None:
        self.card = card
        self.numbers = numbers_of(card.properties, card.free_memory())
        self.compute, self.copies = card.stream(), card.stream()

    def build(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Kernel]:
        return self.card.compile(source, options, names)

    def registers(self, kernel: Kernel) -> int | None:
        return int(kernel.registers)

    def allocate(self, size: int) -> np.uint64:
        return np.uint64(self.card.allocate(size))

    def free(self, buffer: np.uint64) -> None:
        self.card.free(int(buffer))

    def host(self, size: int) -> Bytes:
        return self.card.pinned(size)

    def upload(self, buffer: np.uint64, data: Bytes) -> None:
        self.card.upload(int(buffer), data, self.compute)

    def launch(
        self, kernel: Kernel, groups: int, size: int, arguments: Sequence[Argument], local: Sequence[int] = ()
    ) -> None:
        self.card.launch(kernel, groups, size, arguments, self.compute)

    def mark(self) -> Any:
        return self._marked(self.compute)

    def read(self, copies: Sequence[tuple[Bytes, np.uint64]], after: Any) -> Any:
        self.card.follow(self.copies, after)
        for data, buffer in copies:
            self.card.download(data, int(buffer), self.copies)
        return self._marked(self.copies)

    def _marked(self, stream: Stream) -> Any:
        event = self.card.event()
        self.card.record(event, stream)
        return event

    def done(self, mark: Any) -> bool:
        return self.card.done(mark)

    def seconds(self, earlier: Any, later: Any) -> float:
        return self.card.seconds(earlier, later)

    def close(self) -> None:
        self.card.close()


def as_driver(driver: ShimDriver) -> Driver:
    """The same object; for the type checker, which compares it with the protocol here."""
    return driver
