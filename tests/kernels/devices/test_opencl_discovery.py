"""Drivers are asked in a child process: one that hangs or crashes is passed over, the program lives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kernels.devices import find, opening
from kernels.devices import types as device
from kernels.devices.find import discover, merged
from kernels.devices.types import Device
from kernels.errors import KernelError
from kernels.gpu import probe, sensors, tune
from kernels.gpu.layout import DeviceNumbers, Layout, Tuning
from kernels.gpu.probe import DriverFailure, ask
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
    # a grandchild holds the pipe as well, as a driver's own helper would
    script = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
    with pytest.raises(DriverFailure, match=r"opencl driver did not answer within 0.5 s \(list\)"):
        ask("opencl", "list", timeout_s=0.5, command=child(script))


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
    hanging = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    script = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from kernels.gpu.probe import ask\n"
        f"command = [sys.executable, '-c', {hanging!r}]\n"
        "threading.Thread(target=lambda: ask('opencl', 'open', timeout_s=60, command=command), daemon=True).start()\n"
        f"note = Path({str(note)!r})\n"
        "while not (note.exists() and note.read_text()): time.sleep(0.01)\n"
    )
    subprocess.run(child(script), check=True, timeout=30, cwd=Path(__file__).resolve().parents[3])
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_child_that_cannot_be_started() -> None:
    with pytest.raises(DriverFailure, match="could not be asked"):
        ask("cuda", "list", timeout_s=5, command=["/no/such/program"])


@pocl.needed
def test_the_real_child_lists_and_opens() -> None:
    answer = ask("opencl", "list", timeout_s=60)
    found = [probe.device_of(values) for values in answer["devices"]]
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
    monkeypatch.setattr(find.importlib.util, "find_spec", lambda name: object())


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


def test_a_card_that_two_opencl_platforms_know_is_one_device() -> None:
    """The maker's own platform drives it, wherever it stands in the list; ids stay those of the reference's list."""
    opencl = [
        replace(named("rusticl/gfx", "opencl", "0000:03:00.0", 0), platform="rusticl, OpenCL 3.0"),
        replace(named("AMD/gfx", "opencl", "0000:03:00.0", 1), platform="AMD Accelerated Parallel Processing, 2.1"),
        replace(named("NVIDIA/rtx", "opencl", "0000:01:00.0", 2), platform="NVIDIA CUDA, OpenCL 3.0"),
        replace(named("PoCL/rtx", "opencl", "0000:01:00.0", 3), platform="Portable Computing Language, OpenCL 3.0"),
        named("arc", "opencl", None, 4),
    ]
    chosen, others = merged([], opencl)
    assert [(one.id, one.name) for one in chosen] == [(0, "AMD/gfx"), (2, "NVIDIA/rtx"), (4, "arc")]
    assert [one.name for one in others] == ["rusticl/gfx", "PoCL/rtx"]
    chosen, others = merged([named("RTX", "cuda", "0000:01:00.0", None)], opencl)
    assert [(one.id, one.name) for one in chosen] == [(0, "AMD/gfx"), (2, "RTX"), (4, "arc")]
    assert [one.name for one in others] == ["rusticl/gfx", "NVIDIA/rtx", "PoCL/rtx"]
    assert [one.name for one in find.select(chosen, ["rusticl"], others)] == ["rusticl/gfx"]
    assert [one.name for one in find.select(chosen, ["rtx"], others)] == ["RTX"]


def test_without_opencl_cuda_s_cards_are_counted_from_0() -> None:
    chosen, others = merged([named("a", "cuda", "1", None), named("b", "cuda", None, None)], [])
    assert [(one.id, one.name) for one in chosen] == [(0, "a"), (1, "b")]
    assert others == []


# == opening =====================================================================================================


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tune, "folder", lambda: tmp_path / "tuning")
    return tmp_path / "tuning"


RIGHT = scrypt_scalar.label32(bytes(32), 0, 16)
SIMPLE = Layout(gap=2, group=1)
USUAL = Layout(group=1)


class Probe:
    """Stands in for the child process: what comes of each wish, a label or an error. `asked` are the wishes."""

    def __init__(self, **outcomes: bytes | KernelError) -> None:
        self.outcomes, self.asked, self.limits = outcomes, list[object](), list[object]()

    def __call__(self, backend: str, question: str, document: Any, *, timeout_s: float) -> Any:
        assert question == "open" and 0 < timeout_s < 200
        wish = document["layout"]
        self.asked.append(wish)
        self.limits.append(document["memory_bytes"])
        outcome = self.outcomes[wish if isinstance(wish, str) else "tuned"]
        if isinstance(outcome, KernelError):
            raise outcome
        layout = {"simple": asdict(SIMPLE), "default": asdict(USUAL)}[wish] if isinstance(wish, str) else wish
        later = [] if wish == "simple" else [asdict(SIMPLE)] if wish == "default" else [asdict(USUAL), asdict(SIMPLE)]
        return {"label": outcome.hex(), "layout": layout, "later": later}


WRONG, CRASHED = bytes(32), DriverFailure("the opencl driver crashed (SIGSEGV) at: open")
HANGS = DriverFailure("the opencl driver did not answer within 120 s (open)")
REFUSED = DriverFailure("building the kernel failed: undeclared builtin __builtin_amdgcn_mov_dpp")


@pocl.needed
def test_a_device_is_used_as_it_was_tuned(cache: Path) -> None:
    one, notes = pocl.device(), list[str]()
    layout = Layout(gap=4, group=1)
    tune.remember(one, 16, Tuning(layout, 1.0, 5.0))
    child = Probe(tuned=RIGHT)
    engines = opening.engines(one, 16, 1, 1 << 28, ask=child, note=notes.append)
    assert [engine.plan.layout for engine in engines] == [layout, layout]  # type: ignore[attr-defined]
    assert [engine.later_layouts for engine in engines] == [(USUAL, SIMPLE)] * 2  # type: ignore[attr-defined]
    assert (child.asked, child.limits, notes) == ([asdict(layout)], [1 << 28], [])
    for engine in engines:
        engine.close()


@pocl.needed
@pytest.mark.parametrize("failure", [WRONG, CRASHED, HANGS, REFUSED], ids=["wrong", "crashes", "hangs", "no build"])
def test_whatever_a_layout_comes_to_the_next_one_is_tried(cache: Path, failure: bytes | KernelError) -> None:
    notes, child = list[str](), Probe(default=failure, simple=RIGHT)
    engines = opening.engines(pocl.device(), 16, 1, ask=child, note=notes.append)
    assert child.asked == ["default", "simple"]
    assert engines[0].layout == SIMPLE and engines[0].later_layouts == ()  # type: ignore[attr-defined]
    (note,) = notes
    assert pocl.device().name in note and "does not work with its default layout" in note
    assert (str(failure) if isinstance(failure, KernelError) else "computes wrong labels") in note
    for engine in engines:
        engine.close()


@pocl.needed
def test_a_layout_that_fails_in_the_program_itself_gives_way_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kernels.gpu import engine as gpu_engine

    real, tried = gpu_engine.engines, list[Layout]()

    def engines(device: Device, scrypt_n: int, memory: int | None, tuning: Tuning, **more: Any) -> Any:
        tried.append(tuning.layout)
        if tuning.layout == USUAL:
            raise KernelError("allocating memory failed")
        return real(device, scrypt_n, memory, tuning, **more)

    monkeypatch.setattr(gpu_engine, "engines", engines)
    for one in opening.engines(pocl.device(), 16, 1, ask=Probe(default=RIGHT, simple=RIGHT)):
        one.close()
    assert tried == [USUAL, SIMPLE]


@pocl.needed
@pytest.mark.parametrize("failure", [WRONG, CRASHED, REFUSED], ids=["wrong", "crashes", "no build"])
def test_a_remembered_tuning_that_fails_is_dropped(cache: Path, failure: bytes | KernelError) -> None:
    one, child = pocl.device(), Probe(tuned=failure, default=RIGHT)
    tune.remember(one, 16, Tuning(Layout(gap=4, group=1)))
    tune.remember(one, 32, Tuning(Layout(gap=4, group=1)))
    for engine in opening.engines(one, 16, 1, ask=child):
        engine.close()
    assert child.asked == [asdict(Layout(gap=4, group=1)), "default"]
    assert tune.remembered(one, 16) is None, "it would fail again"
    assert tune.remembered(one, 32) is not None, "of another N"


@pytest.mark.parametrize("failure", [WRONG, CRASHED, HANGS, REFUSED], ids=["wrong", "crashes", "hangs", "no build"])
def test_a_device_on_which_no_layout_works_is_not_used(cache: Path, failure: bytes | KernelError) -> None:
    child = Probe(default=failure, simple=failure)
    message = str(failure) if isinstance(failure, KernelError) else "P/card (driver 1.2) computes wrong labels"
    with pytest.raises(KernelError, match=re.escape(message)):
        opening.engines(CARD, 16, 1, ask=child)
    assert child.asked == ["default", "simple"]


class Reopens:
    """An engine that is opened again; `layout` does not fail, or `broken` says that it does."""

    device, scrypt_n, current = CARD, 16, True

    def __init__(self, *later: Layout) -> None:
        self.layout, self.later_layouts, self.opened = USUAL, later, list[Layout]()

    def reopen(self, layout: Layout) -> None:
        self.opened.append(layout)


@pytest.mark.parametrize(
    ("how", "order"),
    [
        ({}, [USUAL, SIMPLE, Layout(gap=4)]),
        ({"next_first": True}, [SIMPLE, Layout(gap=4), USUAL]),
        ({"next_first": True, "trusted": False}, [SIMPLE, Layout(gap=4)]),
    ],
)
def test_in_which_order_layouts_are_tried_again(how: dict[str, bool], order: list[Layout]) -> None:
    for works in range(len(order)):
        engine, tried = Reopens(SIMPLE, Layout(gap=4)), list[object]()

        def child(backend: str, question: str, document: Any, tried: Any = tried, works: Any = works, **m: Any) -> Any:
            tried.append(document["layout"])
            if len(tried) <= works:
                raise CRASHED
            return {"label": RIGHT.hex(), "layout": document["layout"]}

        assert opening.reopen(engine, **how, ask=child)  # type: ignore[arg-type]
        assert tried == [asdict(layout) for layout in order[: works + 1]]
        assert engine.opened == [order[works]]


def test_a_card_without_another_layout_is_given_up() -> None:
    with pytest.raises(opening.NoLayoutLeft, match="P/card: no other layout"):
        opening.reopen(Reopens(), next_first=True, trusted=False, ask=Probe())  # type: ignore[arg-type]
    with pytest.raises(KernelError, match="SIGSEGV"):
        opening.reopen(Reopens(), ask=Probe(tuned=CRASHED))  # type: ignore[arg-type]


def test_a_card_that_another_engine_has_opened_again_is_not_opened_twice() -> None:
    engine = Reopens(SIMPLE)
    engine.current = False
    assert opening.reopen(engine, ask=Probe())  # type: ignore[arg-type]
    assert engine.opened == []


@pytest.mark.parametrize("scrypt_n", [0, 3, 1000])
def test_n_that_is_no_power_of_two_is_refused_before_a_driver_is_asked(cache: Path, scrypt_n: int) -> None:
    with pytest.raises(KernelError, match="power of two"):
        opening.engines(CARD, scrypt_n, 1, ask=answers(opencl=AssertionError("asked")))


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


def test_bandwidth_and_bus_from_nvidia(tmp_path: Path) -> None:
    assert sensors.memory_bandwidth("0000:01:00.0", nvml=Memory()) == pytest.approx(936e9, rel=1e-3)
    assert sensors.bus_bits("0000:01:00.0", nvml=Memory(), nodes=tmp_path) == 384
    for pci, library in (
        (None, Memory()),
        ("0000:02:00.0", Memory()),
        ("0000:01:00.0", Memory(temperature=3)),
        ("0000:01:00.0", Memory(memory=3)),
        ("0000:01:00.0", Nvml()),
    ):
        assert sensors.memory_bandwidth(pci, nvml=library) is None
    for pci, library in ((None, Memory()), ("0000:02:00.0", Memory()), ("0000:01:00.0", Memory(memory=3))):
        assert sensors.bus_bits(pci, nvml=library, nodes=tmp_path) is None


def test_the_bus_of_an_amd_card_from_the_description_of_its_node(tmp_path: Path) -> None:
    """As Linux's driver shows a machine: the processor as node 0, a card with 4,096 lines, a part with 128."""
    for number, (location, width) in enumerate([(0, 72), (0xC300, 4096), (0x0500, 128)]):
        bank = tmp_path / str(number) / "mem_banks" / "0"
        bank.mkdir(parents=True)
        (bank / "properties").write_text(f"heap_type 1\nsize_in_bytes 68702699520\nwidth {width}\nmem_clk_max 1600\n")
        (tmp_path / str(number) / "properties").write_text(f"simd_count 416\nlocation_id {location}\ndomain 0\n")
    assert sensors.bus_bits("0000:c3:00.0", nvml=Nvml(), nodes=tmp_path) == 4096
    assert sensors.bus_bits("0000:05:00.0", nvml=Nvml(), nodes=tmp_path) == 128
    assert sensors.bus_bits("0001:05:00.0", nvml=Nvml(), nodes=tmp_path) is None
    assert sensors.bus_bits("0000:06:00.0", nvml=Nvml(), nodes=tmp_path / "absent") is None


def test_a_library_that_hangs_with_its_card_does_not_hold_the_program_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = threading.Event(), threading.Event()

    def read(pci: str) -> sensors.Reading:
        asked.set()
        assert answer.wait(20)
        return sensors.Reading(55.0)

    monkeypatch.setattr(sensors, "read", read)
    monkeypatch.setattr(sensors, "ANSWER_SECONDS", 0.01)
    heat = sensors.Thermometer(["0000:01:00.0", None])
    assert heat.latest() == {} and asked.is_set()
    monkeypatch.setattr(sensors, "SENSOR_SECONDS", 0.0)
    assert heat.latest() == {}
    answer.set()
    assert heat._answered.wait(20)
    assert heat.latest() == {"0000:01:00.0": 55.0}
    assert sensors.Thermometer([None]).latest() == {}


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


def test_a_tuning_is_remembered_by_device_driver_n_and_kernel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = Tuning(Layout(gap=4, free=1), 0.5, 1234.5)
    tune.remember(CARD, 8192, best)
    assert tune.remembered(CARD, 8192) == best
    assert tune.remembered(CARD, 16384) is None, "what is best depends on N"
    assert tune.remembered(replace(CARD, driver="1.3"), 8192) is None
    assert tune.remembered(replace(CARD, name="[GPU] P/other"), 8192) is None
    assert tune.remembered(replace(CARD, id=5, pci=None, handle="1:1"), 8192) == best, "another slot, the same card"
    monkeypatch.setattr(tune, "kernel_hash", lambda: "another kernel")
    assert tune.remembered(CARD, 8192) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"Key": [], "layout": {}, "share": 1, "labels_per_second": 1}']
)
def test_a_damaged_cache_is_none(cache: Path, content: str) -> None:
    tune.remember(CARD, 8192, Tuning(Layout()))
    (file,) = cache.iterdir()
    file.write_text(content)
    assert tune.remembered(CARD, 8192) is None


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tune, "folder", lambda: tmp_path / "file" / "tuning")
    tune.remember(CARD, 8192, Tuning(Layout()))
    assert tune.remembered(CARD, 8192) is None


def test_a_device_on_which_nothing_works_cannot_be_tuned(cache: Path) -> None:
    failed = asdict(tune.Trial(Layout(), 1.0, 0, 0.0, "label 7 is wrong"))
    with pytest.raises(KernelError, match=r"no layout works \(gap 1, groups of 64: label 7 is wrong\)"):
        opening.tuned(CARD, 8192, ask=answers(opencl=[failed]))
    assert not cache.exists()


@pocl.needed
@pytest.mark.slow
def test_tuning_pocl(cache: Path) -> None:
    best, trials = opening.tuned(pocl.device(), 1024, seconds=6)
    assert best.labels_per_second == pytest.approx(max(one.labels_per_second for one in trials), rel=0.03)
    assert tune.remembered(pocl.device(), 1024) == best
