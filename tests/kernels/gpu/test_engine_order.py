"""The engine of graphics cards, whole, on a driver that runs the CUDA kernels on the CPU, in every order CUDA allows.

What is checked is what a device would do: real labels against the known answers and the scalar path, whatever the
order of queued work, with memory that runs out, devices that fail, callers that stop and callers that share.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.devices import opening
from kernels.devices import pool as pool_module
from kernels.devices.pool import Pool
from kernels.devices.types import Labels, Stopped
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import cuda_devices, session
from kernels.gpu import plan as plan_gpu
from kernels.gpu.cuda_devices import Properties
from kernels.gpu.driver import DriverError, OutOfMemory
from kernels.gpu.engine import Card, LabelEngine
from kernels.gpu.layout import Layout, source
from kernels.gpu.session import SETS
from kernels.labels import scalar as scrypt_scalar
from tests.support.cuda_shim.build import cache_folder, require_compiler
from tests.support.cuda_shim.driver import ShimDevice, ShimDriver, small_card
from tests.support.cuda_shim.engine import KEY, PLAIN, SHARED, SLOTS, compute, expected, open_engine, room

SOON = 20.0
"""Seconds within which what must happen happens."""

RTX_3090 = Properties("RTX 3090", 82, (8, 6), 65536, 1536, 24 << 30, "0000:01:00.0")
H100 = Properties("H100", 132, (9, 0), 65536, 2048, 80 << 30, "0000:02:00.0")


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> Path:
    require_compiler()
    return cache_folder(pytestconfig)


# -- labels


@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize("layout", [PLAIN, Layout(group=32, gap=2, free=1, tile=32), SHARED], ids=["A", "A2", "B"])
def test_the_known_labels_and_the_smallest(folder: Path, vectors_root: Path, layout: Layout, order: int) -> None:
    document = json.loads((vectors_root / "post/labels.json").read_text())
    for run in (one for one in document["runs"] if one["n"] == 16 and "labels32" in one):
        driver = ShimDevice(folder, order=order)
        engine = open_engine(driver, run["n"], layout, slots=layout.whole)
        assert run["count"] > engine.granularity, "more than one batch"
        labels, candidate = compute(engine, int(run["start"]), run["count"], bytes.fromhex(run["commitment"]))
        assert labels == run["labels"]
        full = [run["labels32"][i : i + 64] for i in range(0, len(run["labels32"]), 64)]
        assert candidate.label32.hex() == min(full)
        assert candidate.index == int(run["start"]) + full.index(min(full))
        engine.close()
        assert driver.closed
        assert driver.allocated_bytes == 0


@pytest.mark.parametrize("order", [0, *range(11, 19)])
def test_many_batches_of_every_size_in_any_order_of_the_queues(folder: Path, order: int) -> None:
    engine = open_engine(ShimDevice(folder, order=order))
    for start, count in [(2**32 - 50, 3 * SLOTS + 5), (0, 1), (7, SLOTS), (2**64 - 40, 40), (5, SLOTS + 1), (0, 2)]:
        assert compute(engine, start, count) == expected(start, count)
    assert engine.granularity == SLOTS
    engine.close()


@pytest.mark.parametrize("order", [0, 3, 4])
@pytest.mark.parametrize("layout", [PLAIN, SHARED], ids=["A", "B"])
def test_single_labels_with_one_commitment_or_one_each(folder: Path, layout: Layout, order: int) -> None:
    engine = open_engine(ShimDevice(folder, order=order), layout=layout)
    indices = [2**64 - 1, 0, 2**32, 5, *range(2**40, 2**40 + 70)]
    keys = [bytes([i]) * 32 for i in range(len(indices))]
    for chosen in ([KEY], keys):
        found = engine.labels32(chosen, indices)
        right = [scrypt_scalar.label32(chosen[i % len(chosen)], index, 16) for i, index in enumerate(indices)]
        assert [row.tobytes() for row in found] == right
    assert engine.labels32(keys[:1], indices[:1])[0].tobytes() == scrypt_scalar.label32(keys[0], indices[0], 16)
    assert engine.labels32([KEY], []).shape == (0, 32)
    engine.close()


def test_an_engine_that_does_not_wait_for_its_marks_is_noticed(folder: Path) -> None:
    """Not of the engine but of this driver: a copy that does not follow the kernels must show in some order."""

    class Hasty(ShimDevice):
        def follow(self, stream: Any, event: Any) -> None:
            return

    wrong = 0
    for order in range(1, 9):
        engine = open_engine(Hasty(folder, order=order))
        try:
            wrong += compute(engine, 0, 70) != expected(0, 70)
        except AssertionError:
            wrong += 1
    assert wrong


# -- what is queued


def test_a_launch_is_four_kernels_then_the_copies_and_the_next_is_queued_before_the_first_is_done(
    folder: Path,
) -> None:
    driver = ShimDevice(folder, order=5)
    engine = open_engine(driver)
    driver.trace.clear()
    driver.queued_at.clear()
    compute(engine, 0, 3 * SLOTS + 5)
    launch = [
        "stream 0: upload 32",
        "stream 0: upload 40",
        "stream 0: record",
        "stream 0: seed 1x64",
        "stream 0: romix 1x32",
        "stream 0: finish 1x64",
        "stream 0: best 1x64",
        "stream 0: record",
        "stream 1: follow",
        "stream 1: download 512",
        "stream 1: download 40",
        "stream 1: record",
    ]
    last = [line.replace("download 512", "download 80") for line in launch]
    assert driver.trace == [*launch, *launch, *launch, *last]
    second = driver.queued_at[len(launch)]
    assert second < len(launch), "the second launch was queued before the first was done"
    engine.close()


def test_a_small_batch_starts_no_more_groups_than_it_has_labels_for(folder: Path) -> None:
    driver = ShimDevice(folder, order=3)
    engine = open_engine(driver, slots=4 * PLAIN.unit)
    compute(engine, 0, PLAIN.unit + 1)
    compute(engine, 0, 4 * PLAIN.unit)
    compute(engine, 0, 1)
    assert [line for line in driver.trace if "romix" in line] == [
        f"stream 0: romix {groups}x32" for groups in (2, 4, 1)
    ]


def test_rows_may_lie_in_four_buffers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan_gpu.plan

    def four(*arguments: Any, **more: Any) -> plan_gpu.Plan:
        return replace(planned(*arguments, **more), per_buffer=PLAIN.unit, buffers=4)

    monkeypatch.setattr(plan_gpu, "plan", four)
    driver = ShimDevice(folder, order=8)
    engine = open_engine(driver, 128, slots=4 * PLAIN.unit)
    rows = f"allocate {PLAIN.unit * PLAIN.label_bytes(128)}"
    assert driver.trace.count(rows) == 4
    count = 5 * PLAIN.unit + 3
    assert compute(engine, 2**32 - 9, count) == expected(2**32 - 9, count, 128)
    engine.close()
    assert driver.allocated_bytes == 0


def test_the_devices_time_is_counted(folder: Path) -> None:
    engine = open_engine(ShimDevice(folder, order=2))
    assert engine.busy_seconds == 0
    began = time.perf_counter()
    compute(engine, 0, 100)
    assert 0 < engine.busy_seconds < SETS * (time.perf_counter() - began), "no more launches than there is memory for"


# -- memory


def test_memory_that_is_refused_at_the_start_halves_the_labels_in_flight(folder: Path) -> None:
    driver, notes = ShimDevice(folder, order=3), list[str]()
    layout = PLAIN
    driver.refuse_above = 3 * layout.unit * layout.label_bytes(128)
    engine = open_engine(driver, 128, slots=16 * layout.unit, note=notes.append)
    assert engine.granularity == 2 * layout.unit
    assert len(notes) == 3
    assert "Fake: " in notes[0] and "could not be had (allocating" in notes[0]
    assert f"going on with {8 * layout.unit} labels in flight instead of {16 * layout.unit}" in notes[0]
    assert compute(engine, 0, 3 * layout.unit) == expected(0, 3 * layout.unit, 128)
    engine.close()
    assert driver.allocated_bytes == 0


def test_no_memory_for_a_single_work_group_is_an_error_that_leaves_nothing(folder: Path) -> None:
    driver = ShimDevice(folder)
    driver.refuse_above = PLAIN.unit * PLAIN.label_bytes(128) - 1
    with pytest.raises(MemoryShortage, match=r"Fake, allocating .* failed: out of memory; one work-group"):
        open_engine(driver, 128, slots=4 * PLAIN.unit)
    assert driver.allocated_bytes == 0
    assert driver.closed
    driver = ShimDevice(folder)
    driver.refuse_above = 100
    with pytest.raises(MemoryShortage, match="Fake"):
        open_engine(driver)
    assert driver.allocated_bytes == 0
    with pytest.raises(MemoryShortage, match="one work-group"):
        Card(cuda_devices.device_of(small_card(), ""), 8192, 1 << 20, opened=lambda one: ShimDriver(driver))


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("kernel", ["seed", "romix", "finish", "best"])
def test_memory_that_runs_out_at_a_later_launch_halves_too_and_no_label_is_lost(
    folder: Path, kernel: str, order: int
) -> None:
    launches: list[str] = []

    def refuse_the_third(name: str) -> None:
        launches.append(name)
        if name == kernel and launches.count(kernel) in (3, 4):
            raise OutOfMemory(f"launching {name} failed: out of memory")

    driver, notes = ShimDevice(folder, order=order, before_launch=refuse_the_third), list[str]()
    engine = open_engine(driver, slots=4 * PLAIN.unit, note=notes.append)
    count = 15 * PLAIN.unit + 3
    assert compute(engine, 1000, count) == expected(1000, count)
    assert engine.granularity == PLAIN.unit
    assert len(notes) == 2
    assert compute(engine, 5, 2 * PLAIN.unit) == expected(5, 2 * PLAIN.unit)
    engine.close()
    assert driver.allocated_bytes == 0


@pytest.mark.parametrize("order", [0, 5])
def test_memory_that_a_running_kernel_misses_halves_too(folder: Path, order: int) -> None:
    """Drivers give memory when it is first used: the launch fails, not the call."""
    ran: list[str] = []

    def miss(name: str) -> None:
        ran.append(name)
        if name == "romix" and ran.count("romix") == 2:
            raise OutOfMemory("computing failed: the driver reports error -4")

    driver, notes = ShimDevice(folder, order=order, while_running=miss), list[str]()
    engine = open_engine(driver, slots=4 * PLAIN.unit, note=notes.append)
    count = 15 * PLAIN.unit + 3
    assert compute(engine, 1000, count) == expected(1000, count)
    assert len(notes) == 1 and engine.granularity == 2 * PLAIN.unit
    engine.close()
    assert driver.allocated_bytes == 0


# -- ends


def test_stop_ends_a_running_call_and_every_later_one(folder: Path) -> None:
    def stop_at_second(name: str) -> None:
        launches.append(name)
        if launches.count("romix") == 2:
            engine.stop()

    launches: list[str] = []
    driver = ShimDevice(folder, order=6, while_running=stop_at_second)
    engine = open_engine(driver)
    with pytest.raises(Stopped):
        compute(engine, 0, 100 * SLOTS)
    assert launches.count("romix") <= 2 + SETS
    with pytest.raises(Stopped):
        compute(engine, 0, 1)
    with pytest.raises(Stopped):
        engine.labels32([KEY], [1])
    engine.close()
    engine.close()
    assert driver.allocated_bytes == 0


@pytest.mark.parametrize("kernel", ["romix", "best"])
def test_a_device_that_fails_is_named_with_its_driver_and_the_layout(folder: Path, kernel: str) -> None:
    fail = [True]

    def illegal(name: str) -> None:
        if name == kernel and fail[0]:
            fail[0] = False
            raise DriverError("waiting for the device failed: cudaErrorLaunchFailure")

    driver = ShimDevice(folder, order=6, while_running=illegal)
    engine = open_engine(driver)
    message = r"Fake \(driver 535.54, CUDA 12.2\): computing.* failed, gap 1.*cudaErrorLaunchFailure"
    with pytest.raises(KernelError, match=message):
        compute(engine, 7, 100)
    with pytest.raises(KernelError, match=message):
        compute(engine, 7, 100)
    engine.reopen(engine.layout)
    assert compute(engine, 7, 100) == expected(7, 100), "the pool opens a device again"
    engine.close()


def test_a_device_that_is_lost_can_still_be_closed(folder: Path) -> None:
    class Lost(ShimDevice):
        lost = False

        def free(self, address: int) -> None:
            if self.lost:
                raise DriverError("giving memory back failed: cudaErrorDevicesUnavailable")
            super().free(address)

    driver = Lost(folder)
    engine = open_engine(driver)
    driver.lost = True
    engine.close()
    assert engine._card.session._thread.join(SOON) is None and not engine._card.session._thread.is_alive()


class Recovers(ShimDevice):
    """Everything that is queued fails until the device was opened `times` more times."""

    def __init__(self, folder: Path, order: int = 0, times: int = 1) -> None:
        super().__init__(folder, order=order, before_launch=self._refuse)
        self.lost, self.times, self.opened = False, times, 0

    def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Any:
        if "romix" in names:
            self.opened += 1
            if self.lost:
                self.times -= 1
                self.lost = self.times > 0
        if self.lost:
            raise DriverError("compiling the kernels failed: cudaErrorDevicesUnavailable")
        return super().compile(source, options, names)

    def _refuse(self, name: str) -> None:
        if self.lost:
            raise DriverError(f"launching {name} failed: cudaErrorLaunchFailure")


@pytest.mark.parametrize("order", [0, 7])
def test_a_device_that_recovers_is_opened_again(folder: Path, order: int) -> None:
    driver = Recovers(folder, order)
    engine = open_engine(driver)
    assert compute(engine, 0, 100) == expected(0, 100)
    driver.lost = True
    with pytest.raises(KernelError, match="cudaErrorLaunchFailure"):
        compute(engine, 0, 100)
    engine.reopen(engine.layout)
    assert compute(engine, 2**32 - 9, 3 * SLOTS + 5) == expected(2**32 - 9, 3 * SLOTS + 5)
    engine.close()
    assert driver.allocated_bytes == 0


def test_a_device_that_cannot_be_opened_again_says_so_and_may_be_tried_once_more(folder: Path) -> None:
    driver = Recovers(folder, times=2)
    engine = open_engine(driver)
    driver.lost = True
    with pytest.raises(KernelError, match="cudaErrorLaunchFailure"):
        compute(engine, 0, 10)
    with pytest.raises(KernelError, match="cudaErrorDevicesUnavailable"):
        engine.reopen(engine.layout)
    assert driver.allocated_bytes == 0
    with pytest.raises(KernelError, match=r"Fake \(driver 535.54, CUDA 12.2\).*cudaErrorDevicesUnavailable"):
        compute(engine, 0, 10)
    engine.reopen(engine.layout)
    assert compute(engine, 0, 10) == expected(0, 10)
    engine.close()


def test_a_device_that_is_opened_with_another_layout_computes_the_same_labels(folder: Path) -> None:
    driver = ShimDevice(folder, order=4)
    card = Card(
        cuda_devices.device_of(driver.properties, ""),
        16,
        room(PLAIN, 16, 4 * SLOTS),
        later_layouts=[SHARED, Layout(gap=2, group=32)],
        opened=lambda one: ShimDriver(driver),
    )
    engine = LabelEngine(card)
    assert compute(engine, 0, 50) == expected(0, 50)
    assert engine.current and engine.later_layouts == (SHARED, Layout(gap=2, group=32))
    engine.reopen(SHARED)
    assert engine.layout == SHARED and engine.later_layouts == (Layout(gap=2, group=32),)
    assert not engine.current, "its last call was before"
    assert compute(engine, 0, 50) == expected(0, 50)
    engine.close()
    assert driver.allocated_bytes == 0


def test_whose_launch_fails_is_told_even_if_another_caller_opens_the_device_at_once(folder: Path) -> None:
    driver = Recovers(folder)
    engine = open_engine(driver)
    card, before = engine._card, engine._card.session
    launch = session.Launch(np.frombuffer(KEY, np.uint64).reshape(1, 4), 0, 1, None, np.empty((1, 16), np.uint8))
    driver.lost = True
    assert card.submit(launch, before, threading.Event())
    with card.change:
        card.change.wait_for(lambda: before.lost is not None, SOON)
    engine.reopen(engine.layout)
    assert card.session is not before and card.session.lost is None
    # whoever waits may look only when another session is there, which knows nothing of this launch
    with pytest.raises(KernelError, match="cudaErrorLaunchFailure"):
        card.wait(launch, before, threading.Event())
    engine.close()


def test_where_opening_fails_with_one_layout_the_next_one_is_tried(folder: Path) -> None:
    driver = Recovers(folder, times=2)
    card = Card(
        cuda_devices.device_of(driver.properties, ""),
        16,
        room(PLAIN, 16, 4 * SLOTS),
        later_layouts=[SHARED],
        opened=lambda one: ShimDriver(driver),
    )
    engine, other = LabelEngine(card), LabelEngine(card)
    right = scrypt_scalar.label32(bytes(32), 0, 16).hex()
    driver.lost = True
    for one in (engine, other):
        with pytest.raises(KernelError, match="cudaErrorLaunchFailure"):
            compute(one, 0, 10)
    assert opening.reopen(engine, ask=lambda *question, **more: {"label": right, "layout": question[2]["layout"]})
    assert (driver.opened, engine.layout) == (3, SHARED)
    assert not other.current, "what failed it is there no more"
    assert compute(engine, 0, 50) == compute(other, 0, 50) == expected(0, 50)
    for one in (engine, other):
        one.close()


def test_who_begins_while_the_device_is_opened_may_open_it_again_when_that_is_no_good(folder: Path) -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow(Recovers):
        def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Any:
            if self.opened == 1:
                entered.set()
                assert release.wait(SOON)
            return super().compile(source, options, names)

    driver = Slow(folder)
    release.set()
    first = open_engine(driver)
    second = LabelEngine(first._card)
    driver.lost = True
    for one in (first, second):
        with pytest.raises(KernelError, match="cudaErrorLaunchFailure"):
            compute(one, 0, 10)
    entered.clear()
    release.clear()
    opener = threading.Thread(target=first.reopen, args=(first.layout,))
    opener.start()
    assert entered.wait(SOON)
    results: list[Any] = []
    worker = threading.Thread(target=lambda: results.append(compute(second, 0, 10)))
    worker.start()
    release.set()
    for thread in (opener, worker):
        thread.join(SOON)
    assert results == [expected(0, 10)] and driver.opened == 2
    second.reopen(second.layout)
    assert driver.opened == 3, "its last call was of what is there now"
    for one in (first, second):
        one.close()
    assert driver.allocated_bytes == 0


def test_a_device_that_gets_no_thread_is_lost_until_it_is_opened_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = open_engine(ShimDevice(folder))
    assert compute(engine, 0, 10) == expected(0, 10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(KernelError, match="it got no thread to work in"):
            engine.reopen(engine.layout)
    with pytest.raises(KernelError, match="it got no thread to work in"):
        compute(engine, 0, 10)
    engine.reopen(engine.layout)
    assert compute(engine, 0, 10) == expected(0, 10)
    engine.close()


def test_a_device_that_is_left_by_its_last_engine_while_it_is_opened_again_is_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = ShimDevice(folder)
    engine = open_engine(driver)
    end, ended = session.Session.end, list[session.Session]()

    def end_and_leave(one: session.Session) -> None:
        end(one)
        ended.append(one)
        engine.close()

    monkeypatch.setattr(session.Session, "end", end_and_leave)
    engine.reopen(engine.layout)
    assert engine._card.session in ended
    assert driver.allocated_bytes == 0


def test_two_callers_open_a_device_once_and_not_below_each_other(folder: Path) -> None:
    both_failed = threading.Barrier(2, timeout=SOON)
    driver = Recovers(folder, order=3)
    first = open_engine(driver)
    pair = (first, LabelEngine(first._card))
    driver.lost = True
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        engine, start = pair[number], 5000 * number
        with pytest.raises(KernelError):
            compute(engine, start, 90)
        both_failed.wait()
        engine.reopen(engine.layout)
        results[start] = compute(engine, start, 90)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert results == {start: expected(start, 90) for start in (0, 5000)}
    assert driver.opened == 2, "at first, and once more for both"
    for engine in pair:
        engine.close()
    assert driver.allocated_bytes == 0


# -- hanging


class Hangs(ShimDevice):
    """A card that stops answering: marks are never reached, or calls do not come back, until `answer` is set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.marks, self.calls = False, False
        self.answer = threading.Event()

    def done(self, event: Any) -> bool:
        return not self.marks and super().done(event)

    def upload(self, *words: Any) -> None:
        if self.calls:
            assert self.answer.wait(SOON)
        super().upload(*words)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HANG_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(session, name, 0.3)


@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize("what", ["marks", "calls"])
def test_a_card_that_hangs_is_lost_within_a_limit_and_left_as_it_is(folder: Path, what: str) -> None:
    driver = Hangs(folder)
    engine = open_engine(driver)
    assert compute(engine, 0, 10) == expected(0, 10)
    setattr(driver, what, True)
    before = driver.allocated_bytes
    with pytest.raises(KernelError, match="it is lost"):
        compute(engine, 0, 10)
    with pytest.raises(KernelError, match="it is lost"):
        compute(engine, 0, 10)
    engine.close()
    driver.answer.set()
    engine._card.session._thread.join(SOON)
    assert not engine._card.session._thread.is_alive()
    assert driver.allocated_bytes == before and not driver.closed, "nothing was given back"


@pytest.mark.usefixtures("short_limits")
def test_a_call_that_does_not_come_back_while_the_engine_is_stopped_holds_nobody_up(folder: Path) -> None:
    driver = Hangs(folder)
    engine = open_engine(driver)
    driver.calls = True
    ended: list[BaseException] = []

    def work() -> None:
        try:
            compute(engine, 0, 10)
        except KernelError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    engine.stop()
    thread.join(SOON)
    engine.close()
    driver.answer.set()
    assert isinstance(ended[0], Stopped)


@pytest.mark.usefixtures("short_limits")
def test_a_card_that_hung_is_used_again_when_it_answers(folder: Path) -> None:
    driver = Hangs(folder)
    engine = open_engine(driver)
    driver.marks = True
    with pytest.raises(KernelError, match="it is lost"):
        compute(engine, 0, 10)
    driver.marks = False
    engine.reopen(engine.layout)
    assert compute(engine, 0, 100) == expected(0, 100)
    engine.close()


@pytest.mark.usefixtures("short_limits")
def test_opening_that_does_not_come_back_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "OPEN_SECONDS", 0.2)
    answer = threading.Event()

    def hang(one: object) -> ShimDriver:
        assert answer.wait(SOON)
        return ShimDriver(ShimDevice(folder))

    with pytest.raises(KernelError, match="does not come back from opening it"):
        Card(cuda_devices.device_of(small_card(), ""), 16, opened=hang)
    answer.set()


@pytest.mark.parametrize("scrypt_n", [0, 1, 3, 100])
def test_an_n_that_is_no_power_of_two_is_refused(folder: Path, scrypt_n: int) -> None:
    with pytest.raises(KernelError, match=f"scrypt N is {scrypt_n}, expected a power of two"):
        open_engine(ShimDevice(folder), scrypt_n)


@pytest.mark.parametrize("layout", [Layout(vec=16), Layout(lanes=4, group=16, lane_op=2)])
def test_a_layout_that_cuda_does_not_have_is_not_built(folder: Path, layout: Layout) -> None:
    with pytest.raises(KernelError, match=r"the CUDA dialect has one label a row"):
        open_engine(ShimDevice(folder), 16, layout, slots=256)


def test_a_kernel_that_does_not_compile_is_an_error_with_the_compilers_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = ShimDevice(folder)
    broken = source() + '\nstatic_assert(N == 3, "no such kernel here");\n'
    monkeypatch.setattr(session, "source", lambda: broken)
    with pytest.raises(KernelError, match="no such kernel here"):
        open_engine(driver)
    assert driver.closed


# -- several callers


def test_two_callers_share_a_device(folder: Path) -> None:
    engine = open_engine(ShimDevice(folder, order=9))
    pair = (engine, LabelEngine(engine._card))
    wrong: list[object] = []

    def work(number: int) -> None:
        engine, first = pair[number], 10_000 * number
        for start in range(first, first + 2000, 400):
            if compute(engine, start, 90) != expected(start, 90):
                wrong.append(start)
        indices = list(range(first, first + 80))
        right = [scrypt_scalar.label32(KEY, index, 16) for index in indices]
        if [row.tobytes() for row in engine.labels32([KEY], indices)] != right:
            wrong.append("single labels")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    engine.close()


def test_a_pool_gets_the_labels_of_one_device_through_two_workers_also_when_it_fails_at_times(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launches: list[str] = []

    def sometimes(name: str) -> None:
        launches.append(name)
        if name == "romix" and launches.count("romix") in (4, 9):
            raise DriverError("waiting for the device failed: at times")

    engine = open_engine(ShimDevice(folder, order=12, while_running=sometimes))
    check = partial(scrypt_scalar.label32, scrypt_n=16)

    def reopen(one: Any, **how: bool) -> bool:
        if one.current:
            one.reopen(one.layout)
        return True

    monkeypatch.setattr(pool_module, "RETRY_SECONDS", 0.0)
    pool = Pool([engine, LabelEngine(engine._card)], check=check, reopen=reopen)
    found = b"".join(batch.labels.tobytes() for batch in pool.run(KEY, [(0, 500), (2**32 - 5, 77)]))
    pool.close()
    assert found.hex() == expected(0, 500)[0] + expected(2**32 - 5, 77)[0]
    assert [report.labels for report in pool.reports] == [577]


# -- overlap, on a device with a clock


class TimedDevice(ShimDevice):
    """A device that computes nothing but takes its time: a thread works the queues, romix takes `seconds`.

    What a launch costs the host, copying and waiting, is real.
    """

    class Kernel:
        """A name."""

        registers = 80

        def __init__(self, name: str) -> None:
            self.name = name

    def __init__(self, seconds: float) -> None:
        super().__init__(Path(), RTX_3090)
        self.seconds_of_romix = seconds
        self.busy = 0.0
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def compile(self, source: str, options: Sequence[str], names: Sequence[str]) -> Any:
        return {name: self.Kernel(name) for name in names}

    def allocate(self, size: int) -> int:
        self._memory[len(self._memory) + 1] = np.zeros(0, np.uint8)
        return len(self._memory) << 40

    def free(self, address: int) -> None:
        return

    def free_memory(self) -> int:
        return self.properties.memory_bytes

    def _view(self, address: int, size: int) -> NDArray[np.uint8]:
        return np.zeros(size, np.uint8)

    def launch(self, kernel: Any, groups: int, size: int, arguments: Sequence[Any], stream: Any) -> None:
        self._queue(stream, kernel.name, partial(self._take_time, kernel.name))

    def _take_time(self, name: str) -> None:
        if name == "romix":
            began = time.perf_counter()
            time.sleep(self.seconds_of_romix)
            self.busy += time.perf_counter() - began

    def _queue(self, stream: Any, what: str, work: Any, ready: Any = lambda: True) -> None:
        with self._changed:
            stream.work.append((what, work, ready))
            self._changed.notify_all()

    def _work(self) -> None:
        """Both queues in one thread; copies go first, as a copy engine does not wait for kernels."""
        while not self._ended:
            with self._changed:
                able = [one for one in self._streams[::-1] if one.work and one.work[0][2]()]
                if not able:
                    self._changed.wait(1)
                    continue
                _, work, _ = able[0].work[0]
            work()
            with self._changed:
                able[0].work.popleft()
                self._changed.notify_all()

    def close(self) -> None:
        self._ended = True


@pytest.mark.timing
@pytest.mark.parametrize("callers", [1, 2])
def test_a_device_is_never_without_work_and_the_host_sleeps(callers: int) -> None:
    """At least 97 % of the kernel's own rate, less than 5 % of a core, with launches a quarter as long as real ones."""
    share, cores = 0.0, 1.0
    for _ in range(3):
        driver = TimedDevice(0.06)
        device = cuda_devices.device_of(RTX_3090, "")
        # a wave a launch: this device's time does not depend on their number
        plan = plan_gpu.plan(cuda_devices.numbers_of(RTX_3090), Layout(), 8192)
        plan = replace(plan, launch=plan.slots)
        card = Card(device, 8192, plan=plan, opened=lambda one, driver=driver: ShimDriver(driver))
        engines = [LabelEngine(card) for _ in range(callers)]
        count = card.plan.slots

        def work(engine: LabelEngine, count: int = count) -> None:
            out = np.empty((count * 12 // callers, 16), np.uint8)
            step = len(out) if callers == 1 else count
            for at in range(0, len(out), step):
                engine.labels(KEY, at, step, out[at : at + step])

        threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
        began, used = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        share, cores = max(share, driver.busy / seconds), min(cores, used / seconds)
        for engine in engines:
            engine.close()
        if share >= 0.97 and cores < 0.05:
            break
    assert share >= 0.97
    assert cores < 0.05


# -- plans


def test_labels_in_flight_are_whole_waves_and_no_more_than_registers_hold() -> None:
    gap_4 = Layout(gap=4, free=1)
    h100 = cuda_devices.numbers_of(H100, 79 << 30)
    plan = plan_gpu.plan(h100, gap_4, 8192, registers=107)
    assert plan_gpu.resident_labels(h100, gap_4, 107) == 132 * 4 * 4 * 32
    assert plan.slots == 132 * 4 * 4 * 32, "memory would hold more, but they would wait for a second turn"
    rtx = cuda_devices.numbers_of(RTX_3090, 23 << 30)
    plan = plan_gpu.plan(rtx, Layout(), 8192, registers=78)
    assert plan.slots % (82 * 128) == 0
    assert plan.slots == 82 * 128, "one full wave; the memory holds 1.9"
    assert plan.buffers <= plan_gpu.MAX_BUFFERS
    assert plan.total_bytes <= 23 << 30
    half = plan_gpu.plan(rtx, Layout(gap=2, free=1), 8192, 8 << 30, registers=107)
    assert half.total_bytes <= 8 << 30
    assert half.slots % (82 * 128) == 0 or half.slots < 82 * 128
    shared = Layout(lanes=4, lane_op=2)
    assert plan_gpu.resident_labels(rtx, shared, 40) == 82 * 4 * 12 * 8


@pytest.mark.parametrize(("properties", "gap"), [(RTX_3090, 2), (H100, 1)])
def test_a_device_without_a_tuning_gets_the_planners_layout(folder: Path, properties: Properties, gap: int) -> None:
    driver = ShimDevice(folder, properties)
    limit = room(Layout(gap=gap), 16, 128)
    card = Card(cuda_devices.device_of(properties, ""), 16, limit, opened=lambda one: ShimDriver(driver))
    engine = LabelEngine(card)
    assert (engine.layout.gap, engine.layout.lanes) == (gap, 1) or engine.layout.gap > gap
    engine.close()


def test_the_engine_is_one_for_the_pool(folder: Path) -> None:
    """For the type checker and a reader: what `types.Engine` asks for."""
    engine = open_engine(ShimDevice(folder))
    labels: Labels = np.empty((1, 16), np.uint8)
    assert engine.labels(KEY, 0, 1, labels).index == 0
    assert engine.scrypt_n == 16
    assert engine.device.backend == "cuda"
    engine.close()
