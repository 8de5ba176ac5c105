"""What an OpenCL device may do to us: no driver, no memory, lost, hanging, wrong (protocol 01-post-tools, 8)."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.devices import pool
from kernels.devices import types as device
from kernels.devices.pool import AllDevicesFailed, Pool, Sample
from kernels.devices.types import Labels, Stopped
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import opencl, opencl_card
from kernels.gpu.opencl_card import Faults
from kernels.gpu.plan import Layout, Plan, Tuning
from kernels.labels import cpu
from kernels.labels import scalar as scrypt_scalar
from tests.support import pocl
from tests.support.opencl_fakes import FakeDevice, FakeDriver, FakePlatform

KEY = bytes(range(32))
N = 16
LAYOUT = Layout(group=4)
PLAN = Plan(LAYOUT, N, slots=64, per_buffer=64, buffers=1, launch=256, wave=16)


def right(start: int, count: int) -> bytes:
    full = cpu.LabelEngine(cpu.devices()[0], N).labels32([KEY], np.arange(count, dtype=np.uint64) + np.uint64(start))
    return full[:, :16].tobytes()


def computed(engine: opencl.LabelEngine, start: int, count: int) -> bytes:
    out = np.zeros((count, 16), np.uint8)
    engine.labels(KEY, start, count, out)
    return out.tobytes()


# == discovery ===================================================================================================


def test_without_the_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl.importlib.util, "find_spec", lambda name: None)
    assert opencl.devices() == []
    (reason,) = opencl.passed_over()
    assert reason.what == "OpenCL"
    assert "pyopencl not installed" in reason.reason and "pocl" in reason.reason


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(opencl.importlib.util, "find_spec", lambda name: object())
    for variable in (opencl.PLATFORMS_FILTER, opencl.DEVICES_FILTER):
        monkeypatch.delenv(variable, raising=False)
    return lambda platforms: monkeypatch.setattr(opencl, "_driver", lambda: FakeDriver(platforms))


def test_no_icd_loader_or_no_icd(driver: Any) -> None:
    driver(RuntimeError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR"))
    assert opencl.devices() == []
    assert "PLATFORM_NOT_FOUND_KHR" in opencl.passed_over()[0].reason
    driver([])
    assert opencl.devices() == []
    assert "no platform" in opencl.passed_over()[0].reason


def test_an_icd_without_devices(driver: Any) -> None:
    driver([FakePlatform("Empty", RuntimeError("DEVICE_NOT_FOUND")), FakePlatform("Bare", [])])
    assert opencl.devices() == []
    reasons = {one.what: one.reason for one in opencl.passed_over()}
    assert reasons == {"OpenCL platform Empty": "no device: DEVICE_NOT_FOUND", "OpenCL platform Bare": "no device"}


def test_ids_are_those_of_the_reference(driver: Any) -> None:
    driver(
        [
            FakePlatform("P", [FakeDevice("one"), FakeDevice("host", 2), FakeDevice("two")]),
            FakePlatform("Q", [FakeDevice("board", 8), FakeDevice("dead", available=False), FakeDevice("three")]),
            FakePlatform("R", [FakeDevice("dumb", compiler_available=False)]),
        ]
    )
    found = opencl.devices()
    assert [(one.id, one.name) for one in found] == [
        (0, "[GPU] P/one"),
        (None, "[CPU] P/host"),
        (1, "[GPU] P/two"),
        (2, "[GPU] Q/three"),
    ]
    assert [one.handle for one in found] == ["0:0", "0:1", "0:2", "1:2"]
    assert {one.what: one.reason for one in opencl.passed_over()} == {
        "OpenCL device Q/board": "neither a GPU nor a CPU",
        "OpenCL device Q/dead": "the driver says that it is not available",
        "OpenCL device R/dumb": "its driver has no compiler",
    }


@pytest.mark.parametrize(
    ("platforms", "devices", "left", "passed"),
    [
        ("", "", [0, 1, 2], 0),
        ("CUDA", "", [0], 1),
        ("^Port", "", [0, 1, 2], 0),
        ("", "RTX 40[0-9]0", [0, 1], 1),
        ("", "^RTX", [0], 2),
        ("", "gfx", [0, 1], 1),
        ("CUDA", "gfx", [], 2),
        # an invalid expression is no filter, and that is told
        ("(", "", [0, 1, 2], 1),
        ("", "*", [0, 1, 2], 1),
    ],
)
def test_filters_of_the_environment(
    driver: Any, monkeypatch: pytest.MonkeyPatch, platforms: str, devices: str, left: list[int], passed: int
) -> None:
    driver(
        [
            FakePlatform("NVIDIA CUDA", [FakeDevice("RTX 3090"), FakeDevice("RTX 4090")]),
            FakePlatform("AMD", [FakeDevice("gfx1100")]),
        ]
    )
    monkeypatch.setenv(opencl.PLATFORMS_FILTER, platforms)
    monkeypatch.setenv(opencl.DEVICES_FILTER, devices)
    assert [one.id for one in opencl.devices()] == left, "ids are places after filtering"
    reasons = opencl.passed_over()
    assert len(reasons) == passed
    assert all("filtered by POST_OCL_" in one.reason or "no regular expression" in one.reason for one in reasons)


def test_addresses_of_cards(driver: Any) -> None:
    class Topology:
        bus, device, function = -125, 0, 1  # the driver's fields are signed bytes

    driver(
        [
            FakePlatform(
                "P",
                [
                    FakeDevice("n", pci_bus_id_nv=10, pci_slot_id_nv=0, pci_domain_id_nv=1),
                    FakeDevice("a", topology_amd=Topology()),
                    FakeDevice("i"),
                ],
            )
        ]
    )
    assert [one.pci for one in opencl.devices()] == ["0001:0a:00.0", "0000:83:00.1", None]


@pocl.needed
def test_a_device_that_was_removed_between_two_runs() -> None:
    from dataclasses import replace

    gone = replace(pocl.device(), handle="7:0")
    other = replace(pocl.device(), name="[GPU] Platform/Another card")
    with pytest.raises(KernelError, match="is not there any more"):
        opencl.engines(gone, N)
    with pytest.raises(KernelError, match=r"Another card is not there any more: .* is in its place"):
        opencl.engines(other, N)


@pocl.needed
@pytest.mark.parametrize("scrypt_n", [0, 1, 1000])
def test_n_that_is_no_power_of_two(scrypt_n: int) -> None:
    with pytest.raises(KernelError, match=f"scrypt N is {scrypt_n}, expected a power of two"):
        opencl.engines(pocl.device(), scrypt_n)


# == memory ======================================================================================================


class NoMemory(Faults):
    """Fails `times` times at one step, after `after` successes."""

    def __init__(self, step: str, times: int, after: int = 0, code: int = -4) -> None:
        self.left, self.after, self.where, self.code = times, after, step, code

    def step(self, what: str) -> None:
        if what != self.where:
            return
        if self.after > 0:
            self.after -= 1
        elif self.left > 0:
            self.left -= 1
            raise opencl_card.CommandFailed(self.code)


def made(faults: Faults | None = None, notes: list[str] | None = None, plan: Plan = PLAN) -> opencl.LabelEngine:
    note = notes.append if notes is not None else lambda message: None
    return opencl.LabelEngine(pocl.device(), N, plan=plan, faults=faults, note=note)


@pocl.needed
@pytest.mark.parametrize("code", [-4, -5, -6, -61])
def test_no_memory_at_first_is_half_the_memory(code: int) -> None:
    notes: list[str] = []
    engine = made(NoMemory("allocate", 2, code=code), notes)
    assert engine.granularity == 16
    assert len(notes) == 2
    for part in (pocl.device().name, "32 labels in flight instead of 64", "--gpu-memory", f"error {code}"):
        assert part in notes[0]
    assert computed(engine, 100, 300) == right(100, 300)
    engine.close()


@pocl.needed
def test_no_memory_at_a_later_batch_is_half_the_memory_and_the_same_labels() -> None:
    notes: list[str] = []
    engine = made(NoMemory("launch", 2, after=3), notes)
    assert computed(engine, 0, 200) == right(0, 200)
    assert computed(engine, 200, 1000) == right(200, 1000)
    assert engine.granularity == 16
    assert len(notes) == 2
    engine.close()


@pocl.needed
def test_engines_that_share_a_card_halve_it_once() -> None:
    notes: list[str] = []
    faults = NoMemory("launch", 0)
    pair = opencl.engines(pocl.device(), N, tuning=Tuning(Layout(group=8)), faults=faults, note=notes.append)
    before = pair[0].granularity
    faults.left = 1
    results: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda k=k: results.update({k: computed(pair[k], 1000 * k, 500)})) for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {0: right(0, 500), 1: right(1000, 500)}
    assert len(notes) == 1
    assert pair[0].granularity == pair[1].granularity < before
    for one in pair:
        one.close()


@pocl.needed
def test_no_memory_at_all_ends_with_how_much_is_needed() -> None:
    with pytest.raises(MemoryShortage, match="one work-group"):
        made(NoMemory("allocate", 99))
    with pytest.raises(MemoryShortage):
        opencl.engines(pocl.device(), 8192, memory_bytes=100_000)


# == failures ====================================================================================================


class Broken(Faults):
    """A step that fails with any code of the driver, from some call on."""

    def __init__(self, where: str, code: int, after: int = 0) -> None:
        self.where, self.code, self.after = where, code, after

    def step(self, what: str) -> None:
        if what == self.where:
            self.after -= 1
            if self.after < 0:
                raise opencl_card.CommandFailed(self.code)


@pocl.needed
@pytest.mark.parametrize("where", ["launch", "read"])
def test_a_device_that_is_lost_during_the_job(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    device_lost = Broken(where, -36, after=4)
    pair = opencl.engines(pocl.device(), N, tuning=Tuning(Layout(group=8)), faults=device_lost)
    helper = cpu.LabelEngine(cpu.devices()[0], N)
    both = Pool([*pair, helper], piece_seconds=0.001, reopen=lambda engine: False)
    found = b"".join(batch.labels.tobytes() for batch in both.run(KEY, [(5, 30_000)]))
    assert found == right(5, 30_000)
    card = next(report for report in both.reports if report.device.backend == "opencl")
    assert card.retired == 2
    message = card.errors[0]
    for part in (pocl.device().name, pocl.device().driver, "computing", "error -36"):
        assert part in message
    alone = Pool(opencl.engines(pocl.device(), N, faults=Broken(where, -36)), reopen=answered)
    with pytest.raises(AllDevicesFailed, match="error -36"):
        list(alone.run(KEY, [(0, 100)]))
    for one in (both, alone):
        one.close()


RIGHT_ANSWER = {"label": scrypt_scalar.label32(bytes(32), 0, N).hex(), "layout": asdict(LAYOUT)}


def answered(engine: Any) -> bool:
    """Opens a device again without a child process."""
    return device.reopen(engine, lambda *question, **more: RIGHT_ANSWER)


class LostUntilOpened(Faults):
    """Every launch fails from some call on, until the device was opened `times` more times."""

    def __init__(self, after: int, times: int = 1) -> None:
        self.after, self.times, self.opened = after, times, 0

    def step(self, what: str) -> None:
        if what == "open":
            self.opened += 1
        elif what == "launch":
            self.after -= 1
            if self.after < 0 and self.opened <= self.times:
                raise opencl_card.CommandFailed(-36)


@pocl.needed
@pytest.mark.parametrize("count", [1, 2])
def test_a_lost_device_is_opened_again_and_goes_on(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    faults = LostUntilOpened(after=5)
    engines = opencl.engines(pocl.device(), N, tuning=Tuning(Layout(group=8)), faults=faults)[:count]
    alone = Pool(engines, piece_seconds=0.001, reopen=answered)
    found = b"".join(batch.labels.tobytes() for batch in alone.run(KEY, [(5, 20_000)]))
    assert found == right(5, 20_000)
    (report,) = alone.reports
    assert report.retired == 0 and report.labels == 20_000
    assert 1 <= len(report.errors) <= 2 * count and all("error -36" in error for error in report.errors)
    assert faults.opened == 2, "opened at first, and once more for both engines"
    alone.close()


@pocl.needed
def test_a_device_that_cannot_be_opened_again_is_tried_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)

    class Refused(LostUntilOpened):
        def step(self, what: str) -> None:
            super().step(what)
            if what == "open" and self.opened > 1:
                raise opencl_card.CommandFailed(-2)

    faults = Refused(after=3)
    engines = opencl.engines(pocl.device(), N, tuning=Tuning(Layout(group=8)), faults=faults)[:1]
    alone = Pool(engines, piece_seconds=0.001, reopen=answered)
    with pytest.raises(AllDevicesFailed, match=r"opening it failed: the driver reports error -2"):
        list(alone.run(KEY, [(0, 20_000)]))
    (report,) = alone.reports
    assert (report.retired, report.reopened, faults.opened) == (1, 0, 3)
    assert sum("could not be opened again" in error for error in report.errors) == 2
    alone.close()


@pocl.needed
def test_opening_again_asks_a_child_process_first() -> None:
    engine = made()
    assert device.reopen(engine)
    assert computed(engine, 100, 300) == right(100, 300)
    wrong = {**RIGHT_ANSWER, "label": bytes(32).hex()}
    with pytest.raises(KernelError, match=r"computes wrong labels: label 0 is 0000"):
        device.reopen(engine, lambda *question, **more: wrong)
    assert device.reopen(cpu.LabelEngine(cpu.devices()[0], N)) is False, "a CPU has nothing to open"
    engine.close()


@pocl.needed
def test_a_device_is_opened_again_when_all_its_engines_have_come_out() -> None:
    first, second = opencl.engines(pocl.device(), N, tuning=Tuning(LAYOUT))
    assert computed(first, 0, 40) == computed(second, 0, 40) == right(0, 40)
    entered, release = threading.Event(), threading.Event()

    class Slow(Faults):
        def step(self, what: str) -> None:
            if what == "read" and not entered.is_set():
                entered.set()
                assert release.wait(20)

    results: list[bytes] = []
    second._card.faults = Slow()
    worker = threading.Thread(target=lambda: results.append(computed(second, 7, 50)))
    worker.start()
    assert entered.wait(20)
    opener = threading.Thread(target=first.reopen)
    opener.start()
    time.sleep(0.2)
    assert second._card.epoch == 0, "the other engine is still under way"
    release.set()
    opener.join(20)
    worker.join(20)
    assert second._card.epoch == 1 and results == [right(7, 50)]
    assert computed(first, 0, 40) == computed(second, 0, 40) == right(0, 40)
    second.reopen()  # since its last call nothing has failed, so this is asked for
    assert second._card.epoch == 2
    first.reopen()
    assert second._card.epoch == 2, "the other one has seen to it"
    for one in (first, second):
        one.close()


@pocl.needed
def test_a_device_that_hangs_is_lost_and_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl_card, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(opencl_card, "CLOSE_SECONDS", 0.3)
    engine = made()
    complete = engine._card.cl.command_execution_status.COMPLETE

    class Never:
        command_execution_status = complete + 1

    real = engine._card.kernel
    monkeypatch.setattr(engine._card, "kernel", lambda *words: real(*words) and Never())
    with pytest.raises(KernelError, match="it is lost"):
        computed(engine, 0, 64)
    began = time.monotonic()
    with pytest.raises(KernelError, match="it is lost"):
        computed(engine, 0, 64)
    monkeypatch.setattr(engine._card, "kernel", real)
    engine.reopen()
    assert computed(engine, 0, 64) == right(0, 64), "a driver that answers again is used again"
    engine.close()
    assert time.monotonic() - began < 5


@pocl.needed
def test_a_device_that_hangs_when_it_is_closed_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl_card, "CLOSE_SECONDS", 0.3)
    engine = made()
    held = threading.Event()
    free = threading.Event()

    def hold() -> None:
        with engine._card.lock:
            held.set()
            free.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 5
    free.set()
    thread.join(20)


@pocl.needed
def test_a_kernel_that_cannot_be_built_names_device_and_layout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "labels.cl").write_text("this is no kernel")
    monkeypatch.setattr(opencl_card, "SOURCE", tmp_path / "labels.cl")
    with pytest.raises(KernelError) as caught:
        made()
    for part in (pocl.device().name, "building the kernel", LAYOUT.describe()):
        assert part in str(caught.value)


@pocl.needed
def test_a_program_that_the_drivers_cache_has_broken_is_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, attempts = opencl_card.Card._program, []

    def program(self: Any, options: list[str], names: list[str]) -> Any:
        attempts.append(options)
        if len(attempts) == 1:
            raise self.cl.LogicError("clCreateKernel failed: INVALID_KERNEL_NAME")
        return real(self, options, names)

    monkeypatch.setattr(opencl_card.Card, "_program", program)
    engine = made()
    assert len(attempts) == 3 and attempts[0] != attempts[1], "romix twice, the other kernels once"
    assert computed(engine, 0, 20) == right(0, 20)
    engine.close()


# == wrong labels ================================================================================================


class Wrong(Faults):
    """Changes one label."""

    def __init__(self, index: int) -> None:
        self.index = index

    def labels(self, start: int, labels: Labels) -> None:
        if start <= self.index < start + len(labels):
            labels[self.index - start] ^= 1


def cpu_sample(**more: Any) -> Sample:
    reference = cpu.LabelEngine(cpu.devices()[0], N)
    return Sample(lambda key, indices: reference.labels32([key], indices), **more)


@pocl.needed
def test_a_wrong_label_stops_the_device_and_is_not_written() -> None:
    pair = opencl.engines(pocl.device(), N, faults=Wrong(1234), tuning=Tuning(Layout(group=8)))
    both = Pool([*pair, cpu.LabelEngine(cpu.devices()[0], N)], sample=cpu_sample(one_in=1), piece_seconds=0.001)
    found = b"".join(batch.labels.tobytes() for batch in both.run(KEY, [(0, 20_000)]))
    assert found == right(0, 20_000)
    card = next(report for report in both.reports if report.device.backend == "opencl")
    if card.labels < 20_000 and card.errors:  # unless the CPU took the piece with that label
        assert card.distrusted
        assert "wrong label 1234" in card.errors[0]
        assert pocl.device().name in card.errors[0] and pocl.device().driver in card.errors[0]
    both.close()


@pocl.needed
def test_a_wrong_label_of_the_only_device_ends_the_job_with_what_was_right_before() -> None:
    alone = Pool(opencl.engines(pocl.device(), N, faults=Wrong(1234)), sample=cpu_sample(one_in=1), piece_seconds=0.001)
    batches = []
    with pytest.raises(AllDevicesFailed, match="wrong label 1234") as caught:
        for batch in alone.run(KEY, [(0, 20_000)]):
            batches.append(batch)
    assert pocl.device().name in str(caught.value)
    written = b"".join(batch.labels.tobytes() for batch in batches)
    assert written == right(0, len(written) // 16)
    assert len(written) // 16 <= 1234
    alone.close()


@pocl.needed
def test_the_last_label_of_every_batch_is_checked() -> None:
    checked: list[int] = []
    reference = cpu.LabelEngine(cpu.devices()[0], N)

    def labels32(key: bytes, indices: Any) -> Labels:
        checked.extend(indices)
        return reference.labels32([key], indices)

    card = Pool(opencl.engines(pocl.device(), N), sample=Sample(labels32, one_in=0, first=8), piece_seconds=0.001)
    ends = {batch.start + len(batch.labels) - 1 for batch in card.run(KEY, [(0, 5000), (2**32 - 9, 20)])}
    assert ends <= set(checked)
    card.close()


# == stopping, two processes =====================================================================================


@pocl.needed
def test_a_stopped_engine_ends_at_once_and_stays_stopped() -> None:
    engine = opencl.LabelEngine(pocl.device(), 8192)
    ends: list[object] = []

    def work() -> None:
        try:
            ends.append(computed(engine, 0, 1 << 20))
        except Stopped as error:
            ends.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    engine.stop()
    thread.join(10)
    assert time.monotonic() - began < 5
    assert isinstance(ends[0], Stopped)
    with pytest.raises(Stopped):
        computed(engine, 0, 1)
    engine.close()


def test_waiting_for_a_launch_costs_next_to_nothing() -> None:
    """A quarter of a second, as launches take: some looks at the event, not a core that spins."""

    class Driver:
        class command_execution_status:
            COMPLETE = 0

    class Event:
        def __init__(self, seconds: float) -> None:
            self._end, self.looks = time.monotonic() + seconds, 0

        @property
        def command_execution_status(self) -> int:
            self.looks += 1
            return 0 if time.monotonic() >= self._end else 1

    card: Any = object.__new__(opencl_card.Card)
    card.cl = Driver
    for due_in in (0.25, 0.2, 0.5):  # the estimate is right, too early, too late
        event, began, used = Event(0.25), time.monotonic(), time.thread_time()
        card._until_done(event, threading.Event(), 60, began + due_in)
        assert time.monotonic() - began < 0.25 + opencl_card.LOOK_SECONDS + 2
        assert event.looks < 90
        assert time.thread_time() - used < 0.05 * 0.25


@pocl.needed
def test_two_processes_on_one_device() -> None:
    import subprocess

    script = (
        "import numpy as np; from kernels.gpu import opencl\n"
        "one = next(d for d in opencl.devices() if 'pocl' in d.aliases)\n"
        f"a, b = opencl.engines(one, {N})\n"
        "out = np.zeros((5000, 16), np.uint8)\n"
        "a.labels(bytes(range(32)), 0, 5000, out); print(out.tobytes().hex()); a.close(); b.close()\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    children = [
        subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    expected = right(0, 5000).hex()
    for child in children:
        out, _ = child.communicate(timeout=120)
        assert child.returncode == 0
        assert out.strip() == expected
