"""One pass over labels on disk: pieces of 1 MiB are read ahead and scanned by threads, results come in order.

Reads go past the page cache where the file system allows it, straight into the memory that is scanned, several at
a time, so that the disk is never idle while a thread computes. Memory is bounded by the number of pieces in flight.
Specified in protocol 01-post, section 5.3.
"""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from protocol.post.rules import LABEL_SIZE
from prover.errors import EnvironmentFault
from prover.post.directory import PAGE, Storage
from prover.post.layout import Layout, file_name

if TYPE_CHECKING:
    from kernels.scan.aes import Scanner

BATCH_BYTES = 1 << 20
CHUNK_LABELS = 8
"""Labels of one chunk: a tail of a batch that is not a whole chunk is skipped."""

READERS = 4
"""Reads in flight: a disk needs several to be busy all the time."""

AHEAD = 16
"""Batches that are read, or wait for their turn, beside those that the threads scan."""

END_SECONDS = 1.0
"""How long the end of a read is waited for when a pass is broken off."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Batch:
    """A piece of one file that is read and scanned at once."""

    number: int
    """Place in the order of the pass."""
    file: int
    offset: int
    labels: int
    """A multiple of 8."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came out of one batch."""

    hits: Words
    """As `kernels.scan.aes.Scanner.good` gives them."""
    fault: str
    """Why the batch could not be read whole; empty: it could."""


class Batches:
    """All batches of a pass in order: files by the number in their name, each in pieces of 1 MiB.

    They are computed when they are asked for: of large data there are millions.
    """

    def __init__(self, layout: Layout, sizes: Mapping[int, int]) -> None:
        """`sizes`: bytes of the files that are there, by their number."""
        self.sizes = tuple(sorted(sizes.items()))
        self._size = BATCH_BYTES
        self._files: list[tuple[int, int]] = []
        self._first: list[int] = []
        """The number of the first batch of every file, and of the labels before it."""
        self._labels_before: list[int] = []
        self._count = self.labels = 0
        for file, on_disk in self.sizes:
            whole, rest = divmod(min(on_disk, layout.file_size(file)), self._size)
            tail = rest // LABEL_SIZE // CHUNK_LABELS * CHUNK_LABELS
            if whole or tail:
                self._files.append((file, tail))
                self._first.append(self._count)
                self._labels_before.append(self.labels)
                self._count += whole + (tail > 0)
                self.labels += whole * (self._size // LABEL_SIZE) + tail

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Batch:
        if not 0 <= number < self._count:
            raise IndexError(number)
        place = bisect_right(self._first, number) - 1
        file, tail = self._files[place]
        is_last = number + 1 == (self._first[place + 1] if place + 1 < len(self._first) else self._count)
        labels = tail if is_last and tail else self._size // LABEL_SIZE
        return Batch(number, file, (number - self._first[place]) * self._size, labels)

    def labels_before(self, number: int) -> int:
        """How many labels all batches before this one have."""
        if number >= self._count:
            return self.labels
        place = bisect_right(self._first, number) - 1
        return self._labels_before[place] + (number - self._first[place]) * (self._size // LABEL_SIZE)


class Scan:
    """The threads of a pass."""

    def __init__(
        self,
        storage: Storage,
        threads: int,
        *,
        cores: Sequence[int] = (),
        stop: threading.Event | None = None,
        name_of: Callable[[int], str] = file_name,
    ) -> None:
        """`cores`: processors that the scanning threads are pinned to; `name_of`: number of a file -> its name."""
        self._storage, self._threads, self._cores, self._name_of = storage, threads, cores, name_of
        self._stop = stop or threading.Event()

    def in_order(
        self, batches: Batches, first: int, scanner: Scanner, skipped: Callable[[int], bool] = lambda file: False
    ) -> Generator[tuple[Batch, Scanned]]:
        """Every batch from number `first` on, with what was found in it. After `stop` the results say nothing.

        Files for which `skipped` holds are not read any more. Close the generator to end the threads early.
        """
        running = _Running(self, batches, first, scanner, skipped)
        finished: dict[int, Scanned] = {}
        try:
            for number in range(first, len(batches)):
                while number not in finished:
                    place, result = running.done.get()
                    if isinstance(result, BaseException):
                        raise result
                    finished[place] = result
                yield batches[number], finished.pop(number)
                running.room.release()
        finally:
            running.end()

    def _read(self, batch: Batch, memory: Words) -> tuple[int, str]:
        """The number of labels that were read, and why there are not more."""
        wanted = batch.labels * LABEL_SIZE
        whole_pages = -(-wanted // PAGE) * PAGE
        name = self._name_of(batch.file)
        try:
            read = self._storage.read_into(name, batch.offset, memory.view(np.uint8)[:whole_pages])
        except EnvironmentFault as error:
            return 0, str(error)
        if read >= wanted:
            return batch.labels, ""
        labels = read // LABEL_SIZE
        fault = f"{self._storage.path / name} ends at byte {batch.offset + read}: it was shortened during the pass."
        return labels - labels % CHUNK_LABELS, fault


class _Running:
    """The threads at work. Queues between them instead of futures: a fast disk brings thousands of batches a second."""

    def __init__(
        self, scan: Scan, batches: Batches, first: int, scanner: Scanner, skipped: Callable[[int], bool]
    ) -> None:
        self._scan, self._batches, self._scanner, self._skipped = scan, batches, scanner, skipped
        self._ended = False
        self._taking = threading.Lock()
        self._numbers = iter(range(first, len(batches)))
        depth = min(scan._threads + AHEAD, len(batches) - first)
        self.room = threading.Semaphore(depth)
        """One place for each batch that may be in flight; taken in order, so that the next one to yield has one."""
        self._free: SimpleQueue[Words] = SimpleQueue()
        for _ in range(depth):
            self._free.put(np.frombuffer(mmap.mmap(-1, BATCH_BYTES), np.uint64))
        self._read: SimpleQueue[tuple[int, Words, int, str] | None] = SimpleQueue()
        self.done: SimpleQueue[tuple[int, Scanned | BaseException]] = SimpleQueue()
        self._readers = [self._start("read", self._read_all) for _ in range(min(READERS, depth))]
        self._scanners = [self._start("prove", self._scan_all, place) for place in range(scan._threads)]

    def _start(self, name: str, work: Callable[..., None], *words: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*words)
            except BaseException as error:  # whoever waits for results raises it
                self.done.put((-1, error))

        thread = threading.Thread(target=run, name=name, daemon=True)  # a read may hang on a dying disk
        thread.start()
        return thread

    def end(self) -> None:
        """Lets all threads end, and waits for them."""
        self._ended = True
        for _ in self._readers:
            self.room.release()
        for _ in self._scanners:
            self._read.put(None)
        for thread in self._scanners:
            thread.join()
        for thread in self._readers:
            thread.join(END_SECONDS)

    def _read_all(self) -> None:
        while True:
            with self._taking:
                self.room.acquire()
                number = None if self._ended else next(self._numbers, None)
            if number is None:
                self.room.release()  # another reader may wait for it, to find that there is nothing left
                return
            batch, memory = self._batches[number], self._free.get()
            count, fault = 0, ""
            if not (self._scan._stop.is_set() or self._skipped(batch.file)):
                count, fault = self._scan._read(batch, memory)
            self._read.put((number, memory, count, fault))

    def _scan_all(self, place: int) -> None:
        if place < len(self._scan._cores) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {self._scan._cores[place]})
        room = self._scanner.room()
        while (got := self._read.get()) is not None and not self._ended:
            number, memory, count, fault = got
            hits = self._scanner.good(memory, 0 if self._scan._stop.is_set() else count, room)
            self._free.put(memory)
            self.done.put((number, Scanned(hits, fault)))
