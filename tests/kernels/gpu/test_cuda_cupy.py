"""CUDA through CuPy: devices, errors and memory as a stand-in for the package and its driver gives them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kernels.devices.types import PassedOver
from kernels.errors import KernelError
from kernels.gpu import cuda, cuda_devices, session
from kernels.gpu import driver as drivers
from kernels.gpu import engine as gpu_engine
from kernels.gpu import plan as plan_gpu
from kernels.gpu.driver import DriverError, OutOfMemory
from kernels.gpu.engine import Card, LabelEngine
from kernels.gpu.layout import Tuning
from kernels.labels import scalar as scrypt_scalar
from kernels.labels.memory import available_memory
from tests.support.cuda_shim.build import cache_folder, require_compiler
from tests.support.cuda_shim.cupy_module import CUDARuntimeError, FakeCupy
from tests.support.cuda_shim.driver import small_card
from tests.support.cuda_shim.engine import KEY, PLAIN, SLOTS, compute, expected, room


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> Path:
    require_compiler()
    return cache_folder(pytestconfig)


@pytest.fixture
def cupy(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCupy:
    """A CuPy with two cards."""
    module = FakeCupy(folder, [small_card(), replace(small_card(2), name="Other", pci="0000:0a:00.0")])
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(cuda_devices, "DRIVER_VERSION_FILE", tmp_path / "version")
    return module


def test_devices_are_listed_with_what_a_person_needs(cupy: FakeCupy) -> None:
    (first, second), passed = cuda.devices()
    assert passed == []
    assert (first.name, first.device_class, first.backend, first.id) == ("[GPU] CUDA/Fake", "GPU", "cuda", None)
    assert (first.pci, second.pci) == ("0000:01:00.0", "0000:0a:00.0")
    assert (second.name, second.compute_units, second.memory_bytes) == ("[GPU] CUDA/Other", 2, 1 << 30)
    assert first.driver == "CUDA 12.4"
    cuda_devices.DRIVER_VERSION_FILE.write_text("550.54.14\n")
    assert cuda.devices()[0][0].driver == "550.54.14, CUDA 12.4"


def test_a_card_that_may_not_be_used_is_passed_over(cupy: FakeCupy) -> None:
    cupy.compute_modes[0] = 2
    assert [device.pci for device in cuda.devices()[0]] == ["0000:0a:00.0"]
    assert "Fake at 0000:01:00.0 is in compute mode `prohibited`" in reason()


def test_listing_raises_nothing_whatever_the_driver_does(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda ordinal: {"name": b"Odd"}, raising=False)
        found, passed = cuda.devices()
        assert found == [] and len(passed) == 2 and "device 1 does not tell what it is: KeyError" in passed[1].reason

    def fail() -> int:
        raise CUDARuntimeError("cudaErrorInitializationError", 3)

    monkeypatch.setattr(cupy.cuda.runtime, "driverGetVersion", fail, raising=False)
    assert cuda.devices()[0] == []
    assert "does not answer: cudaErrorInitializationError" in reason()


def reason() -> str:
    """Why a device is passed over."""
    (passed,) = cuda.devices()[1]
    assert isinstance(passed, PassedOver) and passed.what == "CUDA"
    return passed.reason


def test_an_engine_through_cupy_computes_right_labels_on_the_card_that_was_asked_for(cupy: FakeCupy) -> None:
    device = cuda.devices()[0][1]
    pair = gpu_engine.engines(device, 16, room(PLAIN, 16, SLOTS), Tuning(PLAIN))
    for engine in pair:
        assert compute(engine, 2**32 - 50, 100) == expected(2**32 - 50, 100)
    right = [scrypt_scalar.label32(KEY, index, 16) for index in (3, 1, 2**63)]
    assert [row.tobytes() for row in pair[0].labels32([KEY], [3, 1, 2**63])] == right
    assert pair[0].busy_seconds > 0
    for engine in pair:
        engine.close()
    assert cupy.drivers[0].trace == []
    assert cupy.drivers[1].allocated_bytes == 0


def test_the_driver_answers_what_discovery_and_the_pool_ask(cupy: FakeCupy) -> None:
    backend = drivers.backend("cuda")
    (device, _), passed = backend.devices()
    assert passed == []
    known = backend.Driver(device).numbers
    assert (known.kind, known.compute_units, known.stacked, known.memory_free) == ("nvidia", 1, False, 1 << 30)
    for layout in (PLAIN, plan_gpu.simplest(known)):
        assert gpu_engine.first_label(device, 16, layout, known) == scrypt_scalar.label32(bytes(32), 0, 16)
    cupy.drivers[0].refuse_above = 3 * PLAIN.unit * PLAIN.label_bytes(128)
    notes: list[str] = []
    engines = gpu_engine.engines(device, 128, room(PLAIN, 128, 4 * PLAIN.unit), Tuning(PLAIN), note=notes.append)
    assert len(engines) == 2
    assert len(notes) == 1 and "cudaErrorMemoryAllocation" in notes[0]
    out = np.empty((3, 16), np.uint8)
    assert engines[0].labels(KEY, 5, 3, out) == expected(5, 3, 128)[1]
    for engine in engines:
        engine.close()


def test_cupys_errors_become_ours(cupy: FakeCupy) -> None:
    driver = cuda.Driver(cuda.devices()[0][0])
    with pytest.raises(OutOfMemory, match=r"allocating 2,048.0 MiB failed: cudaErrorMemoryAllocation"):
        driver.allocate(2 << 30)
    with pytest.raises(DriverError, match="building the kernel failed"):
        driver.build("KERNEL(64) void this is not C++", ["-DNO=1"], ["seed"])
    gone = replace(cuda.devices()[0][0], pci="0000:ff:00.0")
    with pytest.raises(KernelError, match=r"at 0000:ff:00.0 is not there any more: cudaErrorInvalidDevice"):
        cuda.Driver(gone)


def test_an_event_that_failed_is_an_error_and_one_that_never_comes_loses_the_card(
    cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HANG_SECONDS", 0.2)
    monkeypatch.setattr(session, "CLOSE_SECONDS", 0.2)
    card = Card(cuda.devices()[0][0], 16, room(PLAIN, 16, SLOTS), Tuning(PLAIN))
    engine = LabelEngine(card)
    cupy.cuda.runtime.failing = 719
    with pytest.raises(KernelError, match=r"computing failed.*cudaErrorLaunchFailure"):
        compute(engine, 0, 10)
    cupy.cuda.runtime.failing = 0
    engine.reopen(PLAIN)
    assert compute(engine, 0, 10) == expected(0, 10)
    cupy.cuda.runtime.failing = 600  # not ready, for ever
    with pytest.raises(KernelError, match="it is lost"):
        compute(engine, 0, 10)
    engine.close()


def test_memory_of_the_processors_own_card_is_not_taken_whole(folder: Path) -> None:
    card = replace(small_card(), integrated=True, memory_bytes=1 << 40)
    found = cuda_devices.properties_of(FakeCupy(folder, [card]), 0)
    numbers = cuda_devices.numbers_of(found, 1 << 40)
    assert numbers.shared and numbers.memory_free == pytest.approx(available_memory(), rel=0.5)
    assert plan_gpu.budget(numbers) <= 0.75 * available_memory()


class Broken:
    """A finder in place of the module cupy that raises an error at import."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "cupy":
            raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "cupy is not installed"),
        (ImportError("libnvrtc.so.12: cannot open shared object"), "cannot be loaded: libnvrtc.so.12"),
        (RuntimeError("a damaged installation\nand more"), "cannot be loaded: a damaged installation"),
    ],
)
def test_without_cupy_there_is_no_device_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(error), *sys.meta_path])
    assert cuda.devices()[0] == []
    assert words in reason()


def test_without_a_driver_a_device_or_nvidia_there_is_a_reason(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise CUDARuntimeError("cudaErrorInsufficientDriver", 35)

    cupy.cards.clear()
    assert cuda.devices()[0] == []
    assert "no device" in reason()
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", refuse)
    assert cuda.devices()[0] == []
    assert "finds no usable NVIDIA driver: cudaErrorInsufficientDriver" in reason()
    monkeypatch.setattr(cupy.cuda.runtime, "is_hip", True)
    assert "ROCm" in reason()


def test_clock_and_bandwidth_are_asked_of_the_driver_and_may_be_unknown(folder: Path) -> None:
    card = replace(small_card(), clock_hz=1.695e9, bandwidth=936e9)
    found = cuda_devices.properties_of(FakeCupy(folder, [card]), 0)
    assert found.clock_hz == pytest.approx(1.695e9, rel=1e-3)
    assert found.bandwidth == pytest.approx(936e9, rel=1e-3)
    numbers = cuda_devices.numbers_of(found)
    assert (numbers.clock_hz, numbers.bandwidth, numbers.capability) == (found.clock_hz, found.bandwidth, (8, 6))
    silent = cuda_devices.properties_of(FakeCupy(folder, [small_card()]), 0)
    assert (silent.clock_hz, silent.bandwidth) == (None, None)
    without = FakeCupy(folder, [card])
    without.cuda.runtime = SimpleNamespace(
        getDeviceProperties=without.cuda.runtime.getDeviceProperties,
        deviceGetPCIBusId=without.cuda.runtime.deviceGetPCIBusId,
    )
    older = cuda_devices.properties_of(without, 0)
    assert (older.clock_hz, older.bandwidth) == (None, None), "a CuPy that cannot be asked"
