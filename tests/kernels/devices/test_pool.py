"""The pool: every label once and in order, whatever the devices do. The engines are fakes without a kernel."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.devices import pool as pool_module
from kernels.devices import rig
from kernels.devices.pool import FAILURES_TO_RETIRE, MAX_PIECE, AllDevicesFailed, Batch, Pool
from kernels.devices.types import Device, Labels, Stopped, VrfCandidate
from kernels.errors import KernelError

KEY = bytes(range(32))
SOON = 10.0
"""Seconds within which what must happen happens; a wait that takes this long has failed."""


def device(name: str) -> Device:
    return Device(None, name, "GPU", "fake", "platform", "vendor", "driver 1.0", 1 << 30, 1)


def fake_label32(key: bytes, index: int) -> bytes:
    return index.to_bytes(8, "big") + key[:24]


def fake_labels(start: int, count: int) -> bytes:
    return b"".join(fake_label32(KEY, index)[:16] for index in range(start, start + count))


class FakeEngine:
    """Computes at once, or does first what `before` says; remembers the pieces it was given."""

    scrypt_n = 2

    def __init__(
        self,
        name: str = "card",
        granularity: int = 4,
        before: Callable[[FakeEngine, int, int], None] | None = None,
        wrong: Callable[[FakeEngine], bool] = lambda engine: False,
    ) -> None:
        self.device = device(name)
        self.granularity = granularity
        self.pieces: list[tuple[int, int]] = []
        self.stopped = threading.Event()
        self.closed = False
        self._before = before
        self._wrong = wrong

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        assert commitment == KEY
        assert count >= 1
        self.pieces.append((start, count))
        if self._before is not None:
            self._before(self, start, count)
        if self.stopped.is_set():
            raise Stopped("stopped")
        out[:] = np.frombuffer(fake_labels(start, count), np.uint8).reshape(count, 16)
        if self._wrong(self):
            out[-1] ^= 1
        return VrfCandidate(start, fake_label32(KEY, start))

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int]) -> Labels:
        raise AssertionError("the pool has no use for it")

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.closed = True


class Lap:
    """A clock for each thread, moved only by the engine that runs on it."""

    def __init__(self) -> None:
        self._local = threading.local()

    def __call__(self) -> float:
        return getattr(self._local, "now", 0.0)

    def spend(self, seconds: float) -> None:
        self._local.now = self() + seconds

    def at(self, labels_per_second: float) -> Callable[[FakeEngine, int, int], None]:
        return lambda engine, start, count: self.spend(count / labels_per_second)


def failing(engine: FakeEngine, start: int, count: int) -> None:
    raise RuntimeError(f"failure {len(engine.pieces)} of {engine.device.name}")


@pytest.fixture(autouse=True)
def no_pause_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "RETRY_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON / 2)
        assert not thread.is_alive(), f"{thread.name} is left"


def covered(batches: Iterable[Batch]) -> list[tuple[int, int]]:
    return [(batch.start, len(batch.labels)) for batch in batches]


def check_batches(batches: Sequence[Batch], ranges: Sequence[tuple[int, int]]) -> None:
    """The batches are exactly the ranges, in order, and none holds labels of two ranges."""
    waiting = iter(batches)
    for start, count in ranges:
        while count:
            batch = next(waiting)
            size = len(batch.labels)
            assert batch.start == start
            assert 1 <= size <= count
            assert batch.labels.shape == (size, 16)
            assert batch.labels.tobytes() == fake_labels(start, size)
            assert batch.candidate == VrfCandidate(start, fake_label32(KEY, start))
            start, count = start + size, count - size
    assert next(waiting, None) is None


def outcome(work: Callable[[], object]) -> object:
    """What `work` returns or raises; a thread of its own, so that a pool that waits for ever is a failure."""
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(work())
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True, name="consumer")
    thread.start()
    thread.join(SOON / 2)
    assert ends, "the pool hangs"
    return ends[0]


def wait(event: threading.Event) -> None:
    assert event.wait(SOON)


# Everything once and in order

RANGES = st.lists(st.tuples(st.sampled_from([0, 1000, 2**32 - 20, 2**63]), st.integers(0, 60)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(ranges=RANGES, granularities=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 2**16))
def test_results_are_the_ranges_in_order(ranges: list[tuple[int, int]], granularities: list[int], seed: int) -> None:
    chance = random.Random(seed)

    def dawdle(engine: FakeEngine, start: int, count: int) -> None:
        if chance.random() < 0.3:
            engine.stopped.wait(chance.random() * 0.002)

    engines = [FakeEngine(f"card {number}", size, dawdle) for number, size in enumerate(granularities)]
    pool = Pool(engines, check=fake_label32, clock=Lap())
    batches = list(pool.run(KEY, ranges))
    check_batches(batches, ranges)
    pieces = sorted(piece for engine in engines for piece in engine.pieces)
    assert pieces == sorted(covered(batches))


@settings(max_examples=40, deadline=None)
@given(ranges=RANGES, engines=st.integers(2, 4), seed=st.integers(0, 2**16))
def test_results_are_in_order_when_engines_fail_now_and_then(
    ranges: list[tuple[int, int]], engines: int, seed: int
) -> None:
    chance = random.Random(seed)

    def sometimes(engine: FakeEngine, start: int, count: int) -> None:
        if chance.random() < 0.2:
            engine.stopped.wait(chance.random() * 0.002)
            raise OSError("lost")

    steady = FakeEngine("steady")
    pool = Pool([*(FakeEngine(str(number), 3, sometimes) for number in range(engines)), steady], clock=Lap())
    check_batches(list(pool.run(KEY, ranges)), ranges)


def test_a_pool_runs_one_job_after_another() -> None:
    pool = Pool([FakeEngine("a"), FakeEngine("b")])
    for ranges in ([(0, 50)], [], [(7, 1)], [(100, 33), (50, 10)]):
        check_batches(list(pool.run(KEY, ranges)), ranges)


def test_ranges_are_drawn_as_they_are_needed() -> None:
    drawn = []

    def ranges() -> Iterator[tuple[int, int]]:
        for number in range(1000):
            drawn.append(number)
            yield (10 * number, 4)

    job = Pool([FakeEngine()]).run(KEY, ranges())
    assert drawn == []
    next(job)
    job.close()
    assert len(drawn) < 20


def test_a_mistake_in_the_list_of_ranges_reaches_the_caller() -> None:
    def ranges() -> Iterator[tuple[int, int]]:
        yield (0, 4)
        raise LookupError("no such range")

    assert isinstance(outcome(lambda: list(Pool([FakeEngine()]).run(KEY, ranges()))), LookupError)


def test_workers_wait_for_a_slow_writer() -> None:
    engines = 3
    ahead = 4 * engines + 4
    asked = 0
    begun: list[int] = []
    change = threading.Condition()

    def count_pieces(engine: FakeEngine, start: int, count: int) -> None:
        with change:
            begun.append(len(begun) + 1 - asked)
            change.notify_all()

    pool = Pool([FakeEngine(str(number), 1, count_pieces) for number in range(engines)], clock=lambda: 0.0)
    job = pool.run(KEY, [(number, 1) for number in range(200)])
    for wanted in range(1, 40):
        asked = wanted
        assert next(job).start == wanted - 1
        with change:
            assert change.wait_for(lambda wanted=wanted: len(begun) >= wanted + ahead, SOON)
    assert max(begun) <= ahead
    job.close()
    assert len(begun) <= asked + ahead


# Sizes, rest and figures


def test_pieces_grow_eightfold_until_they_take_the_time_wanted() -> None:
    lap = Lap()
    engine = FakeEngine(granularity=16, before=lap.at(1000))
    list(Pool([engine], piece_seconds=0.4, clock=lap).run(KEY, [(0, 2000)]))
    assert [count for _, count in engine.pieces][:5] == [16, 128, 400, 400, 400]


def test_pieces_shrink_to_the_granularity_on_a_slow_device() -> None:
    lap = Lap()
    speeds = iter([1e6, 1e6, 10, 10, 10])
    engine = FakeEngine(granularity=8, before=lambda engine, start, count: lap.spend(count / next(speeds)))
    list(Pool([engine], piece_seconds=0.4, clock=lap).run(KEY, [(0, 8 + 64 + 512 + 8 + 8)]))
    assert [count for _, count in engine.pieces] == [8, 64, 512, 8, 8]


def test_the_memory_of_a_piece_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PIECE == 1 << 19
    monkeypatch.setattr(pool_module, "MAX_PIECE", 100)
    lap = Lap()
    engine = FakeEngine(granularity=16, before=lap.at(1e12))
    list(Pool([engine], clock=lap).run(KEY, [(0, 500)]))
    assert [count for _, count in engine.pieces] == [16, 96, 96, 96, 96, 96, 4]


@pytest.mark.parametrize(("share", "rest", "largest"), [(0.5, 1.0, 200), (0.25, 3.0, 100), (0.1, 9.0, 100)])
def test_a_throttled_engine_rests_in_proportion(
    monkeypatch: pytest.MonkeyPatch, share: float, rest: float, largest: int
) -> None:
    lap = Lap()
    worked: list[float] = []
    rested: list[float] = []

    def work(engine: FakeEngine, start: int, count: int) -> None:
        worked.append(count / 1000)
        lap.spend(count / 1000)

    monkeypatch.setattr(pool_module._Job, "_rest", lambda job, seconds: rested.append(seconds))
    engine = FakeEngine(granularity=4, before=work)
    list(Pool([engine], share=share, piece_seconds=0.4, clock=lap).run(KEY, [(0, 1500)]))
    assert rested == pytest.approx([seconds * rest for seconds in worked])
    assert max(count for _, count in engine.pieces) == largest  # shorter pieces: rest comes more often


def test_an_engine_that_works_all_the_time_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    rested: list[float] = []
    monkeypatch.setattr(pool_module._Job, "_rest", lambda job, seconds: rested.append(seconds))
    list(Pool([FakeEngine()]).run(KEY, [(0, 500)]))
    assert rested == []


@pytest.mark.parametrize("end", ["close", "stop"])
def test_a_rest_ends_with_the_job(end: str) -> None:
    lap = Lap()
    engine = FakeEngine(before=lambda engine, start, count: lap.spend(1000.0))
    pool = Pool([engine], share=0.01, clock=lap)
    job = pool.run(KEY, [(0, 500)])
    next(job)
    if end == "stop":
        pool.stop()
        assert isinstance(outcome(lambda: next(job)), Stopped)
    else:
        assert outcome(job.close) is None
    assert len(engine.pieces) == 1


def test_reports_add_up() -> None:
    lap = Lap()
    first, second, other = (FakeEngine(name, 4, lap.at(100)) for name in ("card", "card", "other"))
    pool = Pool([first, second, other], clock=lap)
    assert [report.device.name for report in pool.reports] == ["card", "other"]
    ranges = [(0, 300), (500, 200)]
    list(pool.run(KEY, ranges))
    list(pool.run(KEY, [(1000, 100)]))
    done = {"card": first.pieces + second.pieces, "other": other.pieces}
    assert sum(report.labels for report in pool.reports) == 600
    for report in pool.reports:
        labels = sum(count for _, count in done[report.device.name])
        assert report.labels == labels
        assert report.seconds == pytest.approx(labels / 100)
        assert report.errors == []
        assert report.retired == 0


# Failures


def test_three_failures_retire_an_engine_and_another_does_its_piece() -> None:
    gave_up = threading.Event()

    def bad_until_the_third(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) == FAILURES_TO_RETIRE:
            gave_up.set()
        failing(engine, start, count)

    def after_the_other(engine: FakeEngine, start: int, count: int) -> None:
        assert gave_up.wait(SOON)

    bad, good = FakeEngine("bad", 4, bad_until_the_third), FakeEngine("good", 4, after_the_other)
    pool = Pool([bad, good], clock=Lap())
    batches = list(pool.run(KEY, [(0, 100)]))
    check_batches(batches, [(0, 100)])
    assert {batch.device.name for batch in batches} == {"good"}
    assert len(bad.pieces) == FAILURES_TO_RETIRE
    report = pool.reports[0]
    assert (report.device, report.labels, report.retired) == (bad.device, 0, 1)
    assert report.errors == [f"RuntimeError: failure {number} of bad" for number in (1, 2, 3)]
    assert pool.reports[1].errors == []

    list(pool.run(KEY, [(0, 100)]))
    assert len(bad.pieces) == FAILURES_TO_RETIRE, "a retired engine was used again"


def test_one_engine_of_a_device_retires_the_others_go_on() -> None:
    gave_up = threading.Event()

    def bad(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) == FAILURES_TO_RETIRE:
            gave_up.set()
        failing(engine, start, count)

    pool = Pool([FakeEngine("card", 4, bad), FakeEngine("card", 4, lambda *piece: wait(gave_up))])
    check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
    (report,) = pool.reports
    assert (report.labels, report.retired, len(report.errors)) == (100, 1, 3)


def test_a_success_in_between_forgives_failures() -> None:
    def every_third_succeeds(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) % 3:
            failing(engine, start, count)

    engine = FakeEngine(before=every_third_succeeds)
    pool = Pool([engine], clock=Lap())
    check_batches(list(pool.run(KEY, [(0, 300)])), [(0, 300)])
    (report,) = pool.reports
    assert (report.labels, report.retired) == (300, 0)
    assert len(report.errors) == len(engine.pieces) * 2 // 3 > FAILURES_TO_RETIRE


def test_an_engine_with_nothing_to_do_waits_for_the_piece_of_one_that_fails() -> None:
    both_have_a_piece = threading.Barrier(2, timeout=SOON)
    good_is_done = threading.Event()

    def fail_last(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) == 1:
            both_have_a_piece.wait()
            assert good_is_done.wait(SOON)
        failing(engine, start, count)

    def be_done_first(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) == 1:
            both_have_a_piece.wait()
            good_is_done.set()

    bad, good = FakeEngine("bad", 1, fail_last), FakeEngine("good", 1, be_done_first)
    pool = Pool([bad, good])
    ranges = [(0, 1), (1, 1)]
    check_batches(list(pool.run(KEY, ranges)), ranges)
    assert sorted(good.pieces) == ranges


def test_when_all_have_failed_the_last_error_is_told() -> None:
    engine = FakeEngine("only", before=failing)
    pool = Pool([engine])
    with pytest.raises(AllDevicesFailed) as caught:
        list(pool.run(KEY, [(0, 10)]))
    assert isinstance(caught.value, KernelError)
    assert "RuntimeError: failure 3 of only" in str(caught.value)
    assert pool.reports[0].retired == 1

    again = outcome(lambda: list(pool.run(KEY, [(0, 10)])))
    assert isinstance(again, AllDevicesFailed)
    assert "RuntimeError: failure 3 of only" in str(again)
    assert len(engine.pieces) == FAILURES_TO_RETIRE


def test_what_was_done_before_all_failed_is_not_lost() -> None:
    def good_for_five(engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) > 5:
            failing(engine, start, count)

    job = Pool([FakeEngine(granularity=1, before=good_for_five)]).run(KEY, [(number, 1) for number in range(99)])
    batches = []
    with pytest.raises(AllDevicesFailed):
        for batch in job:
            batches.append(batch)
    assert covered(batches) == [(number, 1) for number in range(5)]


def test_two_engines_that_fail_are_both_named_as_retired() -> None:
    pool = Pool([FakeEngine("a", before=failing), FakeEngine("b", before=failing)])
    assert isinstance(outcome(lambda: list(pool.run(KEY, [(0, 100)]))), AllDevicesFailed)
    assert [(report.retired, len(report.errors)) for report in pool.reports] == [(1, 3), (1, 3)]


def test_a_pool_without_engines_says_so() -> None:
    assert isinstance(outcome(lambda: list(Pool([]).run(KEY, [(0, 1)]))), AllDevicesFailed)


def test_what_there_is_to_say_is_said_in_the_thread_of_the_caller() -> None:
    """A terminal that does not take it, or a pipe that nobody reads, holds up no device."""
    said: list[tuple[str, threading.Thread]] = []
    broken = FakeEngine("broken", before=failing)
    pool = Pool([broken, FakeEngine("good")], note=lambda text: said.append((text, threading.current_thread())))
    check_batches(list(pool.run(KEY, [(0, 4000)])), [(0, 4000)])
    failures = [
        f"RuntimeError: failure {one + 1} of broken; its labels are given to the next device that is free"
        for one in range(len(pool.reports[0].errors))
    ]
    assert [text for text, _ in said][: len(failures)] == failures
    assert {thread for _, thread in said} == {threading.current_thread()}


def test_what_happens_after_the_last_job_is_said_at_the_end() -> None:
    entered, release = threading.Event(), threading.Event()

    def reopen(engine: object, **how: bool) -> bool:
        entered.set()
        assert release.wait(20)
        raise RuntimeError("no answer")

    def wait_for_it(engine: FakeEngine, start: int, count: int) -> None:
        assert entered.wait(20)

    said: list[str] = []
    engines = [FakeEngine("broken", before=failing), FakeEngine("good", before=wait_for_it)]
    pool = Pool(engines, note=said.append, reopen=reopen)
    check_batches(list(pool.run(KEY, [(0, 4000)])), [(0, 4000)])
    release.set()
    for thread in threading.enumerate():
        if thread.name == "labels":
            thread.join(20)
    assert not any("no answer" in text for text in said)
    pool.close()
    assert said[-1] == "broken: it could not be opened again: no answer"


def test_a_pool_of_a_job_tells_its_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `init`, `nonce` and `providers` open one."""
    monkeypatch.setattr(rig.opening, "engines", lambda one, *more, note: [FakeEngine(one.name, before=failing)])
    said: list[str] = []
    with rig.open_pool([device("broken")], 2, 1, rig.Use(), said.append) as pool:
        assert isinstance(outcome(lambda: list(pool.run(KEY, [(0, 100)]))), AllDevicesFailed)
    assert sum("failure" in text for text in said) == FAILURES_TO_RETIRE
    assert said[-1] == "broken is not used any more"


def test_an_engine_without_a_thread_leaves_the_work_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "labels":
            started.append(thread.name)
            if len(started) in (1, 3, 4, 5):
                raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    pool = Pool([FakeEngine("a"), FakeEngine("b")])
    check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
    assert [report.labels for report in pool.reports] == [0, 100]
    assert pool.reports[0].errors == ["it got no thread to work in: can't start new thread"]
    alone = outcome(lambda: list(Pool([FakeEngine("c"), FakeEngine("d")]).run(KEY, [(0, 100)])))
    assert isinstance(alone, AllDevicesFailed) and "d: can't start new thread" in str(alone)


def test_a_thread_that_ends_in_the_middle_of_handing_over_does_not_hang_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = pool_module._Job._hand_over

    def no_memory(job: object, worker: object, *words: object) -> None:
        if worker.engine.device.name == "bad":  # type: ignore[attr-defined]
            raise MemoryError
        real(job, worker, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(pool_module._Job, "_hand_over", no_memory)
    tried = threading.Event()
    bad, good = FakeEngine("bad", before=lambda *piece: tried.set()), FakeEngine("good", before=lambda *p: wait(tried))
    pool = Pool([bad, good])
    batches = outcome(lambda: list(pool.run(KEY, [(0, 100)])))
    assert isinstance(batches, list)
    check_batches(batches, [(0, 100)])
    assert (pool.reports[0].retired, pool.reports[0].errors) == (1, ["MemoryError: "])


# Wrong labels


def test_a_wrong_label_retires_the_device_at_once_and_nothing_of_the_batch_is_used() -> None:
    caught = threading.Event()

    def wait_for_it(engine: FakeEngine, start: int, count: int) -> None:
        assert caught.wait(SOON)

    def check(key: bytes, index: int) -> bytes:
        caught.set()
        return fake_label32(key, index)

    wrong, right = FakeEngine("wrong", wrong=lambda engine: True), FakeEngine("right", before=wait_for_it)
    pool = Pool([wrong, right], check=check, clock=Lap())
    batches = list(pool.run(KEY, [(0, 100)]))
    check_batches(batches, [(0, 100)])
    assert {batch.device.name for batch in batches} == {"right"}
    assert len(wrong.pieces) == 1
    report = pool.reports[0]
    assert (report.labels, report.retired, len(report.errors)) == (0, 1, 1)
    start, count = wrong.pieces[0]
    for part in ("wrong (driver driver 1.0)", f"wrong label {start + count - 1}", "nothing of that batch was used"):
        assert part in report.errors[0]


def test_a_device_that_goes_wrong_later_is_found_at_the_next_check() -> None:
    engine = FakeEngine(granularity=1, wrong=lambda engine: len(engine.pieces) > pool_module.CHECK_EVERY)
    pool = Pool([engine], check=fake_label32)
    batches = []
    with pytest.raises(AllDevicesFailed, match="computed a wrong label 16"):
        for batch in pool.run(KEY, [(number, 1) for number in range(99)]):
            batches.append(batch)
    assert covered(batches) == [(number, 1) for number in range(16)]
    assert pool.reports[0].labels == 16


def test_the_first_piece_and_every_sixteenth_after_it_are_checked() -> None:
    checked: list[int] = []

    def check(key: bytes, index: int) -> bytes:
        checked.append(index)
        return fake_label32(key, index)

    list(Pool([FakeEngine(granularity=1)], check=check).run(KEY, [(number, 1) for number in range(40)]))
    assert checked == [0, 16, 32]


# Stopping


def wait_for_stop(engine: FakeEngine, start: int, count: int) -> None:
    assert engine.stopped.wait(SOON)


def test_stop_ends_a_running_job() -> None:
    engines = [FakeEngine(str(number), before=wait_for_stop) for number in range(3)]
    pool = Pool(engines)
    threading.Timer(0.02, pool.stop).start()
    assert isinstance(outcome(lambda: list(pool.run(KEY, [(0, 1000)]))), Stopped)
    assert all(engine.stopped.is_set() for engine in engines)
    assert [report.errors for report in pool.reports] == [[], [], []], "being stopped is no failure"
    assert isinstance(outcome(lambda: list(pool.run(KEY, [(0, 1000)]))), Stopped)


def test_stop_from_the_writer_between_two_batches() -> None:
    pool = Pool([FakeEngine("a"), FakeEngine("b")])
    job = pool.run(KEY, [(0, 1000)])
    next(job)
    pool.stop()
    assert isinstance(outcome(lambda: next(job)), Stopped)
    assert next(job, None) is None


def test_a_driver_that_hangs_does_not_keep_the_program() -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(engine: FakeEngine, start: int, count: int) -> None:
        hanging.set()
        assert release.wait(SOON)

    pool = Pool([FakeEngine(before=hang)])

    def stop_when_it_hangs() -> None:
        hanging.wait(SOON)
        pool.stop()

    threading.Thread(target=stop_when_it_hangs).start()
    try:
        assert isinstance(outcome(lambda: list(pool.run(KEY, [(0, 10)]))), Stopped)
    finally:
        release.set()


def test_an_engine_that_was_stopped_by_another_does_not_hang_the_job() -> None:
    engine = FakeEngine()
    engine.stop()
    assert isinstance(outcome(lambda: list(Pool([engine]).run(KEY, [(0, 10)]))), KernelError)


def test_another_engine_does_the_piece_of_one_that_was_stopped() -> None:
    was_asked = threading.Event()
    stopped = FakeEngine("stopped", before=lambda *piece: was_asked.set())
    stopped.stop()
    other = FakeEngine("other", before=lambda *piece: wait(was_asked))
    batches = outcome(lambda: list(Pool([stopped, other]).run(KEY, [(0, 100)])))
    assert isinstance(batches, list)
    check_batches(batches, [(0, 100)])


@pytest.mark.parametrize("taken", [1, 2, 7])
def test_closing_the_iterator_ends_the_threads(taken: int) -> None:
    before = set(threading.enumerate())
    job = Pool([FakeEngine("a"), FakeEngine("b")]).run(KEY, [(number, 1) for number in range(1000)])
    for _ in range(taken):
        next(job)
    job.close()
    assert set(threading.enumerate()) <= before


def test_a_job_that_was_never_begun_starts_no_thread() -> None:
    before = set(threading.enumerate())
    job = Pool([FakeEngine()]).run(KEY, [(0, 10)])
    assert set(threading.enumerate()) <= before
    job.close()


def test_an_error_of_the_writer_ends_the_threads() -> None:
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="disk full"):
        for _ in Pool([FakeEngine("a"), FakeEngine("b")]).run(KEY, [(0, 10_000)]):
            raise OSError("disk full")
    assert set(threading.enumerate()) <= before


def test_close_closes_every_engine() -> None:
    engines = [FakeEngine("a"), FakeEngine("b")]
    pool = Pool(engines)
    list(pool.run(KEY, [(0, 10)]))
    pool.close()
    assert all(engine.closed for engine in engines)
