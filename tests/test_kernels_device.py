"""Devices, and how a person picks one (protocol 01-post-tools, section 1.1)."""

from __future__ import annotations

import ctypes.util
import importlib.util
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, device, memory
from kernels.device import CPU_ID, Device, SelectionError, select
from kernels.errors import KernelError


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


@pytest.mark.parametrize("driver", [None, "libDriver.so.1"])
@pytest.mark.parametrize("package", [None, object()])
def test_what_was_passed_over_says_why(
    monkeypatch: pytest.MonkeyPatch, driver: str | None, package: object | None
) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: driver)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)
    passed = {one.what: one.reason for one in device.passed_over()}
    assert list(passed) == ["OpenCL", "CUDA"]
    for what, name in (("OpenCL", "pyopencl"), ("CUDA", "cupy")):
        reason = passed[what]
        assert ("libDriver.so.1" in reason) == (driver is not None)
        assert ("no driver library" in reason) == (driver is None)
        assert (f"{name} found" in reason) == (package is not None)
        assert (f"{name} not installed" in reason) == (package is None)


def test_looking_for_drivers_never_fails() -> None:
    assert [one.what for one in device.passed_over()] == ["OpenCL", "CUDA"]
    assert all(one.reason for one in device.passed_over())
