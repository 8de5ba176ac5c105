"""Several devices on one list of labels, results in order: label ranges for a writer, or any labels for a check.

Work-stealing: whoever is free takes the next piece of the list, sized so that a piece takes about the same time on
every device. Pieces come back in any order and leave in the order of the list, so one writer can append them. What a
worker, one engine with its thread, is doing:

    state      | its thread                                  | and then
    -----------+---------------------------------------------+------------------------------------------------------
    IDLE       | waits for a piece; rests; waits for its     | WORKING; GONE when the job is over
               | card, which another worker opens again      |
    WORKING    | computes a piece and checks it              | IDLE; FAILED after any error; OVERTAKEN
    OVERTAKEN  | computes a piece for which it took too long | IDLE if it is first all the same, else FAILED
               | and which another device has taken as well  |
    FAILED     | has given its piece back, and rests         | REOPENING; RETIRED after three failures in a row
    REOPENING  | opens its device again                      | IDLE; RETIRED after a wrong label of the last layout
    RETIRED    | has ended: the engine is not used any more  | -
    GONE       | has ended: this job has no use for it       | IDLE at the next job

Nobody waits for one that is OVERTAKEN or REOPENING: the job ends, and the next begins, without it. Nothing that a
driver does can hold a worker up for longer than the engine of a card allows; whatever else hangs is overtaken.

The last label of the first piece of every CPU engine, and of every sixteenth after it, is recomputed in plain integers.
Of a GPU's pieces, with a `Sample`, the last and some random labels of each: after a wrong one nothing is used that the
card has not handed over yet, it is opened again with its next layout, and given up when that was the last.
`pause` lets all rest until `resume`. Specified in protocol 01-post-tools, section 8.

More than 400 lines, because states, their changes and the table above are to be read together.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.devices import opening
from kernels.devices.spot_check import Sample, WrongLabel
from kernels.devices.types import Device, Engine, Labels, Stopped, VrfCandidate
from kernels.errors import KernelError

PIECE_SECONDS = 0.4
"""What one piece should take: short enough to stop quickly and lose little, long enough to cost nothing."""

SINGLES_SECONDS = 0.2
"""The same where any labels are asked for: such calls are short."""

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

UNKNOWN_SECONDS = 60.0
"""It is slow after this time where the device that has nothing to do has not computed anything yet."""

LOOK_SECONDS = 1.0
"""How often one that has nothing to do looks for slow pieces."""

END_SECONDS = 0.1
"""How often the end of a job looks whether a thread is still worth waiting for."""

Reopen = Callable[..., bool]
"""`opening.reopen`, or what stands in for it in a test."""


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
    """What one device has done so far."""

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
    """A GPU computed wrong labels with every layout: none of its engines is used any more."""
    suspended: bool = False
    """A GPU computed a wrong label; it is being opened again with another layout."""
    wrong: int = 0
    """Wrong labels so far: pieces that began before the last one are not used."""


class AllDevicesFailed(KernelError):
    """No engine is left that could compute the rest."""


class State(enum.Enum):
    """Of a worker; the table is at the top of this module."""

    IDLE = enum.auto()
    WORKING = enum.auto()
    OVERTAKEN = enum.auto()
    FAILED = enum.auto()
    REOPENING = enum.auto()
    RETIRED = enum.auto()
    GONE = enum.auto()


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
        self.state = State.IDLE
        self.size = engine.granularity if sample is None else min(engine.granularity, sample.first)
        self.rate = 0.0
        """Labels a second of the last piece; 0 before the first."""
        self.failures = 0
        """In a row."""
        self.pieces = 0
        """Since the device was opened, or since it computed a wrong label."""

    @property
    def detained(self) -> bool:
        """Whether its thread may be busy for long with something that the job does not need."""
        return self.state in (State.OVERTAKEN, State.REOPENING)

    @property
    def active(self) -> bool:
        """Whether its thread may still do something for the job."""
        return self.state not in (State.RETIRED, State.GONE)

    def measured(self, count: int, seconds: float, target_seconds: float) -> None:
        """Chooses the next piece's size; grows at most eightfold at a time, so that one odd figure does little."""
        granularity = self.engine.granularity
        self.rate = count / max(seconds, 1e-6)
        wanted = int(self.rate * target_seconds)
        wanted = min(wanted, 8 * self.size, MAX_PIECE)
        self.size = max(granularity, wanted - wanted % granularity)


class Pool:
    """Runs engines over labels. `share` below 1 lets every engine rest so that it works that share of time.

    `check` recomputes labels of the CPU's engines, `sample` those of GPUs; `note` is told of every failure, in the
    thread of whoever takes the results: what a terminal or a pipe does to it holds up no device.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        share: float = 1.0,
        piece_seconds: float = PIECE_SECONDS,
        check: Callable[[bytes, int], bytes] | None = None,
        sample: Sample | None = None,
        note: Callable[[str], None] = lambda message: None,
        reopen: Reopen = opening.reopen,
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
        self._note = note
        self._untold: deque[str] = deque()
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
        return [worker.engine for worker in self._workers if worker.state is not State.RETIRED]

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

        def compute(worker: _Worker, piece: _Piece) -> Batch:
            out = np.empty((piece.count, 16), np.uint8)
            candidate = worker.engine.labels(commitment, piece.start, piece.count, out)
            if worker.sample is not None:
                places = worker.sample.places(piece.count, worker.pieces)
                right = worker.sample.labels32(commitment, [piece.start + place for place in places])
                _compare(worker, [piece.start + place for place in places], out[places], right)
            elif self._check is not None and worker.pieces % CHECK_EVERY == 0:
                last = piece.start + piece.count - 1
                right = np.frombuffer(self._check(commitment, last), np.uint8).reshape(1, -1)
                _compare(worker, [last], out[-1:], right)
            return Batch(piece.start, out, candidate, worker.engine.device)

        job = _Job(self, ranges, compute, self._piece_seconds)
        try:
            yield from job.results()
        finally:
            job.end()

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each. Raises as `run` does."""
        wanted = np.asarray(indices, dtype=np.uint64)
        out = np.empty((len(wanted), 32), np.uint8)

        def compute(worker: _Worker, piece: _Piece) -> tuple[slice, Labels]:
            place = slice(piece.start, piece.start + piece.count)
            keys = commitments if len(commitments) == 1 else commitments[place]
            found = worker.engine.labels32(keys, wanted[place])
            # no more of the first pieces: these labels are compared with stored ones, not stored
            for at in [] if worker.sample is None else worker.sample.places(piece.count, 2 + worker.pieces):
                index = int(wanted[piece.start + at])
                right = worker.sample.labels32(keys[0 if len(keys) == 1 else at], [index])  # type: ignore[union-attr]
                _compare(worker, [index], found[at : at + 1], right)
            return place, found

        job = _Job(self, [(0, len(wanted))] if len(wanted) else [], compute, SINGLES_SECONDS, singles=True)
        try:
            for place, found in job.results():
                out[place] = found
        finally:
            job.end()
        return out

    def stop(self) -> None:
        """Ends a running job soon: it raises `Stopped`, as later ones do. May be called from any thread."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        for worker in self._workers:
            worker.engine.stop()

    def _tell(self) -> None:
        """Hands over what there is to say. Not with the lock held."""
        while self._untold:
            self._note(self._untold.popleft())

    def close(self) -> None:
        """Gives the engines' memory back."""
        for worker in self._workers:
            worker.engine.close()
        self._tell()  # of devices that were being opened again when the last job ended


def _compare(worker: _Worker, indices: Sequence[int], found: Labels, right: Labels) -> None:
    """Raises `WrongLabel` for the first label that differs, as far as both have bytes."""
    size = min(found.shape[1], right.shape[1])
    for index, label, expected in zip(indices, found, right, strict=True):
        if label[:size].tobytes() != expected[:size].tobytes():
            raise WrongLabel(worker.engine.device, index, expected[:16].tobytes(), label[:16].tobytes())
    if worker.sample is not None:
        worker.report.checked += len(indices)


class _Job:
    """One call of a pool: the list of pieces, the threads, and the results that wait for their turn."""

    def __init__(
        self,
        pool: Pool,
        ranges: Iterable[tuple[int, int]],
        compute: Callable[[_Worker, _Piece], Any],
        piece_seconds: float,
        singles: bool = False,
    ) -> None:
        self._pool = pool
        self._ranges = iter(ranges)
        self._compute = compute
        self._piece_seconds = piece_seconds
        self._singles = singles
        self._current = (0, 0)
        self._given_back: deque[_Piece] = deque()
        self._done: dict[int, Any] = {}
        self._under_way: dict[int, _UnderWay] = {}
        self._taken = 0
        self._next = 0
        self._exhausted = False
        self._over = False
        self._change = pool._change
        with self._change:
            usable = [one for one in pool._workers if one.state is not State.RETIRED and not one.detained]
            for worker in usable:
                worker.state = State.IDLE
        self._workers = usable
        self._ahead = 4 * len(usable) + 4
        self._mistake: Exception | None = None
        self._threads: list[tuple[_Worker, threading.Thread]] = []
        for worker in usable:
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        """Gives an engine its thread; where the system has none left, the others do the work."""
        thread = threading.Thread(target=self._guarded, args=(worker,), name="labels", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            with self._change:
                self._tell(worker, f"it got no thread to work in: {error}", f"{worker.engine.device.name}: {error}")
                worker.state = State.GONE
        else:
            self._threads.append((worker, thread))

    def results(self) -> Iterator[Any]:
        while True:
            self._pool._tell()
            with self._change:
                if not self._ready():
                    if not self._pool._untold:
                        self._change.wait()
                    continue
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
                found = self._done.pop(self._next)
                self._next += 1
                self._change.notify_all()
            yield found

    def end(self) -> None:
        with self._change:
            self._over = True
            self._change.notify_all()
        # where it was stopped the engines end by themselves; a hanging driver must not keep the program from leaving
        for worker, thread in [] if self._pool._stopped else self._threads:
            while thread.is_alive() and not worker.detained:
                thread.join(END_SECONDS)
        self._pool._tell()

    def _ready(self) -> bool:
        return (
            self._pool._stopped
            or self._next in self._done
            or (self._exhausted and self._next == self._taken)
            or not any(worker.active for worker in self._workers)
        )

    # -- which piece -------------------------------------------------------------------------------------------

    def _take(self, worker: _Worker) -> _Piece | None:
        """The next piece for a worker; waits while the writer is far behind. None: nothing will come."""
        with self._change:
            while not (self._over or self._pool._stopped):
                if worker.report.distrusted and worker.sample is not None:
                    self._retire(worker)
                    return None
                if self._pool.paused or worker.report.suspended:
                    self._change.wait()
                    continue
                if self._exhausted and self._next == self._taken:
                    break
                piece = self._given_back.popleft() if self._given_back else self._following(worker)
                piece = piece or self._overdue(worker)
                if piece is not None:
                    worker.state = State.WORKING
                    self._under_way[piece.number] = _UnderWay(piece, worker, time.monotonic())
                    return piece
                # a worker with nothing to take stays: another's piece may be given back, or become overdue
                self._change.wait(LOOK_SECONDS)
            worker.state = State.GONE
        return None

    def _following(self, worker: _Worker) -> _Piece | None:
        """A piece of the list; None at its end, or while the writer is far behind."""
        while not self._exhausted and (self._singles or self._taken - self._next < self._ahead):
            start, count = self._current
            if count:
                size = min(count, worker.size)
                if self._singles:
                    # a last piece that is large would keep one device busy while the others have nothing to do
                    each = -(-count // max(1, sum(one.active for one in self._workers)))
                    size = min(size, max(each, worker.engine.granularity))
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
            if one.worker.report is not worker.report:
                needed = SLOW_FACTOR * one.piece.count / worker.rate if worker.rate else UNKNOWN_SECONDS
                if time.monotonic() - one.since > max(SLOW_SECONDS, needed):
                    one.worker.state = State.OVERTAKEN
                    return one.piece
        return None

    # -- a worker's thread -------------------------------------------------------------------------------------

    def _guarded(self, worker: _Worker) -> None:
        """`_work`, whatever happens in it: without memory even handing over a piece can fail."""
        try:
            self._work(worker)
        except BaseException as error:
            with self._change:
                for one in [one for one in self._under_way.values() if one.worker is worker]:
                    self._failed(worker, one.piece, f"{type(error).__name__}: {error}")
                if worker.active:
                    self._retire(worker)

    def _work(self, worker: _Worker) -> None:
        while (piece := self._take(worker)) is not None:
            began, wrong = self._pool._clock(), worker.report.wrong
            try:
                found = self._compute(worker, piece)
            except Stopped as error:
                with self._change:
                    self._pool._last_error = str(error)
                    self._give_back(worker, piece)
                    worker.state = State.GONE
                    self._change.notify_all()
                return
            except WrongLabel as error:
                self._failed(worker, piece, str(error))
                if worker.sample is None or not self._with_next_layout(worker, wrong):
                    self._retire(worker)
                    return
                continue
            except Exception as error:  # whatever a driver raises: the device is judged by its failures
                self._failed(worker, piece, f"{type(error).__name__}: {error}")
                if worker.failures >= FAILURES_TO_RETIRE:
                    self._retire(worker)
                    return
                self._rest(RETRY_SECONDS)
                # the same layout at first: it has worked until now, and the failure may have been of the moment;
                # a device that cannot be opened fails at its next piece as well, and is judged by that
                self._open_again(worker, next_first=worker.failures > 1)
                continue
            seconds = self._pool._clock() - began
            self._hand_over(worker, piece, found, seconds, wrong)
            if worker.failures >= FAILURES_TO_RETIRE:
                self._retire(worker)
                return
            if self._pool._share < 1:
                self._rest(seconds * (1 / self._pool._share - 1))

    def _hand_over(self, worker: _Worker, piece: _Piece, found: Any, seconds: float, wrong: int) -> None:
        """A computed piece, unless its device was found wrong meanwhile, or another device was quicker."""
        with self._change:
            if worker.report.wrong != wrong:
                self._give_back(worker, piece)
                worker.state = State.IDLE
                return
            late = piece.number < self._next or piece.number in self._done
            if late and worker.state is State.OVERTAKEN:
                last = piece.start + piece.count - 1
                self._failed(
                    worker,
                    piece,
                    f"took {seconds:.1f} s for the labels {piece.start} to {last}, which another device computed "
                    "meanwhile: it is much slower than before",
                )
                worker.state = State.IDLE
                return
            worker.state = State.IDLE
            if late:
                return
            self._under_way.pop(piece.number, None)
            worker.failures = 0
            worker.pieces += 1
            worker.measured(piece.count, seconds, self._piece_seconds)
            worker.report.labels += piece.count
            worker.report.seconds += seconds
            self._done[piece.number] = found
            self._change.notify_all()

    # -- after a failure ---------------------------------------------------------------------------------------

    def _with_next_layout(self, worker: _Worker, wrong: int) -> bool:
        """Opens a card that computed a wrong label with its next layout; False when it is given up."""
        report = worker.report
        with self._change:
            if report.wrong != wrong:  # another of its workers found one, too, and sees to it
                worker.state = State.IDLE
                return not report.distrusted
            report.wrong += 1
            report.suspended = True
        opened = self._open_again(worker, next_first=True, trusted=False)
        with self._change:
            report.suspended, report.distrusted = False, not opened
            for one in self._pool._workers:
                if one.report is report:  # what it computes now is as new as at its first piece
                    one.pieces, one.size = 0, min(one.engine.granularity, worker.sample.first if worker.sample else 1)
            self._change.notify_all()
        return opened

    def _open_again(self, worker: _Worker, **how: bool) -> bool:
        """After a failure: whether the device was opened."""
        with self._change:
            if self._over or self._pool._stopped:
                return False
            worker.state = State.REOPENING
        try:
            opened = self._pool._reopen(worker.engine, **how)
            worker.report.reopened += opened
            return opened
        except Exception as error:  # whatever a driver raises
            with self._change:
                self._tell(worker, f"it could not be opened again: {error}", self._pool._last_error)
            return False
        finally:
            with self._change:
                worker.state = State.IDLE
                self._change.notify_all()

    def _give_back(self, worker: _Worker, piece: _Piece) -> None:
        """Unless another device has it already. The lock is held."""
        one = self._under_way.get(piece.number)
        if one is not None and one.worker is worker:
            del self._under_way[piece.number]
            self._given_back.append(piece)
            self._change.notify_all()

    def _failed(self, worker: _Worker, piece: _Piece, message: str) -> None:
        with self._change:
            worker.failures += 1
            worker.state = State.FAILED
            self._tell(worker, message, message, "; its labels are given to the next device that is free")
            self._give_back(worker, piece)

    def _tell(self, worker: _Worker, message: str, last_error: str, so: str = "") -> None:
        """The lock is held. `so`: what comes of it."""
        worker.report.errors.append(message)
        self._pool._last_error = last_error
        name = worker.engine.device.name
        self._pool._untold.append(f"{message if name in message else f'{name}: {message}'}{so}")
        self._change.notify_all()

    def _retire(self, worker: _Worker) -> None:
        with self._change:
            worker.report.retired += 1
            worker.state = State.RETIRED
            if all(one.state is State.RETIRED for one in self._pool._workers if one.report is worker.report):
                self._pool._untold.append(f"{worker.engine.device.name} is not used any more")
            self._change.notify_all()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._change:
            while not (self._over or self._pool._stopped) and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
