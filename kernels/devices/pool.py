"""Several devices on one list of label ranges, results in order.

Work-stealing: whoever is free takes the next piece of the list, sized so that a piece takes about the same time on
every device. Pieces come back in any order and leave in the order of the list, so one writer can append them.

A piece whose device failed is given back and taken by the next that is free; the device is opened again and tries
another one. A device that is much slower than it was gives its piece back too: who has nothing else to do takes it,
and what comes late is dropped. Three such failures in a row retire an engine, the job goes on with the others.

The last label of the first piece of every engine, and of every sixteenth after it, is recomputed in plain integers; of
a GPU's pieces, with a `Sample`, the last and some random labels of each: a device that computes wrong labels is retired
at once and none of that piece leaves the pool. `pause` lets all rest until `resume`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from kernels.devices import types as devices
from kernels.devices.spot_check import Sample, WrongLabel
from kernels.devices.types import Device, Engine, Labels, Stopped, VrfCandidate
from kernels.errors import KernelError

PIECE_SECONDS = 0.4
"""What one piece should take: short enough to stop quickly and lose little, long enough to cost nothing."""

MAX_PIECE = 1 << 19
"""Labels; bounds the memory of pieces that wait for their turn (8 MiB each). Only the fastest cards reach it, and with
smaller pieces the check of each would cost more than 2 % of a core."""

FAILURES_TO_RETIRE = 3
RETRY_SECONDS = 1.0
CHECK_EVERY = 16

SLOW_SECONDS = 10.0
"""A piece that is under way for less is not slow, whatever it should take."""

SLOW_FACTOR = 4.0
"""It is slow when a device that has nothing to do would have computed it so many times meanwhile."""

LOOK_SECONDS = 1.0
"""How often one that has nothing to do looks for slow pieces."""

END_SECONDS = 0.1
"""How often the end of a job looks whether a thread is still worth waiting for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive labels from one device."""

    start: int
    labels: Labels
    """uint8[count, 16]"""
    candidate: VrfCandidate
    device: Device


@dataclass(slots=True)
class DeviceReport:
    """What one device has done so far in a job."""

    device: Device
    labels: int = 0
    seconds: float = 0.0
    """Time spent computing, summed over its engines."""
    errors: list[str] = field(default_factory=list)
    retired: int = 0
    """Engines of the device that were given up."""
    reopened: int = 0
    """How often the device was opened again after a failure."""
    checked: int = 0
    """Labels that were recomputed on the CPU."""
    distrusted: bool = False
    """A GPU computed a wrong label: none of its engines is used any more."""


class AllDevicesFailed(KernelError):
    """No engine is left that could compute the rest."""


@dataclass(frozen=True, slots=True)
class _Piece:
    number: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """Who computes a piece, and since when (by the clock `time.monotonic`)."""

    piece: _Piece
    worker: _Worker
    since: float


class _Worker:
    """One engine and its thread's own state."""

    def __init__(self, engine: Engine, report: DeviceReport, sample: Sample | None) -> None:
        self.engine = engine
        self.report = report
        self.sample = sample
        self.size = engine.granularity if sample is None else min(engine.granularity, sample.first)
        self.rate = 0.0
        """Labels a second of the last piece; 0 before the first."""
        self.failures = 0
        """In a row."""
        self.pieces = 0
        self.retired = False
        self.overtaken = False
        """Another device has taken the piece that this one is computing."""
        self.reopening = False

    @property
    def detained(self) -> bool:
        """Whether its thread may be busy for long with something that the job does not need."""
        return self.overtaken or self.reopening

    def measured(self, count: int, seconds: float, target_seconds: float) -> None:
        """Chooses the next piece's size; grows at most eightfold at a time, so that one odd figure does little."""
        granularity = self.engine.granularity
        self.rate = count / max(seconds, 1e-6)
        wanted = int(self.rate * target_seconds)
        wanted = min(wanted, 8 * self.size, MAX_PIECE)
        self.size = max(granularity, wanted - wanted % granularity)


class Pool:
    """Runs engines over ranges. `share` below 1 lets every engine rest so that it works that share of time.

    `reopen` opens the device of an engine again after a failure; False when that is not possible.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        share: float = 1.0,
        piece_seconds: float = PIECE_SECONDS,
        check: Callable[[bytes, int], bytes] | None = None,
        sample: Sample | None = None,
        reopen: Callable[[Engine], bool] = devices.reopen,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reports: list[DeviceReport] = []
        self._workers: list[_Worker] = []
        for engine in engines:
            report = next((report for report in self.reports if report.device == engine.device), None)
            if report is None:
                report = DeviceReport(engine.device)
                self.reports.append(report)
            self._workers.append(_Worker(engine, report, sample if engine.device.backend != "cpu" else None))
        self._share = share
        self._piece_seconds = piece_seconds * min(1.0, max(share, 0.25))
        self._check = check
        self._reopen = reopen
        self._clock = clock
        self._change = threading.Condition()
        self._stopped = False
        self._last_error = ""
        self._paused_at: float | None = None
        self._paused_before = 0.0

    @property
    def engines(self) -> list[Engine]:
        """The engines that were not retired."""
        return [worker.engine for worker in self._workers if not worker.retired]

    @property
    def paused(self) -> bool:
        """Whether the pool rests until `resume`."""
        return self._paused_at is not None

    @property
    def paused_seconds(self) -> float:
        """Time spent in pauses so far."""
        paused_at = self._paused_at
        return self._paused_before + (0.0 if paused_at is None else time.monotonic() - paused_at)

    def pause(self) -> None:
        """Lets every engine end its piece and then rest. May be called from any thread or signal handler."""
        with self._change:
            if self._paused_at is None:
                self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Ends a pause."""
        with self._change:
            self._paused_before, self._paused_at = self.paused_seconds, None
            self._change.notify_all()

    def run(self, commitment: bytes, ranges: Iterable[tuple[int, int]]) -> Generator[Batch, None, None]:
        """Batches that cover the (start, count) ranges, in their order; a batch never crosses a range.

        Raises `AllDevicesFailed` when pieces are left and no engine is; `Stopped` after `stop`.
        """
        job = _Job(self, commitment, ranges)
        try:
            yield from job.results()
        finally:
            job.end()

    def stop(self) -> None:
        """Ends a running job soon: its iterator raises `Stopped`. May be called from any thread."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for worker in self._workers:
            worker.engine.stop()

    def close(self) -> None:
        """Gives the engines' memory back."""
        for worker in self._workers:
            worker.engine.close()


class _Job:
    """One call of `Pool.run`: the list of pieces, the threads, and the results that wait for their turn."""

    def __init__(self, pool: Pool, commitment: bytes, ranges: Iterable[tuple[int, int]]) -> None:
        self._pool = pool
        self._commitment = commitment
        self._ranges = iter(ranges)
        self._current = (0, 0)
        self._given_back: deque[_Piece] = deque()
        self._done: dict[int, Batch] = {}
        self._under_way: dict[int, _UnderWay] = {}
        self._taken = 0
        self._next = 0
        self._exhausted = False
        self._over = False
        self._change = pool._change
        self._active = [worker for worker in pool._workers if not (worker.retired or worker.detained)]
        self._ahead = 4 * len(self._active) + 4
        self._mistake: Exception | None = None
        self._threads: list[tuple[_Worker, threading.Thread]] = []
        for worker in list(self._active):
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        """Gives an engine its thread; where the system has none left, the others do the work."""
        thread = threading.Thread(target=self._guarded, args=(worker,), name="labels", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            with self._change:
                self._pool._last_error = f"{worker.engine.device.name}: {error}"
                worker.report.errors.append(f"it got no thread to work in: {error}")
                self._active.remove(worker)
        else:
            self._threads.append((worker, thread))

    def results(self) -> Iterator[Batch]:
        while True:
            with self._change:
                while not self._ready():
                    self._change.wait()
                if self._pool._stopped:
                    raise Stopped("the job was stopped")
                if self._next not in self._done:
                    if self._exhausted and self._next == self._taken:
                        if self._mistake is not None:
                            raise self._mistake
                        return
                    raise AllDevicesFailed(
                        f"no device is left that works; the last error was: {self._pool._last_error}"
                    )
                batch = self._done.pop(self._next)
                self._next += 1
                self._change.notify_all()
            yield batch

    def end(self) -> None:
        with self._change:
            self._over = True
            self._change.notify_all()
        if self._pool._stopped:
            return  # the engines end by themselves; a hanging driver must not keep the program from leaving
        for worker, thread in self._threads:
            while thread.is_alive() and not worker.detained:
                thread.join(END_SECONDS)

    def _ready(self) -> bool:
        return (
            self._pool._stopped
            or self._next in self._done
            or (self._exhausted and self._next == self._taken)
            or not self._active
        )

    def _take(self, worker: _Worker) -> _Piece | None:
        """The next piece for a worker; waits while the writer is far behind. None: nothing will come."""
        with self._change:
            while not (self._over or self._pool._stopped):
                if worker.report.distrusted and worker.sample is not None:
                    self._retire(worker)
                    return None
                if self._pool.paused:
                    self._change.wait()
                    continue
                if self._exhausted and self._next == self._taken:
                    return None
                piece = self._given_back.popleft() if self._given_back else self._following(worker)
                piece = piece or self._overdue(worker)
                if piece is not None:
                    self._under_way[piece.number] = _UnderWay(piece, worker, time.monotonic())
                    return piece
                # a worker with nothing to take stays: another's piece may be given back, or become overdue
                self._change.wait(LOOK_SECONDS)
        return None

    def _following(self, worker: _Worker) -> _Piece | None:
        """A piece of the list; None at its end, or while the writer is far behind."""
        while not self._exhausted and self._taken - self._next < self._ahead:
            start, count = self._current
            if count:
                size = min(count, worker.size)
                self._current = (start + size, count - size)
                self._taken += 1
                return _Piece(self._taken - 1, start, size)
            try:
                following = next(self._ranges, None)
            except Exception as error:  # the caller's mistake, and the caller gets it
                self._mistake, following = error, None
            if following is None:
                self._exhausted = True
                self._change.notify_all()
            else:
                self._current = following
        return None

    def _overdue(self, worker: _Worker) -> _Piece | None:
        """A piece that another device takes too long for, if this one would be much quicker."""
        for one in self._under_way.values():
            if worker.rate and one.worker.report is not worker.report:
                patience = max(SLOW_SECONDS, SLOW_FACTOR * one.piece.count / worker.rate)
                if time.monotonic() - one.since > patience:
                    one.worker.overtaken = True
                    return one.piece
        return None

    def _guarded(self, worker: _Worker) -> None:
        """`_work`, whatever happens in it: without memory even handing over a piece can fail."""
        try:
            self._work(worker)
        except BaseException as error:
            with self._change:
                for one in [one for one in self._under_way.values() if one.worker is worker]:
                    self._failed(worker, one.piece, f"{type(error).__name__}: {error}")
                if worker in self._active:
                    self._retire(worker)

    def _work(self, worker: _Worker) -> None:
        while (piece := self._take(worker)) is not None:
            began = self._pool._clock()
            try:
                batch = self._compute(worker, piece)
            except Stopped as error:
                with self._change:
                    self._pool._last_error = str(error)
                    self._active.remove(worker)
                    self._give_back(worker, piece)
                return
            except WrongLabel as error:
                worker.report.distrusted = worker.sample is not None
                self._failed(worker, piece, str(error))
                self._retire(worker)
                return
            except Exception as error:  # whatever a driver raises: the device is judged by its failures
                self._failed(worker, piece, f"{type(error).__name__}: {error}")
                if worker.failures >= FAILURES_TO_RETIRE:
                    self._retire(worker)
                    return
                self._rest(RETRY_SECONDS)
                self._open_again(worker)
                continue
            seconds = self._pool._clock() - began
            self._hand_over(worker, piece, batch, seconds)
            if worker.failures >= FAILURES_TO_RETIRE:
                self._retire(worker)
                return
            if self._pool._share < 1:
                self._rest(seconds * (1 / self._pool._share - 1))

    def _hand_over(self, worker: _Worker, piece: _Piece, batch: Batch, seconds: float) -> None:
        """A computed piece, unless its device was found wrong meanwhile, or another device was quicker."""
        with self._change:
            if worker.report.distrusted and worker.sample is not None:
                self._give_back(worker, piece)
                return
            late = piece.number < self._next or piece.number in self._done
            if late and worker.overtaken:
                last = piece.start + piece.count - 1
                self._failed(
                    worker,
                    piece,
                    f"took {seconds:.1f} s for the labels {piece.start} to {last}, which another device computed "
                    "meanwhile: it is much slower than before",
                )
                return
            worker.overtaken = False
            if late:
                return
            self._under_way.pop(piece.number, None)
            worker.failures = 0
            worker.pieces += 1
            worker.measured(piece.count, seconds, self._pool._piece_seconds)
            worker.report.labels += piece.count
            worker.report.seconds += seconds
            self._done[piece.number] = batch
            self._change.notify_all()

    def _open_again(self, worker: _Worker) -> None:
        """After a failure. A device that cannot be opened fails at its next piece as well, and is judged by that."""
        with self._change:
            if self._over or self._pool._stopped:
                return
            worker.reopening = True
        try:
            if self._pool._reopen(worker.engine):
                worker.report.reopened += 1
        except Exception as error:  # whatever a driver raises
            with self._change:
                worker.report.errors.append(f"it could not be opened again: {error}")
        finally:
            with self._change:
                worker.reopening = False

    def _compute(self, worker: _Worker, piece: _Piece) -> Batch:
        out = np.empty((piece.count, 16), np.uint8)
        candidate = worker.engine.labels(self._commitment, piece.start, piece.count, out)
        if worker.sample is not None:
            self._check_sample(worker, worker.sample, piece, out)
        elif self._pool._check is not None and worker.pieces % CHECK_EVERY == 0:
            last = piece.start + piece.count - 1
            expected = self._pool._check(self._commitment, last)[:16]
            if out[-1].tobytes() != expected:
                raise WrongLabel(worker.engine.device, last, expected, out[-1].tobytes())
        return Batch(piece.start, out, candidate, worker.engine.device)

    def _check_sample(self, worker: _Worker, sample: Sample, piece: _Piece, out: Labels) -> None:
        places = sample.places(piece.count, worker.pieces)
        right = sample.labels32(self._commitment, [piece.start + place for place in places])[:, :16]
        for place, label in zip(places, right):
            if out[place].tobytes() != label.tobytes():
                raise WrongLabel(worker.engine.device, piece.start + place, label.tobytes(), out[place].tobytes())
        worker.report.checked += len(places)

    def _give_back(self, worker: _Worker, piece: _Piece) -> None:
        """Unless another device has it already."""
        with self._change:
            worker.overtaken = False
            one = self._under_way.get(piece.number)
            if one is not None and one.worker is worker:
                del self._under_way[piece.number]
                self._given_back.append(piece)
                self._change.notify_all()

    def _failed(self, worker: _Worker, piece: _Piece, message: str) -> None:
        with self._change:
            worker.failures += 1
            worker.report.errors.append(message)
            self._pool._last_error = message
            self._give_back(worker, piece)

    def _retire(self, worker: _Worker) -> None:
        with self._change:
            worker.report.retired += 1
            worker.retired = True
            self._active.remove(worker)
            self._change.notify_all()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._change:
            while not (self._over or self._pool._stopped) and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
