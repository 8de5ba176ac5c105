"""Any mixture of devices fills one data set with the bytes that one CPU would write; and how a pool is controlled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kernels.devices import pool, rig
from kernels.devices.opening import NoLayoutLeft
from kernels.devices.pool import AllDevicesFailed, Pool, State
from kernels.devices.spot_check import Sample, WrongLabel
from kernels.devices.types import Device, Engine, Labels, Stopped, VrfCandidate
from kernels.gpu import engine as gpu_engine
from kernels.labels import cpu
from tests.support import pocl

KEY = bytes(range(32))
N = 16
CARD = Device(0, "[GPU] P/card", "GPU", "opencl", "P", "maker", "1.2", 8 << 30, 20)


def right32(indices: Sequence[int]) -> Labels:
    return cpu.LabelEngine(cpu.devices()[0], N).labels32([KEY], np.asarray(indices, np.uint64))


def right(start: int, count: int) -> bytes:
    return right32([start + at for at in range(count)])[:, :16].tobytes()


def sample(**more: Any) -> Sample:
    reference = cpu.LabelEngine(cpu.devices()[0], N)
    return Sample(lambda key, indices: reference.labels32([key], indices), **more)


class Shared:
    """A simulated card: one kernel at a time, with a fixed time a label; it sleeps, as a host does that waits."""

    def __init__(self, seconds_a_label: float) -> None:
        self.seconds_a_label = seconds_a_label
        self.kernel = threading.Lock()
        self.busy = 0.0


class FakeEngine:
    """One of a card's engines. `aside` is the time that reading and handing over take."""

    scrypt_n = N

    def __init__(self, card: Shared, device: Device = CARD, granularity: int = 64, aside: float = 0.0) -> None:
        self.device, self.granularity, self._card, self._aside = device, granularity, card, aside
        self.stopped = threading.Event()
        self.counts: list[int] = []
        self.wrong: set[int] = set()
        self.fail: BaseException | None = None

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        full = self.labels32([commitment], range(start, start + count))
        out[:] = full[:, :16]
        return VrfCandidate(start, full[0].tobytes())

    def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
        self.counts.append(len(indices))
        if self.fail is not None:
            raise self.fail
        with self._card.kernel:
            began = time.monotonic()
            if self.stopped.wait(len(indices) * self._card.seconds_a_label):
                raise Stopped("stopped")
            self._card.busy += time.monotonic() - began
        time.sleep(self._aside)
        found = simple(indices)
        for place, index in enumerate(indices):
            if int(index) in self.wrong:
                found[place] ^= 1
        return found

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.stopped.set()


def simple(indices: Any) -> Labels:
    words = np.zeros((len(indices), 4), ">u8")
    words[:, 0] = np.asarray(indices, np.uint64)
    return words.view(np.uint8).reshape(-1, 32).copy()


SIMPLE = Sample(lambda key, indices: simple(indices))


# == all of them together ========================================================================================


class Slow(FakeEngine):
    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        super().labels(commitment, start, count, out)
        full = right32(range(start, start + count))
        out[:] = full[:, :16]
        place = cpu.smallest(full)
        return VrfCandidate(start + place, full[place].tobytes())


class Failing(Slow):
    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        out[:] = 7  # what it left behind must not be used
        raise RuntimeError("the driver says no")


@pocl.needed
def test_pocl_the_cpu_a_slow_device_and_one_that_fails_give_the_bytes_of_one_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.01)
    engines = [
        *gpu_engine.engines(pocl.device(), N),
        *cpu.engines(cpu.devices()[0], N, 1),
        Slow(Shared(0.001), replace(CARD, name="slow"), granularity=3),
        Failing(Shared(0.0), replace(CARD, name="failing"), granularity=5),
    ]
    mixed = Pool(engines, sample=sample(), piece_seconds=0.02)
    ranges = [(2**32 - 20_000, 50_000), (7, 1), (2**40, 12_345)]
    batches = list(mixed.run(KEY, ranges))
    assert b"".join(batch.labels.tobytes() for batch in batches) == b"".join(right(*one) for one in ranges)
    reports = {report.device.name: report for report in mixed.reports}
    assert reports["failing"].retired == 1 and reports["failing"].labels == 0
    assert len(reports["failing"].errors) == 3 and "the driver says no" in reports["failing"].errors[0]
    assert reports["slow"].labels > 0 and reports[pocl.device().name].labels > 0
    best = min(batches, key=lambda batch: (batch.candidate.label32, batch.candidate.index)).candidate
    indices = [start + at for start, count in ranges for at in range(count)]
    place = cpu.smallest(right32(indices))
    assert best.index == indices[place]
    mixed.close()


# == overlap =====================================================================================================


@pytest.mark.timing
def test_a_device_is_never_without_work_and_the_host_sleeps() -> None:
    """A kernel of fixed time: the whole reaches 97 % of its rate, and costs less than 5 % of a core."""
    card = Shared(seconds_a_label=1 / 200_000)
    engines = [FakeEngine(card, granularity=2000, aside=0.01) for _ in range(2)]
    work = Pool(engines, sample=replace(SIMPLE, one_in=0, first=8))
    done, began, busy, used = 0, 0.0, 0.0, 0.0
    batches = work.run(KEY, [(0, 1 << 40)])
    for batch in batches:
        time.sleep(0.01)  # the disk
        if began == 0.0:
            if work.reports[0].labels > 100_000:  # sizes have settled
                began, busy, used = time.monotonic(), card.busy, time.process_time()
            continue
        done += len(batch.labels)
        if time.monotonic() - began > 4:
            break
    seconds = time.monotonic() - began
    batches.close()
    assert (card.busy - busy) / seconds >= 0.97
    # the fake makes its labels with numpy in this process, which is most of what is used here
    assert (time.process_time() - used) / seconds < 0.05


# == pause =======================================================================================================


def test_a_paused_pool_rests_and_goes_on() -> None:
    engine = FakeEngine(Shared(0.0001))
    work = Pool([engine], sample=SIMPLE, piece_seconds=0.01)
    batches = work.run(KEY, [(0, 3000)])
    first = next(batches)
    work.pause()
    work.pause()
    worker = work._workers[0]
    with work._change:
        assert work._change.wait_for(lambda: worker.state is State.IDLE, 20), "its piece ends"
    begun = len(engine.counts)
    for _ in range(3):
        with work._change:  # whatever wakes it, it takes nothing
            work._change.notify_all()
    assert work.paused and len(engine.counts) == begun and worker.state is State.IDLE
    rested = work.paused_seconds
    assert work.paused_seconds > rested > 0
    work.resume()
    rested = work.paused_seconds
    rest = list(batches)
    assert not work.paused and work.paused_seconds == rested
    work.resume()
    assert b"".join(batch.labels.tobytes() for batch in [first, *rest]) == simple(range(3000))[:, :16].tobytes()


def test_a_paused_pool_can_be_stopped() -> None:
    work = Pool([FakeEngine(Shared(0.0001))])
    batches = work.run(KEY, [(0, 1 << 40)])
    next(batches)
    work.pause()
    threading.Timer(0.2, work.stop).start()
    with pytest.raises(Stopped):
        list(batches)


# == the check of GPUs ===========================================================================================


def test_all_labels_of_the_first_piece_some_of_the_second_then_one_in_many() -> None:
    one = Sample(lambda key, indices: simple(indices), one_in=1000, first=256)
    assert one.places(256, 0) == list(range(256))
    assert len(one.places(5000, 0)) == 257, "a piece that another gave back may be larger"
    assert len(one.places(5000, 1)) == 65
    assert len(one.places(5000, 2)) == 6
    assert one.places(900, 2) == [899]
    every = Sample(lambda key, indices: simple(indices), one_in=1, first=256)
    assert all(every.places(5000, before) == list(range(5000)) for before in range(3)), "who asks for all gets all"
    assert one.places(1, 0) == one.places(1, 9) == [0]
    assert replace(one, one_in=0).places(1 << 18, 5) == [(1 << 18) - 1]
    for pieces in range(3):
        places = one.places(3000, pieces)
        assert places[-1] == 2999 and sorted(set(places)) == places


def test_the_first_piece_of_a_gpu_is_small_and_the_next_fills_it() -> None:
    engine = FakeEngine(Shared(0.0), granularity=5000)
    list(Pool([engine], sample=SIMPLE).run(KEY, [(0, 20_000)]))
    assert engine.counts[0] == 256
    assert engine.counts[1] >= 5000


def test_a_wrong_label_takes_all_engines_of_the_card_out() -> None:
    card = Shared(0.0002)
    engines = [FakeEngine(card), FakeEngine(card)]
    engines[0].wrong = set(range(40, 10**6))
    other = FakeEngine(Shared(0.0005), replace(CARD, name="other"))
    work = Pool([*engines, other], sample=replace(SIMPLE, one_in=1), piece_seconds=0.01)
    batches = list(work.run(KEY, [(0, 6000)]))
    assert b"".join(batch.labels.tobytes() for batch in batches) == simple(range(6000))[:, :16].tobytes()
    first, second = work.reports
    assert first.distrusted and first.retired == 2 and not second.distrusted
    assert second.labels > 3000
    message = next(error for error in first.errors if "wrong label" in error)
    assert CARD.name in message and "driver 1.2" in message
    with pytest.raises(AllDevicesFailed):
        list(Pool(engines, sample=SIMPLE).run(KEY, [(0, 6000)]))


class Layers(FakeEngine):
    """A card with several layouts, of which some compute wrong labels; `with_the_next` opens it with the next."""

    def __init__(self, card: Shared, layouts: list[str], wrong: set[str], **more: Any) -> None:
        super().__init__(card, **more)
        self.layouts, self.bad = layouts, wrong

    def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
        found = super().labels32(commitments, indices)
        if self.layouts[0] in self.bad:
            found[-1] ^= 1
        return found


def with_the_next(engine: Engine, next_first: bool = False, trusted: bool = True) -> bool:
    assert isinstance(engine, Layers)
    if trusted:
        return True
    if len(engine.layouts) == 1:
        raise NoLayoutLeft("no other layout is left to try")
    del engine.layouts[0]
    return True


def test_after_a_wrong_label_a_card_goes_on_with_its_next_layout_and_is_checked_as_at_first() -> None:
    layouts = ["fast", "simple"]
    pair = [Layers(Shared(0.0001), layouts, {"fast"}) for _ in range(2)]
    work = Pool(pair, sample=SIMPLE, piece_seconds=0.01, reopen=with_the_next)
    batches = list(work.run(KEY, [(0, 4000)]))
    assert b"".join(batch.labels.tobytes() for batch in batches) == simple(range(4000))[:, :16].tobytes()
    (report,) = work.reports
    assert layouts == ["simple"]
    assert (report.wrong, report.reopened, report.retired, report.distrusted) == (1, 1, 0, False)
    assert report.checked >= 64


def test_a_card_that_is_wrong_with_every_layout_is_given_up_by_name_and_the_others_go_on() -> None:
    layouts, notes = ["fast", "usual", "simple"], list[str]()
    pair = [Layers(Shared(0.0001), layouts, {"fast", "usual", "simple"}) for _ in range(2)]
    other = FakeEngine(Shared(0.0003), replace(CARD, name="other"))
    work = Pool([*pair, other], sample=SIMPLE, piece_seconds=0.01, reopen=with_the_next, note=notes.append)
    batches = list(work.run(KEY, [(0, 4000)]))
    assert {batch.device.name for batch in batches} == {"other"}
    assert b"".join(batch.labels.tobytes() for batch in batches) == simple(range(4000))[:, :16].tobytes()
    report = work.reports[0]
    assert (report.wrong, report.retired, report.distrusted, report.labels) == (3, 2, True, 0)
    assert notes[-1] == f"{CARD.name} is not used any more"


def test_a_device_that_hangs_holds_no_call_for_any_labels_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(pool, "SLOW_FACTOR", 0.0)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.02)
    release, began = threading.Event(), threading.Event()

    class Hangs(FakeEngine):
        def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
            began.set()
            assert release.wait(20)
            return super().labels32(commitments, indices)

    class Later(FakeEngine):
        def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
            assert began.wait(20)
            return super().labels32(commitments, indices)

    hanging = Hangs(Shared(0.0), replace(CARD, name="hangs"))
    both = Pool([Later(Shared(0.0)), hanging])
    try:
        for _ in range(2):
            assert both.labels32([KEY], range(500)).tobytes() == simple(range(500)).tobytes()
        assert both._workers[1].detained
    finally:
        release.set()


def test_a_device_that_hangs_with_its_first_piece_is_overtaken_by_one_that_has_had_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(pool, "UNKNOWN_SECONDS", 0.2)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.02)
    release, began = threading.Event(), threading.Event()

    class Hangs(FakeEngine):
        def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
            began.set()
            assert release.wait(20)
            return super().labels32(commitments, indices)

    class Later(FakeEngine):
        def labels32(self, commitments: Sequence[bytes], indices: Any) -> Labels:
            assert began.wait(20)
            return super().labels32(commitments, indices)

    both = Pool([Hangs(Shared(0.0), replace(CARD, name="hangs")), Later(Shared(0.0))])
    try:
        assert both.labels32([KEY], [7]).tobytes() == simple([7]).tobytes()
    finally:
        release.set()


def test_cards_of_one_name_are_told_apart() -> None:
    twins = [replace(CARD, pci=f"0000:0{number}:00.0", id=number) for number in range(2)]
    work = Pool([FakeEngine(Shared(0.0), one) for one in [*twins, replace(CARD, name="third")]])
    assert rig.titles(work) == [
        "[GPU] P/card (0000:00:00.0)",
        "[GPU] P/card (0000:01:00.0)",
        "third",
    ]


def test_what_there_is_to_say_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from api.cli import progress
    from kernels.gpu import sensors

    heat = sensors.Reading(temperature_c=64.4)
    monkeypatch.setattr(sensors, "read", lambda pci: heat if pci else sensors.Reading())
    work = Pool(
        [FakeEngine(Shared(0.0), replace(CARD, pci="0000:01:00.0")), FakeEngine(Shared(0.0), replace(CARD, name="b"))]
    )
    states = rig.States(work)
    assert states.now() == {CARD.name: {"temperature_c": 64.4}}
    work.reports[0].errors.append("no")
    work.reports[1].errors += ["no", "no"]
    work.reports[1].retired = 1
    now = states.now()
    assert now["b"] == {"errors": 2, "engines_retired": 1}
    assert progress.state_text(now[CARD.name]) == ", 64 °C, 1 error"
    assert progress.state_text(now["b"]) == ", 2 errors, given up"


# == any labels on several devices ===============================================================================


@pytest.fixture
def gathers() -> Iterator[list[Pool]]:
    made: list[Pool] = []
    yield made
    for one in made:
        one.close()


def test_any_labels_come_back_in_their_places(gathers: list[Pool]) -> None:
    engines = [FakeEngine(Shared(0.00001), granularity=16), FakeEngine(Shared(0.0001), granularity=3)]
    gathers.append(Pool(engines, sample=SIMPLE))
    for count in (0, 1, 50, 5000):
        indices = [(index * 7919) % 100_003 for index in range(count)]
        assert gathers[0].labels32([KEY], indices).tobytes() == simple(indices).tobytes()
    assert all(engine.counts for engine in engines)


def test_any_labels_when_devices_fail_or_err(gathers: list[Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    failing, wrong = FakeEngine(Shared(0.0)), FakeEngine(Shared(0.0), replace(CARD, name="wrong"))
    good = FakeEngine(Shared(0.001), replace(CARD, name="good"))
    failing.fail, wrong.wrong = RuntimeError("no such luck"), set(range(10**6))
    notes: list[str] = []
    gathers.append(Pool([failing, wrong, good], sample=SIMPLE, note=notes.append))
    indices = range(500)
    assert gathers[0].labels32([KEY], indices).tobytes() == simple(indices).tobytes()
    assert gathers[0].labels32([KEY], indices).tobytes() == simple(indices).tobytes()
    assert len(failing.counts) <= 3 and len(wrong.counts) == 1
    assert any("wrong label" in note and "wrong (driver 1.2)" in note for note in notes)
    good.fail = RuntimeError("me too")
    with pytest.raises(AllDevicesFailed, match="me too"):
        gathers[0].labels32([KEY], indices)


def test_any_labels_can_be_stopped(gathers: list[Pool]) -> None:
    gathers.append(Pool([FakeEngine(Shared(0.1)), FakeEngine(Shared(0.1))]))
    threading.Timer(0.2, gathers[0].stop).start()
    with pytest.raises(Stopped):
        gathers[0].labels32([KEY], range(1000))
    with pytest.raises(Stopped):
        gathers[0].labels32([KEY], range(1))


def test_a_wrong_label_names_device_driver_and_index() -> None:
    error = WrongLabel(CARD, 77, bytes(16), bytes([1]) * 16)
    for part in (CARD.name, "driver 1.2", "wrong label 77", bytes(16).hex(), (bytes([1]) * 16).hex()):
        assert part in str(error)
