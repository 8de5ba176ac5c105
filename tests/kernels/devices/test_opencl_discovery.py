"""Drivers are asked in a child process: one that hangs or crashes is passed over, the program lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kernels.devices import find as discovery
from kernels.devices import types as device
from kernels.devices.find import DriverFailure, ask
from kernels.devices.types import Device, discover, merged
from kernels.errors import KernelError
from kernels.gpu import sensors, tune
from kernels.gpu.plan import DeviceNumbers, Layout, Tuning
from kernels.labels import scalar as scrypt_scalar
from tests.support import pocl

CARD = Device(0, "[GPU] P/card", "GPU", "opencl", "P", "maker", "1.2", 8 << 30, 20, "0000:01:00.0", ("opencl",), "0:0")


def child(script: str) -> list[str]:
    return [sys.executable, "-c", script]


# == the child ===================================================================================================


def test_an_answer_comes_back_whatever_the_driver_prints() -> None:
    script = (
        "import json, os, sys\n"
        "out = os.dup(1); os.dup2(2, 1)\n"
        "print('a driver says hello', flush=True)\n"
        "os.write(out, json.dumps({'answer': json.load(sys.stdin)}).encode())\n"
    )
    assert ask("opencl", "list", {"a": [1]}, timeout_s=20, command=child(script)) == {"a": [1]}


def test_a_driver_that_hangs_is_given_up_in_time() -> None:
    began = time.monotonic()
    # a grandchild holds the pipe as well, as a driver's own helper would
    script = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with pytest.raises(DriverFailure, match=r"opencl driver did not answer within 0.5 s \(list\)"):
        ask("opencl", "list", timeout_s=0.5, command=child(script))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("script", "facts"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV) at: open"),
        ("import os; os.abort()", "crashed (SIGABRT)"),
        (
            "import sys; print('out of luck', file=sys.stderr); sys.exit(7)",
            "exit code 7) at: open; its last words: out",
        ),
        ("print('not JSON')", "exit code 0"),
        ("print('[]')", "found []"),
        ('print(\'{"error": "the device is busy"}\')', "the device is busy"),
    ],
)
def test_a_driver_that_crashes_or_refuses_is_reported(script: str, facts: str) -> None:
    with pytest.raises(DriverFailure) as caught:
        ask("cuda", "open", timeout_s=20, command=child(script))
    assert facts in str(caught.value)


def test_a_child_does_not_outlive_the_program(tmp_path: Path) -> None:
    """A thread asks a driver that hangs, as for a device that is opened again, and the program ends meanwhile."""
    note = tmp_path / "child"
    hanging = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    script = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from kernels.devices.find import ask\n"
        f"command = [sys.executable, '-c', {hanging!r}]\n"
        "threading.Thread(target=lambda: ask('opencl', 'open', timeout_s=60, command=command), daemon=True).start()\n"
        f"note = Path({str(note)!r})\n"
        "while not (note.exists() and note.read_text()): time.sleep(0.01)\n"
    )
    began = time.monotonic()
    subprocess.run(child(script), check=True, timeout=30, cwd=Path(__file__).resolve().parents[3])
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_child_that_cannot_be_started() -> None:
    with pytest.raises(DriverFailure, match="could not be asked"):
        ask("cuda", "list", timeout_s=5, command=["/no/such/program"])


@pocl.needed
def test_the_real_child_lists_and_opens() -> None:
    answer = ask("opencl", "list", timeout_s=60)
    found = [discovery.device_of(values) for values in answer["devices"]]
    assert pocl.device().name in [one.name for one in found]
    for wanted in ("default", "simple", asdict(Layout(gap=2, group=1))):
        question = {"device": asdict(pocl.device()), "scrypt_n": 16, "layout": wanted}
        answer = ask("opencl", "open", question, timeout_s=60)
        assert answer["label"] == scrypt_scalar.label32(bytes(32), 0, 16).hex()
    with pytest.raises(DriverFailure, match="not there any more"):
        gone = asdict(replace(pocl.device(), handle="9:9"))
        ask("opencl", "open", {"device": gone, "scrypt_n": 16, "layout": "default"}, timeout_s=60)


# == all backends ================================================================================================


@pytest.fixture(autouse=True)
def packages_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: object())


def answers(**by_backend: Any) -> Callable[..., Any]:
    def stub(backend: str, question: str, document: object = None, *, timeout_s: float) -> Any:
        answer = by_backend.get(backend, {"devices": [], "passed_over": []})
        if isinstance(answer, Exception):
            raise answer
        return answer

    return stub


def listing(*devices: Device, **passed: str) -> dict[str, Any]:
    reasons = [{"what": what, "reason": reason} for what, reason in passed.items()]
    return {"devices": [asdict(one) for one in devices], "passed_over": reasons}


def test_a_driver_that_hangs_leaves_the_others() -> None:
    hanging = DriverFailure("the cuda driver did not answer within 30 s (list)")
    found = discover(answers(cuda=hanging, opencl=listing(CARD, Q="no device")))
    assert [one.backend for one in found.devices] == ["opencl", "cpu"]
    assert {one.what: one.reason for one in found.passed_over} == {"CUDA": str(hanging), "Q": "no device"}


def test_an_answer_that_makes_no_sense_is_passed_over() -> None:
    found = discover(answers(opencl={"surprise": 1}, cuda={"devices": [{"id": 1}], "passed_over": []}))
    assert [one.backend for one in found.devices] == ["cpu"]
    assert [one.what for one in found.passed_over] == ["CUDA", "OpenCL"]


def named(name: str, backend: str, pci: str | None, number: int | None, kind: str = "GPU") -> Device:
    return replace(CARD, name=name, backend=backend, pci=pci, id=number, device_class=kind)


def test_a_card_that_both_know_is_one_provider_with_the_reference_s_id() -> None:
    opencl = [
        named("radeon", "opencl", "0000:03:00.0", 0),
        named("rtx", "opencl", "0000:01:00.0", 1),
        named("pocl", "opencl", None, None, "CPU"),
        named("arc", "opencl", None, 2),
    ]
    cuda = [named("RTX", "cuda", "0000:01:00.0", None), named("H100", "cuda", "0000:09:00.0", None)]
    chosen, others = merged(cuda, opencl)
    assert [(one.id, one.name, one.backend) for one in chosen] == [
        (0, "radeon", "opencl"),
        (1, "RTX", "cuda"),
        (2, "arc", "opencl"),
        (3, "H100", "cuda"),
        (None, "pocl", "opencl"),
    ]
    assert [one.name for one in others] == ["rtx"]


def test_without_opencl_cuda_s_cards_are_counted_from_0() -> None:
    chosen, others = merged([named("a", "cuda", "1", None), named("b", "cuda", None, None)], [])
    assert [(one.id, one.name) for one in chosen] == [(0, "a"), (1, "b")]
    assert others == []


# == opening =====================================================================================================


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tune, "folder", lambda: tmp_path / "tuning")
    return tmp_path / "tuning"


def opening(labels: dict[str, bytes], asked: list[object]) -> Callable[..., Any]:
    def stub(backend: str, question: str, document: Any, *, timeout_s: float) -> Any:
        wanted = document["layout"]
        asked.append(wanted)
        layout = asdict(Layout(group=1)) if isinstance(wanted, str) else wanted
        return {"label": labels[wanted if isinstance(wanted, str) else "tuned"].hex(), "layout": layout}

    return stub


RIGHT = scrypt_scalar.label32(bytes(32), 0, 16)


@pocl.needed
def test_a_device_is_used_as_it_was_tuned(cache: Path) -> None:
    from kernels.devices import backends

    one, notes, asked = pocl.device(), list[str](), list[object]()
    layout = Layout(gap=2, group=1)
    tune.remember(one, backends.kernel_hash(), Tuning(layout, 1.0, 5.0))
    engines = device.engines(one, 16, 1, ask=opening({"tuned": RIGHT}, asked), note=notes.append)
    assert [engine.plan.layout for engine in engines] == [layout, layout]  # type: ignore[attr-defined]
    assert (asked, notes) == ([asdict(layout)], [])
    for engine in engines:
        engine.close()


@pocl.needed
def test_a_layout_that_gives_a_wrong_first_label_gives_way_to_the_simplest(cache: Path) -> None:
    notes, asked = list[str](), list[object]()
    stub = opening({"default": bytes(32), "simple": RIGHT}, asked)
    for engine in device.engines(pocl.device(), 16, 1, ask=stub, note=notes.append):
        engine.close()
    assert asked == ["default", "simple"]
    assert "wrong first label" in notes[0] and pocl.device().name in notes[0]


def test_a_device_whose_labels_are_wrong_is_not_used(cache: Path) -> None:
    stub = opening({"default": bytes(32), "simple": bytes(32)}, [])
    with pytest.raises(KernelError, match=r"P/card \(driver 1.2\) computes wrong labels: label 0 is 0000"):
        device.engines(CARD, 16, 1, ask=stub)


def test_a_device_that_hangs_at_opening_is_an_error(cache: Path) -> None:
    with pytest.raises(DriverFailure):
        device.engines(CARD, 16, 1, ask=answers(opencl=DriverFailure("did not answer within 120 s (open)")))


@pytest.mark.parametrize("scrypt_n", [0, 3, 1000])
def test_n_that_is_no_power_of_two_is_refused_before_a_driver_is_asked(cache: Path, scrypt_n: int) -> None:
    with pytest.raises(KernelError, match="power of two"):
        device.engines(CARD, scrypt_n, 1, ask=answers(opencl=AssertionError("asked")))


# == sensors =====================================================================================================


def test_temperature_and_memory_from_files(tmp_path: Path) -> None:
    folder = tmp_path / "0000:03:00.0"
    (folder / "hwmon" / "hwmon4").mkdir(parents=True)
    (folder / "hwmon" / "hwmon4" / "temp1_input").write_text("63500\n")
    (folder / "mem_info_vram_total").write_text(f"{24 << 30}\n")
    (folder / "mem_info_vram_used").write_text(f"{4 << 30}\n")
    assert sensors.read("0000:03:00.0", root=tmp_path) == sensors.Reading(63.5, 20 << 30)
    (folder / "mem_info_vram_used").write_text("nonsense")
    assert sensors.read("0000:03:00.0", root=tmp_path) == sensors.Reading(63.5, None)


class Nvml:
    """Answers as NVIDIA's library, for one card."""

    def __init__(self, temperature: int = 0, memory: int = 0) -> None:
        self._results = temperature, memory

    def nvmlDeviceGetHandleByPciBusId_v2(self, pci: bytes, handle: Any) -> int:
        return 0 if pci == b"0000:01:00.0" else 6

    def nvmlDeviceGetTemperature(self, handle: Any, kind: int, value: Any) -> int:
        value._obj.value = 71
        return self._results[0]

    def nvmlDeviceGetMemoryInfo(self, handle: Any, value: Any) -> int:
        value._obj.free = 123
        return self._results[1]


@pytest.mark.parametrize(
    ("pci", "library", "expected"),
    [
        (None, Nvml(), sensors.Reading()),
        ("0000:01:00.0", Nvml(), sensors.Reading(71.0, 123)),
        ("0000:01:00.0", Nvml(temperature=3), sensors.Reading(None, 123)),
        ("0000:01:00.0", Nvml(memory=3), sensors.Reading(71.0, None)),
        ("0000:02:00.0", Nvml(), sensors.Reading()),
        ("0000:01:00.0", object(), sensors.Reading()),
    ],
)
def test_temperature_and_memory_from_nvidia(tmp_path: Path, pci: str | None, library: Any, expected: Any) -> None:
    assert sensors.read(pci, nvml=library, root=tmp_path) == expected


class Memory(Nvml):
    """A card with 9,751 MHz on 384 lines."""

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, kind: int, value: Any) -> int:
        assert kind == 2, "the clock of the memory"
        value._obj.value = 9751
        return self._results[0]

    def nvmlDeviceGetMemoryBusWidth(self, handle: Any, value: Any) -> int:
        value._obj.value = 384
        return self._results[1]


def test_bandwidth_from_nvidia() -> None:
    assert sensors.memory_bandwidth("0000:01:00.0", nvml=Memory()) == pytest.approx(936e9, rel=1e-3)
    for pci, library in (
        (None, Memory()),
        ("0000:02:00.0", Memory()),
        ("0000:01:00.0", Memory(temperature=3)),
        ("0000:01:00.0", Memory(memory=3)),
        ("0000:01:00.0", Nvml()),
    ):
        assert sensors.memory_bandwidth(pci, nvml=library) is None


# == autotune ====================================================================================================

NUMBERS = DeviceNumbers("nvidia", 24 << 30, None, 6 << 30, 82, 1024, lane_op=2)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Tuned:
    """An engine whose speed depends on its layout; each second of work is a second of the clock."""

    def __init__(self, tuning: Tuning, clock: Clock, wrong: bool = False) -> None:
        self._clock, self._wrong = clock, wrong
        self.granularity = 64
        self._rate = 1000.0 * tuning.layout.gap / tuning.layout.lanes + tuning.layout.tile + tuning.layout.group / 64
        if tuning.share < 1:
            self._rate *= 0.99
        self.closed = False

    def labels(self, commitment: bytes, start: int, count: int, out: Any) -> device.VrfCandidate:
        import numpy as np

        self._clock.now += count / self._rate
        full = known([start + at for at in range(count)])
        out[:] = full[:, :16]
        if self._wrong:
            out[-1] ^= 1
        return device.VrfCandidate(start, full[0].tobytes()) if start < 2**31 else _candidate(np, full, start)

    def close(self) -> None:
        self.closed = True


def _candidate(np: Any, full: Any, start: int) -> device.VrfCandidate:
    from kernels.labels.cpu import smallest

    place = smallest(full)
    return device.VrfCandidate(start + place, full[place].tobytes())


def known(indices: Any) -> Any:
    import numpy as np

    rows = [int(index).to_bytes(16, "big") + bytes(16) for index in indices]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)


def test_the_fastest_layout_is_found_within_the_time() -> None:
    clock = Clock()
    opened: list[Tuned] = []

    def open_one(tuning: Tuning) -> Tuned:
        clock.now += 0.2  # a compiler needs time
        if tuning.layout.gap == 2 and tuning.layout.lanes == 1:
            raise KernelError("the driver refused")
        wrong = tuning.layout.gap == 4 and tuning.layout.tile == 32
        opened.append(Tuned(tuning, clock, wrong))
        return opened[-1]

    trials = list(tune.trials(NUMBERS, open_one, known, tune.SECONDS, clock))
    assert clock.now <= tune.SECONDS + 2
    assert len(trials) == 12 + 4
    assert {trial.layout.gap for trial in trials if trial.error == "the driver refused"} == {2}
    wrong = [trial for trial in trials if "is wrong" in trial.error]
    assert {(one.layout.gap, one.layout.tile, one.labels_per_second) for one in wrong} == {(4, 32, 0.0)}
    best = tune.best_of(trials)
    assert best is not None
    assert (best.layout.gap, best.layout.lanes, best.layout.tile, best.layout.group) == (4, 1, 1, 256)
    assert all(one.closed for one in opened)


def test_half_the_memory_is_enough_when_it_costs_nothing() -> None:
    layout = Layout(gap=2)
    full, half = tune.Trial(layout, 1.0, 200, 1000.0), tune.Trial(layout, 0.5, 100, 985.0)
    assert tune.best_of([full, half]) == Tuning(layout, 0.5, 985.0)
    assert tune.best_of([full, replace(half, labels_per_second=970.0)]) == Tuning(layout, 1.0, 1000.0)
    assert tune.best_of([replace(full, labels_per_second=0.0)]) is None


def test_the_best_are_measured_once_more_because_a_busy_machine_may_have_held_one_up() -> None:
    """The fastest layout is slow at its first trial; it is near enough to be tried again, and then it is the best."""
    clock, tried = Clock(), list[Layout]()

    class Disturbed(Tuned):
        def __init__(self, tuning: Tuning) -> None:
            super().__init__(tuning, clock)
            tried.append(tuning.layout)
            first = tried.count(tuning.layout) == 1
            rates = {(2, 1, 1): 1000.0, (4, 1, 1): 900.0 if first else 1200.0}
            self._rate = rates.get((tuning.layout.gap, tuning.layout.lanes, tuning.layout.tile), 700.0)

    trials = list(tune.trials(NUMBERS, Disturbed, known, 60, clock))
    best = tune.best_of(trials)
    assert best is not None and (best.layout.gap, best.layout.tile) == (4, 1) and best.labels_per_second > 1100
    assert tried[12:14] == [Layout(gap=2, free=1), Layout(gap=4, free=1)], "after all twelve, the two that were near"


def test_a_layout_that_is_wrong_the_second_time_is_not_taken() -> None:
    good, bad = tune.Trial(Layout(gap=2), 1.0, 64, 900.0), tune.Trial(Layout(), 1.0, 64, 1000.0)
    wrong = replace(bad, labels_per_second=0.0, error="label 7 is wrong")
    assert tune.best_of([good, bad]) == Tuning(Layout(), 1.0, 1000.0)
    assert tune.best_of([good, bad, wrong]) == Tuning(Layout(gap=2), 1.0, 900.0)
    assert tune.best_of([bad, wrong]) is None


def test_tuning_stops_when_the_time_is_up() -> None:
    clock = Clock()

    def slow(tuning: Tuning) -> Tuned:
        clock.now += 8
        return Tuned(tuning, clock)

    trials = list(tune.trials(NUMBERS, slow, known, 30, clock))
    assert 1 <= len(trials) <= 3
    assert clock.now <= 32


def test_a_tuning_is_remembered_by_device_driver_and_kernel(cache: Path) -> None:
    best = Tuning(Layout(gap=4, free=1), 0.5, 1234.5)
    tune.remember(CARD, "kernel", best)
    assert tune.remembered(CARD, "kernel") == best
    assert tune.remembered(CARD, "another kernel") is None
    assert tune.remembered(replace(CARD, driver="1.3"), "kernel") is None
    assert tune.remembered(replace(CARD, name="[GPU] P/other"), "kernel") is None
    assert tune.remembered(replace(CARD, id=5, pci=None, handle="1:1"), "kernel") == best, "another slot, the same card"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"Key": [], "layout": {}, "share": 1, "labels_per_second": 1}']
)
def test_a_damaged_cache_is_none(cache: Path, content: str) -> None:
    tune.remember(CARD, "kernel", Tuning(Layout()))
    (file,) = cache.iterdir()
    file.write_text(content)
    assert tune.remembered(CARD, "kernel") is None


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tune, "folder", lambda: tmp_path / "file" / "tuning")
    tune.remember(CARD, "kernel", Tuning(Layout()))
    assert tune.remembered(CARD, "kernel") is None


def test_a_device_on_which_nothing_works_cannot_be_tuned(cache: Path) -> None:
    failed = asdict(tune.Trial(Layout(), 1.0, 0, 0.0, "label 7 is wrong"))
    with pytest.raises(KernelError, match=r"no layout works \(gap 1, groups of 64: label 7 is wrong\)"):
        tune.tuned(CARD, 8192, ask=answers(opencl=[failed]))
    assert not cache.exists()


@pocl.needed
@pytest.mark.slow
def test_tuning_pocl(cache: Path) -> None:
    best, trials = tune.tuned(pocl.device(), 1024, seconds=6)
    assert best.labels_per_second == pytest.approx(max(one.labels_per_second for one in trials), rel=0.03)
    from kernels.devices import backends

    assert tune.remembered(pocl.device(), backends.kernel_hash()) == best
