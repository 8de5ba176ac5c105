"""Devices, and how a person picks one (protocol 01-post-tools, section 1.1)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.devices import find as device
from kernels.devices.find import select
from kernels.devices.types import CPU_ID, GPU_BACKENDS, Device, PassedOver, SelectionError
from kernels.errors import KernelError
from kernels.gpu.probe import DriverFailure
from kernels.labels import cpu, memory


def card(number: int, name: str, platform: str, vendor: str, driver: str, pci: str, *aliases: str) -> Device:
    return Device(number, name, "GPU", "opencl", platform, vendor, driver, 16 << 30, 64, pci, aliases)


RTX = card(0, "[GPU] NVIDIA GeForce RTX 3080", "NVIDIA CUDA", "NVIDIA Corp.", "535.54", "0000:01:00.0", "cuda")
QUADRO = card(1, "[GPU] NVIDIA Quadro P2000", "NVIDIA CUDA", "NVIDIA Corp.", "535.54", "0000:0A:00.0", "cuda")
RADEON = card(2, "[GPU] gfx1100", "AMD Accelerated Parallel Processing", "AMD", "3590.0 (HSA1.1)", "0000:0b:00.0")
POCL = Device(
    None, "[CPU] cpu-haswell", "CPU", "opencl", "Portable Computing Language", "GenuineIntel", "PoCL 5.0", 1, 8, None,
    ("pocl", "opencl"),
)  # fmt: skip
CPU = Device(
    CPU_ID, "[CPU] Xeon Gold", "CPU", "cpu", "Linux x86_64", "GenuineIntel", "numba 0.60, avx512", 1, 8, None, ("cpu",)
)
ALL = [RTX, QUADRO, RADEON, POCL, CPU]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        # ids
        (["0"], [RTX]),
        (["1"], [QUADRO]),
        (["4294967295"], [CPU]),
        ([" 2 "], [RADEON]),
        (["02"], [RADEON]),
        # PCI addresses
        (["0000:01:00.0"], [RTX]),
        (["0000:0a:00.0"], [QUADRO]),
        (["0000:0B:00.0"], [RADEON]),
        # aliases go before parts of texts: "cpu" is part of a name of PoCL, too
        (["cpu"], [CPU]),
        (["CPU"], [CPU]),
        (["pocl"], [POCL]),
        (["OpenCL"], [POCL]),
        # a part of the name, the platform, the vendor, the driver
        (["rtx"], [RTX]),
        (["geforce RTX 3080"], [RTX]),
        (["QUADRO"], [QUADRO]),
        (["haswell"], [POCL]),
        (["accelerated parallel"], [RADEON]),
        (["portable computing"], [POCL]),
        (["Linux"], [CPU]),
        (["amd"], [RADEON]),
        (["hsa1.1"], [RADEON]),
        (["Numba"], [CPU]),
        # several selectors: each device once, in the order of the list
        (["cpu", "rtx"], [RTX, CPU]),
        (["rtx", "0", "0000:01:00.0", "GeForce"], [RTX]),
        (["2", "1", "0", "1", "2"], [RTX, QUADRO, RADEON]),
        ([], []),
    ],
)
def test_a_selector_picks_its_device(selectors: Sequence[str], expected: list[Device]) -> None:
    assert select(ALL, selectors) == expected


@pytest.mark.parametrize(
    "selector", ["3", "99", "4294967296", "-1", "0000:0c:00.0", "01:00", "mali", "cuda rtx", "", "  ", "None", "GPU:0"]
)
def test_a_selector_without_a_device_gets_the_whole_list(selector: str) -> None:
    with pytest.raises(SelectionError) as caught:
        select(ALL, [selector])
    assert isinstance(caught.value, KernelError)
    assert "no device matches" in str(caught.value)
    assert repr(selector) in str(caught.value)
    assert caught.value.devices == tuple(ALL)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("nvidia", [RTX, QUADRO]),
        ("cuda", [RTX, QUADRO]),
        ("535.54", [RTX, QUADRO]),
        ("[gpu]", [RTX, QUADRO, RADEON]),
        ("intel", [POCL, CPU]),
        ("[CPU]", [POCL, CPU]),
    ],
)
def test_an_ambiguous_selector_gets_the_list_of_its_matches(selector: str, matches: list[Device]) -> None:
    with pytest.raises(SelectionError, match=f"matches {len(matches)} devices") as caught:
        select(ALL, [selector])
    assert caught.value.devices == tuple(matches)
    assert repr(selector) in str(caught.value)


def test_one_bad_selector_among_good_ones_is_an_error() -> None:
    with pytest.raises(SelectionError, match="mali"):
        select(ALL, ["cpu", "mali", "rtx"])


def test_where_no_device_is_nothing_matches() -> None:
    with pytest.raises(SelectionError) as caught:
        select([], ["cpu"])
    assert caught.value.devices == ()


@given(st.lists(st.sampled_from(["0", "1", "2", "pocl", "cpu", "RTX", "quadro", "gfx"]), max_size=6))
def test_order_and_repetition_of_selectors_do_not_matter(selectors: list[str]) -> None:
    chosen = select(ALL, selectors)
    assert chosen == sorted(chosen, key=ALL.index)
    assert select(ALL, list(reversed(selectors)) + selectors) == chosen


@given(st.text(max_size=12))
def test_any_text_either_picks_one_device_or_is_refused(selector: str) -> None:
    try:
        chosen = select(ALL, [selector])
    except SelectionError as error:
        assert len(error.devices) != 1
    else:
        assert len(chosen) == 1


def test_more_digits_than_make_a_number_match_nothing() -> None:
    with pytest.raises(SelectionError, match="no device matches"):
        select(ALL, ["9" * 5000])
    assert select(ALL, ["1".zfill(5000)]) == [QUADRO]


def test_two_pocls_are_told_apart_by_what_distinguishes_them_and_can_be_chosen() -> None:
    """They have neither an id nor an address: their platforms' versions and their places differ."""
    old = replace(POCL, platform="Portable Computing Language, OpenCL 3.0 PoCL 3.0", driver="3.0", handle="0:0")
    new = replace(POCL, platform="Portable Computing Language, OpenCL 3.0 PoCL 5.0", driver="5.0", handle="1:0")
    with pytest.raises(SelectionError) as caught:
        select([RTX, old, new, CPU], ["pocl"])
    message = str(caught.value)
    assert "'pocl' matches 2 devices; name one of them: opencl:0:0 (platform" in message
    assert "opencl:1:0 (platform Portable Computing Language, OpenCL 3.0 PoCL 5.0, driver 5.0)" in message
    assert "cpu-haswell" not in message, "their name does not tell them apart"
    assert select([RTX, old, new, CPU], ["opencl:1:0"]) == [new]
    assert select([RTX, old, new, CPU], ["OpenCL:0:0"]) == [old]
    assert select([RTX, old, new, CPU], ["PoCL 5.0"]) == [new]


def test_the_cpu_is_there_with_the_reference_s_id() -> None:
    found = device.devices()
    last = found[-1]
    assert last.id == CPU_ID == 4294967295
    assert (last.device_class, last.backend, last.aliases, last.pci) == ("CPU", "cpu", ("cpu",), None)
    assert last.name.startswith("[CPU] ")
    assert len(last.name) > len("[CPU] ")
    assert last.memory_bytes == memory.total_memory()
    assert last.compute_units == cpu.usable_cores() >= 1
    assert last.platform
    assert last.vendor
    assert f"{cpu.target.variant().name} vectors" in last.driver
    assert select(found, ["cpu"]) == select(found, ["4294967295"]) == [last]


def test_ids_are_given_once() -> None:
    ids = [one.id for one in device.devices() if one.id is not None]
    assert len(ids) == len(set(ids))


# What the backends found, and why something was passed over


class Drivers:
    """Stands in for the child processes that ask the drivers: what each backend answers, or the error it ends with."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def __call__(self, backend: str, question: str, document: object = None, *, timeout_s: float) -> object:
        assert timeout_s > 0
        self.asked.append((backend, question))
        answer = self.answers[backend]
        if isinstance(answer, Exception):
            raise answer
        return answer


def listed(*found: Device, passed_over: Sequence[PassedOver] = ()) -> object:
    """The child's answer, as it comes out of JSON."""
    answer = {"devices": [asdict(one) for one in found], "passed_over": [asdict(one) for one in passed_over]}
    return json.loads(json.dumps(answer))


@pytest.fixture
def packages_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


NOTHING = listed()


@pytest.mark.usefixtures("packages_are_there")
def test_the_list_is_gpus_then_opencl_s_cpus_then_the_cpu() -> None:
    drivers = Drivers(cuda=NOTHING, opencl=listed(POCL, RTX, RADEON))
    found = device.discover(drivers)
    assert list(found.devices) == [RTX, RADEON, POCL, *cpu.devices()]
    assert found.alternatives == ()
    assert found.passed_over == ()
    assert sorted(drivers.asked) == [("cuda", "list"), ("opencl", "list")]


@pytest.mark.usefixtures("packages_are_there")
@pytest.mark.parametrize(
    "answer",
    [DriverFailure("the driver did not answer within 30 s"), {}, None, {"devices": [{"id": 0}], "passed_over": []}],
    ids=["hangs", "no fields", "nothing", "no device"],
)
def test_a_driver_that_fails_is_passed_over_and_the_others_stay(answer: object) -> None:
    found = device.discover(Drivers(cuda=answer, opencl=listed(RADEON)))
    assert list(found.devices) == [RADEON, *cpu.devices()]
    (passed,) = found.passed_over
    assert passed.what == "CUDA"
    assert passed.reason
    if isinstance(answer, Exception):
        assert passed.reason == str(answer)


@pytest.mark.usefixtures("packages_are_there")
def test_the_reasons_of_every_backend_are_told() -> None:
    old, none = PassedOver("GeForce 8800", "too old a driver"), PassedOver("OpenCL", "no platform")
    found = device.discover(Drivers(cuda=listed(passed_over=[old]), opencl=listed(passed_over=[none])))
    assert list(found.devices) == cpu.devices()
    assert found.passed_over == (old, none)


def test_no_driver_is_touched_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    drivers = Drivers()
    found = device.discover(drivers)
    assert drivers.asked == []
    assert list(found.devices) == cpu.devices()
    reasons = {passed.what: passed.reason for passed in found.passed_over}
    assert "pyopencl not installed" in reasons["OpenCL"]


def test_looking_for_drivers_never_fails() -> None:
    assert all(one.what and one.reason for one in device.passed_over())
    assert all(one.backend in GPU_BACKENDS for one in device.alternatives())


def through_cuda(number: int | None, of: Device) -> Device:
    return replace(of, id=number, backend="cuda")


@pytest.mark.parametrize(
    ("cuda", "opencl", "chosen", "others"),
    [
        ([], [], [], []),
        ([], [RTX, QUADRO], [RTX, QUADRO], []),
        # seen by both: driven through CUDA, with the place and the number of OpenCL's list
        ([through_cuda(None, RTX)], [RTX], [through_cuda(0, RTX)], [RTX]),
        ([through_cuda(None, QUADRO)], [RTX, QUADRO], [RTX, through_cuda(1, QUADRO)], [QUADRO]),
        (
            [through_cuda(None, QUADRO), through_cuda(None, RTX)],
            [RTX, QUADRO, RADEON],
            [through_cuda(0, RTX), through_cuda(1, QUADRO), RADEON],
            [RTX, QUADRO],
        ),
        # seen by CUDA only: numbers after those of OpenCL
        ([through_cuda(None, RTX)], [], [through_cuda(0, RTX)], []),
        ([through_cuda(None, RTX)], [QUADRO, RADEON], [QUADRO, RADEON, through_cuda(3, RTX)], []),
        # OpenCL's CPU devices have no number and come last
        ([through_cuda(None, RTX)], [POCL], [through_cuda(0, RTX), POCL], []),
        ([], [POCL, RADEON], [RADEON, POCL], []),
        # without an address nobody knows whether two are one
        ([replace(through_cuda(None, RTX), pci=None)], [replace(RTX, pci=None)],
         [replace(RTX, pci=None), replace(through_cuda(1, RTX), pci=None)], []),
    ],
)  # fmt: skip
def test_a_card_that_two_backends_see_is_one_device(
    cuda: list[Device], opencl: list[Device], chosen: list[Device], others: list[Device]
) -> None:
    assert device.merged(cuda, opencl) == (chosen, others)
