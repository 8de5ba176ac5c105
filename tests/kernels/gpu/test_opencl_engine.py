"""What an OpenCL device may do to us: no driver, no memory, lost, hanging, wrong (protocol 01-post-tools, 8)."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.devices import opening, pool
from kernels.devices.pool import AllDevicesFailed, Pool
from kernels.devices.spot_check import Sample
from kernels.devices.types import Labels, Stopped
from kernels.errors import KernelError, MemoryShortage
from kernels.gpu import engine as gpu_engine
from kernels.gpu import opencl, opencl_devices, session
from kernels.gpu.engine import Card, LabelEngine
from kernels.gpu.layout import Layout, Tuning
from kernels.gpu.plan import Plan
from kernels.labels import cpu
from kernels.labels import scalar as scrypt_scalar
from tests.support import pocl
from tests.support.opencl_fakes import FakeDevice, FakeDriver, FakePlatform, Faults, Faulty, failure

KEY = bytes(range(32))
N = 16
LAYOUT = Layout(group=4)
PLAN = Plan(LAYOUT, N, slots=64, per_buffer=64, buffers=1, launch=256, wave=16)


def right(start: int, count: int) -> bytes:
    full = cpu.LabelEngine(cpu.devices()[0], N).labels32([KEY], np.arange(count, dtype=np.uint64) + np.uint64(start))
    return full[:, :16].tobytes()


def computed(engine: LabelEngine, start: int, count: int) -> bytes:
    out = np.zeros((count, 16), np.uint8)
    engine.labels(KEY, start, count, out)
    return out.tobytes()


# == discovery ===================================================================================================


def test_without_the_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencl_devices.importlib.util, "find_spec", lambda name: None)
    found, (reason,) = opencl.devices()
    assert found == []
    assert reason.what == "OpenCL"
    assert "pyopencl not installed" in reason.reason and "pocl" in reason.reason


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(opencl_devices.importlib.util, "find_spec", lambda name: object())
    for variable in (opencl_devices.PLATFORMS_FILTER, opencl_devices.DEVICES_FILTER):
        monkeypatch.delenv(variable, raising=False)
    return lambda platforms: monkeypatch.setattr(opencl_devices, "load", lambda: FakeDriver(platforms))


def test_no_icd_loader_or_no_icd(driver: Any) -> None:
    driver(RuntimeError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR"))
    assert opencl.devices()[0] == []
    assert "PLATFORM_NOT_FOUND_KHR" in opencl.devices()[1][0].reason
    driver([])
    assert opencl.devices()[0] == []
    assert "no platform" in opencl.devices()[1][0].reason


def test_an_icd_without_devices(driver: Any) -> None:
    driver([FakePlatform("Empty", RuntimeError("DEVICE_NOT_FOUND")), FakePlatform("Bare", [])])
    assert opencl.devices()[0] == []
    reasons = {one.what: one.reason for one in opencl.devices()[1]}
    assert reasons == {"OpenCL platform Empty": "no device: DEVICE_NOT_FOUND", "OpenCL platform Bare": "no device"}


def test_ids_are_those_of_the_reference(driver: Any) -> None:
    driver(
        [
            FakePlatform("P", [FakeDevice("one"), FakeDevice("host", 2), FakeDevice("two")]),
            FakePlatform("Q", [FakeDevice("board", 8), FakeDevice("dead", available=False), FakeDevice("three")]),
            FakePlatform("R", [FakeDevice("dumb", compiler_available=False)]),
        ]
    )
    found = opencl.devices()[0]
    assert [(one.id, one.name) for one in found] == [
        (0, "[GPU] P/one"),
        (None, "[CPU] P/host"),
        (1, "[GPU] P/two"),
        (2, "[GPU] Q/three"),
    ]
    assert [one.handle for one in found] == ["0:0", "0:1", "0:2", "1:2"]
    assert {one.what: one.reason for one in opencl.devices()[1]} == {
        "OpenCL device Q/board": "neither a GPU nor a CPU",
        "OpenCL device Q/dead": "the driver says that it is not available",
        "OpenCL device R/dumb": "its driver has no compiler",
    }


class Failing:
    """A device or platform whose driver fails at one question."""

    def __init__(self, at: str, one: Any) -> None:
        self._at, self._one = at, one

    def __getattr__(self, name: str) -> Any:
        if name == self._at:
            raise RuntimeError(f"clGetInfo failed: {name}")
        return getattr(self._one, name)


@pytest.mark.parametrize("question", ["name", "type", "available", "platform", "global_mem_size", "driver_version"])
def test_a_device_that_does_not_answer_hides_no_other(driver: Any, question: str) -> None:
    platform = FakePlatform("P", [FakeDevice("one"), FakeDevice("two")])
    platform._devices[0] = Failing(question, platform._devices[0])
    driver([platform])
    found, passed = opencl.devices()
    assert [(one.id, one.name, one.handle) for one in found] == [(0, "[GPU] P/two", "0:1")]
    title = "OpenCL device P/0:0" if question == "name" else "OpenCL device P/one"
    assert [(one.what, one.reason) for one in passed] == [
        (title, f"it does not tell what it is: clGetInfo failed: {question}")
    ]


def test_a_platform_that_does_not_answer_hides_no_other(driver: Any) -> None:
    driver([Failing("name", FakePlatform("P", [FakeDevice("one")])), FakePlatform("Q", [FakeDevice("two")])])
    found, passed = opencl.devices()
    assert [(one.name, one.handle) for one in found] == [("[GPU] Q/two", "1:0")]
    assert [(one.what, one.reason) for one in passed] == [("OpenCL platform 0", "no device: clGetInfo failed: name")]


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
    monkeypatch.setenv(opencl_devices.PLATFORMS_FILTER, platforms)
    monkeypatch.setenv(opencl_devices.DEVICES_FILTER, devices)
    assert [one.id for one in opencl.devices()[0]] == left, "ids are places after filtering"
    reasons = opencl.devices()[1]
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
    assert [one.pci for one in opencl.devices()[0]] == ["0001:0a:00.0", "0000:83:00.1", None]


def test_the_address_by_the_extension_that_all_makers_share(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyopencl does not know it, so OpenCL's own function is asked."""

    class Loader:
        status = 0

        def clGetDeviceInfo(self, handle: Any, what: Any, size: Any, answer: Any, written: Any) -> int:
            assert (handle.value, what.value, size.value) == (4711, 0x410F, 16)
            answer[:] = (2, 0xC3, 4, 1)
            written._obj.value = 16
            return self.status

    loader = Loader()
    monkeypatch.setattr(opencl_devices.ctypes, "CDLL", lambda file: loader)
    extensions = "cl_khr_fp64 cl_khr_pci_bus_info"
    driver([FakePlatform("P", [FakeDevice("a", extensions=extensions, int_ptr=4711), FakeDevice("b", int_ptr=4711)])])
    assert [one.pci for one in opencl.devices()[0]] == ["0002:c3:04.1", None]
    loader.status = -30
    assert [one.pci for one in opencl.devices()[0]] == [None, None], "a driver that has the extension but no answer"


@pocl.needed
def test_a_device_that_was_removed_between_two_runs() -> None:
    from dataclasses import replace

    gone = replace(pocl.device(), handle="7:0")
    other = replace(pocl.device(), name="[GPU] Platform/Another card")
    with pytest.raises(KernelError, match="is not there any more"):
        gpu_engine.engines(gone, N)
    with pytest.raises(KernelError, match=r"Another card is not there any more: .* is in its place"):
        gpu_engine.engines(other, N)


@pocl.needed
@pytest.mark.parametrize("scrypt_n", [0, 1, 1000])
def test_n_that_is_no_power_of_two(scrypt_n: int) -> None:
    with pytest.raises(KernelError, match=f"scrypt N is {scrypt_n}, expected a power of two"):
        gpu_engine.engines(pocl.device(), scrypt_n)


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
            raise failure(self.code)


def made(faults: Faults | None = None, notes: list[str] | None = None, plan: Plan = PLAN) -> LabelEngine:
    note = notes.append if notes is not None else lambda message: None
    return LabelEngine(Card(pocl.device(), N, plan=plan, opened=opened(faults), note=note))


def opened(faults: Faults | None) -> Any:
    return lambda one: opencl.Driver(one) if faults is None else Faulty(one, faults)


def pair_of(
    faults: Faults | None = None, tuning: Tuning | None = None, scrypt_n: int = N, **more: Any
) -> list[LabelEngine]:
    return gpu_engine.engines(pocl.device(), scrypt_n, tuning=tuning, opened=opened(faults), **more)


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
    pair = pair_of(faults, Tuning(Layout(group=8)), note=notes.append)
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
        gpu_engine.engines(pocl.device(), 8192, memory_bytes=100_000)


# == failures ====================================================================================================


class Broken(Faults):
    """A step that fails with any code of the driver, from some call on."""

    def __init__(self, where: str, code: int, after: int = 0) -> None:
        self.where, self.code, self.after = where, code, after

    def step(self, what: str) -> None:
        if what == self.where:
            self.after -= 1
            if self.after < 0:
                raise failure(self.code)


@pocl.needed
@pytest.mark.parametrize("where", ["launch", "read", "done"])
def test_a_device_that_is_lost_during_the_job(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    device_lost = Broken(where, -36, after=4)
    pair = pair_of(device_lost, Tuning(Layout(group=8)))
    helper = cpu.LabelEngine(cpu.devices()[0], N)
    both = Pool([*pair, helper], piece_seconds=0.001, reopen=lambda engine, **how: False)
    found = b"".join(batch.labels.tobytes() for batch in both.run(KEY, [(5, 30_000)]))
    assert found == right(5, 30_000)
    card = next(report for report in both.reports if report.device.backend == "opencl")
    assert card.retired == 2
    message = card.errors[0]
    for part in (pocl.device().name, pocl.device().driver, "computing", "error -36"):
        assert part in message
    alone = Pool(pair_of(Broken(where, -36)), reopen=answered)
    with pytest.raises(AllDevicesFailed, match="error -36"):
        list(alone.run(KEY, [(0, 100)]))
    for one in (both, alone):
        one.close()


RIGHT_ANSWER = {"label": scrypt_scalar.label32(bytes(32), 0, N).hex(), "layout": asdict(LAYOUT)}


def answered(engine: Any, **how: bool) -> bool:
    """Opens a device again without a child process."""
    return opening.reopen(engine, **how, ask=lambda *question, **more: RIGHT_ANSWER)


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
                raise failure(-36)


@pocl.needed
@pytest.mark.parametrize("count", [1, 2])
def test_a_lost_device_is_opened_again_and_goes_on(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    faults = LostUntilOpened(after=5)
    engines = pair_of(faults, Tuning(Layout(group=8)))[:count]
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
                raise failure(-2)

    faults = Refused(after=3)
    engines = pair_of(faults, Tuning(Layout(group=8)))[:1]
    alone = Pool(engines, piece_seconds=0.001, reopen=answered)
    with pytest.raises(AllDevicesFailed, match=r"the driver reports error -2"):
        list(alone.run(KEY, [(0, 20_000)]))
    (report,) = alone.reports
    assert (report.retired, report.reopened, faults.opened) == (1, 0, 3)
    assert sum("could not be opened again" in error for error in report.errors) == 2
    alone.close()


@pocl.needed
def test_opening_again_asks_a_child_process_first() -> None:
    engine = made()
    assert opening.reopen(engine)
    assert computed(engine, 100, 300) == right(100, 300)
    wrong = {**RIGHT_ANSWER, "label": bytes(32).hex()}
    with pytest.raises(KernelError, match=r"computes wrong labels with the layout .*: label 0 is 0000"):
        opening.reopen(engine, ask=lambda *question, **more: wrong)
    assert opening.reopen(cpu.LabelEngine(cpu.devices()[0], N)) is False, "a CPU has nothing to open"
    engine.close()


@pocl.needed
def test_a_device_is_opened_again_when_all_that_was_asked_of_it_has_ended() -> None:
    entered, release = threading.Event(), threading.Event()

    class Slow(Faults):
        on, opened = False, 0

        def step(self, what: str) -> None:
            self.opened += what == "open"
            if self.on and what == "read" and not entered.is_set():
                entered.set()
                assert release.wait(20)

    faults = Slow()
    first, second = pair_of(faults, Tuning(LAYOUT))
    assert computed(first, 0, 40) == computed(second, 0, 40) == right(0, 40)
    faults.on = True
    results: list[bytes] = []
    worker = threading.Thread(target=lambda: results.append(computed(second, 7, 50)))
    worker.start()
    assert entered.wait(20)
    opener = threading.Thread(target=first.reopen, args=(LAYOUT,))
    opener.start()
    assert faults.opened == 1, "the other engine is still under way"
    release.set()
    opener.join(20)
    worker.join(20)
    assert faults.opened == 2 and results == [right(7, 50)]
    assert computed(first, 0, 40) == computed(second, 0, 40) == right(0, 40)
    second.reopen(LAYOUT)  # since its last call nothing has failed, so this is asked for
    assert faults.opened == 3
    first.reopen(LAYOUT)
    assert faults.opened == 3, "the other one has seen to it"
    for one in (first, second):
        one.close()


class NeverEnds(opencl.Driver):
    """Real PoCL, whose copies from the device wait for an event of the user's that nobody sets."""

    never: Any = None

    def read(self, copies: Any, after: Any) -> Any:
        if self.never is None:
            return super().read(copies, after)
        mark = super().read(copies, type(after)((*after.events, self.never)))
        self._cl.enqueue_marker(self._copies)
        return mark


@pocl.needed
def test_a_copy_that_never_ends_loses_the_device_and_neither_freezes_the_program_nor_its_end() -> None:
    """In a process of its own: a pyopencl event that is dropped before its copy has ended holds the interpreter."""
    script = (
        "import threading, time, faulthandler\n"
        "import tests.kernels.gpu.test_opencl_engine as tests\n"
        "from kernels.gpu import session\n"
        "faulthandler.dump_traceback_later(60, exit=True)\n"
        "engine = tests.LabelEngine(tests.Card(tests.pocl.device(), 16, plan=tests.PLAN, opened=tests.NeverEnds))\n"
        "assert tests.computed(engine, 0, 100) == tests.right(0, 100)\n"
        "driver = engine._card.session._driver\n"
        "driver.never = driver._cl.UserEvent(driver._context)\n"
        "session.HANG_SECONDS = session.CLOSE_SECONDS = 0.3\n"
        "del driver\n"
        "try: tests.computed(engine, 0, 64)\n"
        "except tests.KernelError as error: print(error)\n"
        "ticks = [0]\n"
        "def tick():\n"
        "    while True: ticks[0] += 1; time.sleep(0.001)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "error = None\n"
        "engine.reopen(engine.layout)\n"
        "assert tests.computed(engine, 5, 64) == tests.right(5, 64)\n"
        "engine.close()\n"
        "while ticks[0] < 20: time.sleep(0.001)\n"
        "print('alive')\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    words = [sys.executable, "-c", script]
    ended = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    lost, alive = ended.stdout.splitlines()
    assert "it is lost" in lost and pocl.device().name in lost and alive == "alive"


@pocl.needed
def test_a_kernel_that_cannot_be_built_names_device_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "source", lambda: "this is no kernel")
    with pytest.raises(KernelError) as caught:
        made()
    for part in (pocl.device().name, "building the kernel", LAYOUT.describe()):
        assert part in str(caught.value)


@pocl.needed
def test_a_program_that_the_drivers_cache_has_broken_is_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, attempts = opencl.Driver._built, []

    def built(self: Any, source: str, options: Sequence[str], names: Sequence[str]) -> Any:
        attempts.append(options)
        if len(attempts) == 1:
            raise self._cl.LogicError("clCreateKernel failed: INVALID_KERNEL_NAME")
        return real(self, source, options, names)

    monkeypatch.setattr(opencl.Driver, "_built", built)
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
    pair = pair_of(Wrong(1234), Tuning(Layout(group=8)))
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
    alone = Pool(pair_of(Wrong(1234)), sample=cpu_sample(one_in=1), piece_seconds=0.001)
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

    card = Pool(gpu_engine.engines(pocl.device(), N), sample=Sample(labels32, one_in=0, first=8), piece_seconds=0.001)
    ends = {batch.start + len(batch.labels) - 1 for batch in card.run(KEY, [(0, 5000), (2**32 - 9, 20)])}
    assert ends <= set(checked)
    card.close()


# == stopping, two processes =====================================================================================


@pocl.needed
def test_a_stopped_engine_ends_at_once_and_stays_stopped() -> None:
    computing = threading.Event()

    class Noted(Faults):
        def step(self, what: str) -> None:
            if what == "done":
                computing.set()

    engine = pair_of(Noted(), scrypt_n=8192)[0]
    ends: list[object] = []

    def work() -> None:
        try:
            ends.append(computed(engine, 0, 1 << 20))
        except Stopped as error:
            ends.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert computing.wait(60)
    engine.stop()  # of minutes of work
    thread.join(60)
    assert isinstance(ends[0], Stopped)
    with pytest.raises(Stopped):
        computed(engine, 0, 1)
    engine.close()


@pytest.mark.parametrize("estimate", [0.25, 0.2, 0.5])
def test_waiting_for_a_launch_is_some_looks_and_not_a_core_that_spins(estimate: float) -> None:
    """A quarter of a second, as launches take; the estimate is right, too early, too late."""
    now, looks = 0.0, 0
    while now < 0.25:
        now += session.pause_before(estimate - now)
        looks += 1
    assert looks < 90
    assert now < 0.25 + session.LOOK_SECONDS


@pocl.needed
def test_two_processes_on_one_device() -> None:
    script = (
        "import numpy as np; from kernels.gpu import engine, opencl\n"
        "one = next(d for d in opencl.devices()[0] if 'pocl' in d.aliases)\n"
        f"a, b = engine.engines(one, {N})\n"
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
