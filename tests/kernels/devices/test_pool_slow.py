"""The pool and devices that fall behind: pieces that take too long are computed by others, devices are opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from kernels.devices import pool as pool_module
from kernels.devices.pool import FAILURES_TO_RETIRE, AllDevicesFailed, Pool
from kernels.devices.types import Engine
from kernels.errors import KernelError
from tests.kernels.devices.test_pool import KEY, SOON, FakeEngine, Lap, check_batches, failing, wait


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(pool_module, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(pool_module, "SLOW_FACTOR", 0.0)
    monkeypatch.setattr(pool_module, "LOOK_SECONDS", 0.02)


class Stuck:
    """Makes an engine wait in the pieces that it is told to; `release` lets it go on."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.entered, self.release, self.left = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, engine: FakeEngine, start: int, count: int) -> None:
        if len(engine.pieces) in self.numbers:
            self.entered.set()
            wait(self.release)
            self.release.clear()
            self.left.set()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# Slow devices


def test_a_piece_that_takes_too_long_is_computed_by_another_and_the_late_one_is_a_failure() -> None:
    stuck = Stuck(1)
    slow = FakeEngine("slow", 4, stuck)
    quick = FakeEngine("quick", 4, lambda *piece: wait(stuck.entered))
    pool = Pool([slow, quick], clock=Lap())
    ranges = [(0, 100)]
    check_batches(list(pool.run(KEY, ranges)), ranges)  # without the slow one, which still computes
    assert slow.pieces[0] in quick.pieces
    first, second = pool.reports
    assert (first.labels, second.labels) == (0, 100)
    stuck.release.set()
    until(lambda: bool(first.errors))
    start, count = slow.pieces[0]
    assert f"labels {start} to {start + count - 1}" in first.errors[0] and "much slower" in first.errors[0]
    assert (first.retired, len(first.errors), second.errors) == (0, 1, [])


def test_three_late_pieces_retire_a_device() -> None:
    stuck = Stuck(1, 2, 3, 4)
    slow = FakeEngine("slow", 1, stuck)
    quick = FakeEngine("quick", 1, lambda *piece: wait(stuck.entered))
    pool = Pool([slow, quick], clock=Lap())
    job = pool.run(KEY, [(number, 1) for number in range(2000)])
    batches = []
    for number in range(1, FAILURES_TO_RETIRE + 1):
        while not any(batch.start == slow.pieces[-1][0] for batch in batches):
            batches.append(next(job))
        stuck.release.set()
        until(lambda number=number: len(pool.reports[0].errors) == number)
        while number < FAILURES_TO_RETIRE and len(slow.pieces) == number:
            batches.append(next(job))
            time.sleep(0.002)
    batches += job
    check_batches(batches, [(number, 1) for number in range(2000)])
    assert (pool.reports[0].retired, len(slow.pieces)) == (1, FAILURES_TO_RETIRE)


def test_who_computes_a_piece_first_has_computed_it() -> None:
    """The slow one is done before the one that took its piece over: nothing is lost, doubled or held against it."""
    stuck, helping = Stuck(1), Stuck()
    slow = FakeEngine("slow", 4, stuck)

    def help_slowly(engine: FakeEngine, start: int, count: int) -> None:
        wait(stuck.entered)
        if (start, count) == slow.pieces[0]:
            helping.entered.set()
            wait(helping.release)

    pool = Pool([slow, FakeEngine("helper", 4, help_slowly)], clock=Lap())
    batches: list[object] = []
    consumer = threading.Thread(target=lambda: batches.extend(pool.run(KEY, [(0, 400)])))
    consumer.start()
    wait(helping.entered)
    stuck.release.set()
    until(lambda: pool.reports[0].labels > 0)
    helping.release.set()
    consumer.join(SOON)
    check_batches(batches, [(0, 400)])  # type: ignore[arg-type]
    assert [report.errors for report in pool.reports] == [[], []]
    assert sum(report.labels for report in pool.reports) == 400


def test_a_device_that_fails_after_its_piece_was_taken_over_does_not_give_it_back_twice() -> None:
    stuck = Stuck(1)

    def fail_late(engine: FakeEngine, start: int, count: int) -> None:
        stuck(engine, start, count)
        if len(engine.pieces) == 1:
            raise RuntimeError("at last")

    slow, quick = FakeEngine("slow", 4, fail_late), FakeEngine("quick", 4, lambda *piece: wait(stuck.entered))
    pool = Pool([slow, quick], clock=Lap())
    job = pool.run(KEY, [(0, 4000)])
    batches = [next(job)]
    stuck.release.set()
    batches += job
    check_batches(batches, [(0, 4000)])
    until(lambda: bool(pool.reports[0].errors))
    assert pool.reports[0].errors == ["RuntimeError: at last"]


def test_a_helper_that_fails_gives_the_piece_to_the_next() -> None:
    stuck, failed = Stuck(1), threading.Event()
    slow = FakeEngine("slow", 4, stuck)

    def fail_at_it(engine: FakeEngine, start: int, count: int) -> None:
        wait(stuck.entered)
        if (start, count) == slow.pieces[0] and not failed.is_set():
            failed.set()
            raise RuntimeError("no help")

    pool = Pool([slow, FakeEngine("helper", 4, fail_at_it)], clock=Lap())
    check_batches(list(pool.run(KEY, [(0, 400)])), [(0, 400)])
    assert failed.is_set() and pool.reports[1].errors == ["RuntimeError: no help"]
    stuck.release.set()
    wait(stuck.left)


def test_engines_of_one_device_do_not_compute_each_others_pieces() -> None:
    stuck = Stuck(1)
    slow, same = FakeEngine("card", 4, stuck), FakeEngine("card", 4, lambda *piece: wait(stuck.entered))
    pool = Pool([slow, same], clock=Lap())
    threading.Timer(0.5, stuck.release.set).start()
    check_batches(list(pool.run(KEY, [(0, 400)])), [(0, 400)])
    assert slow.pieces[0] not in same.pieces
    assert pool.reports[0].errors == []


def test_a_device_that_is_only_a_little_slower_keeps_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the measure of the one that has nothing to do: it would need as long."""
    monkeypatch.setattr(pool_module, "SLOW_FACTOR", 4.0)
    stuck = Stuck(1)
    lap = Lap()

    def take_its_time(engine: FakeEngine, start: int, count: int) -> None:
        wait(stuck.entered)
        lap.spend(count / 4)  # four labels a second: 400 of them are 100 s

    slow, other = FakeEngine("slow", 400, stuck), FakeEngine("other", 400, take_its_time)
    pool = Pool([slow, other], clock=lap)
    threading.Timer(0.5, stuck.release.set).start()
    check_batches(list(pool.run(KEY, [(0, 400), (1000, 400)])), [(0, 400), (1000, 400)])
    assert (len(slow.pieces), len(other.pieces)) == (1, 1)


def test_a_job_that_follows_goes_on_without_the_device_that_is_still_behind() -> None:
    stuck = Stuck(1)
    slow, quick = FakeEngine("slow", 4, stuck), FakeEngine("quick", 4, lambda *piece: wait(stuck.entered))
    pool = Pool([slow, quick], clock=Lap())
    for _ in range(2):
        check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
    assert len(slow.pieces) == 1
    stuck.release.set()
    until(lambda: bool(pool.reports[0].errors))
    until(lambda: not pool._workers[0].detained)
    slow_again = threading.Event()
    slow._before = lambda *piece: slow_again.set()
    quick._before = lambda *piece: wait(slow_again)
    check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
    assert len(slow.pieces) > 1


# Devices that are opened again


class Openings:
    """Stands for `opening.reopen`; `answer` is what it returns or raises."""

    def __init__(self, answer: Callable[[FakeEngine], bool]) -> None:
        self.engines: list[Engine] = []
        self._answer = answer

    def __call__(self, engine: Engine, **how: bool) -> bool:
        self.engines.append(engine)
        return self._answer(engine)  # type: ignore[arg-type]


def test_a_device_is_opened_again_after_a_failure_and_goes_on() -> None:
    broken = threading.Event()
    broken.set()

    def while_broken(engine: FakeEngine, start: int, count: int) -> None:
        if broken.is_set():
            failing(engine, start, count)

    def mend(engine: FakeEngine) -> bool:
        broken.clear()
        return True

    openings, engine = Openings(mend), FakeEngine(before=while_broken)
    pool = Pool([engine], clock=Lap(), reopen=openings)
    check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
    (report,) = pool.reports
    assert (openings.engines, report.reopened, report.retired) == ([engine], 1, 0)
    assert report.errors == ["RuntimeError: failure 1 of card"]


def test_a_device_is_opened_twice_before_it_is_given_up() -> None:
    openings = Openings(lambda engine: True)
    pool = Pool([FakeEngine(before=failing)], clock=Lap(), reopen=openings)
    with pytest.raises(AllDevicesFailed, match="failure 3 of card"):
        list(pool.run(KEY, [(0, 100)]))
    assert (len(openings.engines), pool.reports[0].reopened, pool.reports[0].retired) == (2, 2, 1)


def test_why_a_device_could_not_be_opened_again_is_told() -> None:
    def refuse(engine: FakeEngine) -> bool:
        raise KernelError("the driver did not answer within 30 s")

    pool = Pool([FakeEngine(before=failing)], clock=Lap(), reopen=Openings(refuse))
    with pytest.raises(AllDevicesFailed, match="failure 3"):
        list(pool.run(KEY, [(0, 100)]))
    reason = "it could not be opened again: the driver did not answer within 30 s"
    assert pool.reports[0].errors.count(reason) == 2
    assert pool.reports[0].reopened == 0


def test_a_wrong_label_opens_nothing() -> None:
    from tests.kernels.devices.test_pool import fake_label32

    openings = Openings(lambda engine: True)
    pool = Pool([FakeEngine(wrong=lambda engine: True)], check=fake_label32, reopen=openings)
    with pytest.raises(AllDevicesFailed, match="wrong label"):
        list(pool.run(KEY, [(0, 100)]))
    assert openings.engines == []


def test_a_job_does_not_wait_for_a_device_that_hangs_while_it_is_opened() -> None:
    release, hanging = threading.Event(), threading.Event()

    def hang(engine: FakeEngine) -> bool:
        hanging.set()
        wait(release)
        return True

    bad = FakeEngine("bad", before=failing)
    good = FakeEngine("good", before=lambda *piece: wait(hanging))
    pool = Pool([bad, good], clock=Lap(), reopen=Openings(hang))
    try:
        for _ in range(2):
            check_batches(list(pool.run(KEY, [(0, 100)])), [(0, 100)])
        assert (len(bad.pieces), pool.reports[0].retired) == (1, 0)
    finally:
        release.set()
    until(lambda: pool.reports[0].reopened == 1)
    until(lambda: not pool._workers[0].detained)
