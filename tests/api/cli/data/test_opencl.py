"""The command line on OpenCL devices: init, verify, repair, nonce, providers, pause and resume."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from api.cli import common
from api.cli.data import pause
from kernels.devices import find, pool
from kernels.devices import types as device
from kernels.devices.types import Labels
from kernels.gpu import engine as gpu_engine
from kernels.gpu import opencl, opencl_devices, probe, tune
from kernels.gpu.driver import backend as backend_of
from kernels.gpu.layout import Layout, Tuning
from kernels.gpu.probe import DriverFailure
from kernels.labels import scalar as scrypt_scalar
from tests.support import pocl
from tests.support.cli import Job, Result, finish, run_child, smesher, start, wait_for
from tests.support.opencl_fakes import FakeDevice, FakeDriver, FakePlatform, Faults, Faulty, failure

JOB = Job(units=4, labels_per_unit=512, max_file_size=8192, scrypt_n=16)
LONG = Job(units=4, labels_per_unit=4096, max_file_size=16384, scrypt_n=1024)


def options(job: Job, directory: Path, *more: object) -> list[object]:
    return [word for word in job.options(directory) if word != "--cpu"] + list(more)


def same(job: Job, directory: Path) -> None:
    assert {file.name: file.read_bytes() for file in directory.glob("*.bin")} == job.files()


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tuning")
    monkeypatch.setattr(tune, "folder", lambda: folder)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> device.Device:
    """PoCL, taken for a GPU."""
    one = replace(pocl.device(), id=0, device_class="GPU")
    cpus = [other for other in find.devices() if other.backend == "cpu"]
    monkeypatch.setattr(find, "devices", lambda: [one, *cpus])
    return one


class Wrong(Faults):
    """The label of one index is wrong, wherever it is computed."""

    def __init__(self, index: int) -> None:
        self.index = index

    def labels(self, start: int, labels: Labels) -> None:
        if start <= self.index < start + len(labels):
            labels[self.index - start] ^= 1


def faulty(monkeypatch: pytest.MonkeyPatch, faults: Faults) -> None:
    monkeypatch.setattr(opencl, "Driver", lambda one: Faulty(one, faults))


# == the same bytes ==============================================================================================


@pocl.needed
def test_init_verify_nonce_and_repair(tmp_path: Path) -> None:
    data = tmp_path / "post"
    smesher(*options(JOB, data, "--provider", pocl.device().place)).ok()
    same(JOB, data)
    index, _ = JOB.smallest()
    metadata = json.loads((data / "postdata_metadata.json").read_text())
    assert metadata["Nonce"] == index
    smesher("verify", data, "--fraction", 100, "--provider", pocl.device().place).ok()
    smesher("nonce", data, "--provider", pocl.device().place).ok()
    content = bytearray((data / "postdata_1.bin").read_bytes())
    content[160:176] = bytes(16)
    (data / "postdata_1.bin").write_bytes(content)
    result = smesher("verify", data, "--fraction", 100, "--provider", pocl.device().place, "--json")
    assert result.code == 1
    (bad,) = result.named("bad_label")
    assert (bad["index"], bad["file"], bad["offset"], bad["found"]) == (512 + 10, "postdata_1.bin", 160, "00" * 16)
    smesher("repair", data, "--provider", pocl.device().place).ok()
    same(JOB, data)


@pocl.needed
def test_all_gpus_are_used_by_default_and_with_the_option(tmp_path: Path, gpu: device.Device) -> None:
    for name, more in (
        ("a", []),
        ("b", ["--gpu"]),
        ("c", ["--gpu", "--cpu", "--gpu-memory", "512M", "--check", "100"]),
    ):
        result = smesher(*options(JOB, tmp_path / name, *more, "--json")).ok()
        assert gpu.name in json.dumps(result.named("note"))
        same(JOB, tmp_path / name)
        smesher("verify", tmp_path / name, *more[:1]).ok()


@pocl.needed
def test_throttled_devices_write_the_same(tmp_path: Path, gpu: device.Device) -> None:
    smesher(*options(JOB, tmp_path / "post", "--gpu", "--throttle", "50")).ok()
    same(JOB, tmp_path / "post")


@pocl.needed
def test_killed_and_resumed_on_a_mixture_of_devices(tmp_path: Path) -> None:
    data = tmp_path / "post"
    words = options(LONG, data, "--provider", pocl.device().place, "--cpu", "--threads", "1")
    for number in range(2):
        child = start(*words)
        wanted = 4096 * (number + 1)
        wait_for(lambda: sum(file.stat().st_size for file in data.glob("*.bin")) > wanted, child)  # noqa: B023
        child.send_signal(signal.SIGKILL if number else signal.SIGTERM)
        finish(child)
    run_child(*words, timeout=240).ok()
    same(LONG, data)
    assert not (data / pause.MARKER_NAME).exists()


# == devices that fail ===========================================================================================


def test_a_driver_that_hangs_is_reported_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(backend: str, question: str, document: object = None, **more: Any) -> Any:
        raise DriverFailure(f"the {backend} driver did not answer within 30 s ({question})")

    monkeypatch.setattr(probe, "ask", hanging)
    monkeypatch.setattr(find.importlib.util, "find_spec", lambda name: object())
    find._discovered.cache_clear()
    try:
        passed = {one["what"]: one["reason"] for one in smesher("providers", "--json").ok().named("passed_over")}
        assert set(passed) == {"CUDA", "OpenCL"}
        assert "did not answer" in passed["OpenCL"]
        smesher(*options(JOB, tmp_path / "post", "--gpu")).refused(3, "No GPU", "did not answer within 30 s")
        smesher(*options(JOB, tmp_path / "post")).ok()
        same(JOB, tmp_path / "post")
    finally:
        find._discovered.cache_clear()


@pocl.needed
def test_a_device_that_cannot_be_opened_leaves_the_work_to_the_others(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashing(*words: Any, **more: Any) -> Any:
        raise DriverFailure("the opencl driver crashed (SIGSEGV) at: open")

    monkeypatch.setattr(probe, "ask", crashing)
    result = smesher(*options(JOB, tmp_path / "a", "--gpu", "--cpu")).ok()
    assert f"{gpu.name} is passed over" in result.text and "SIGSEGV" in result.text
    same(JOB, tmp_path / "a")
    smesher(*options(JOB, tmp_path / "b", "--gpu")).refused(3, "SIGSEGV")
    assert not list((tmp_path / "b").glob("*.bin"))


@pocl.needed
def test_a_device_that_computes_wrong_labels_is_stopped_and_nothing_wrong_is_written(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty(monkeypatch, Wrong(1500))
    result = smesher(*options(JOB, tmp_path / "a", "--gpu", "--check", 1))
    result.refused(3, "wrong label 1500", gpu.name, gpu.driver)
    written = b"".join(file.read_bytes() for file in sorted((tmp_path / "a").glob("*.bin")))
    assert JOB.data().startswith(written)
    smesher(*options(JOB, tmp_path / "a", "--cpu")).ok()
    same(JOB, tmp_path / "a")


@pocl.needed
@pytest.mark.parametrize("what", ["allocate", "launch"])
def test_no_memory_at_first_or_later_is_half_the_memory_and_a_note(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    class Once(Faults):
        left = 1

        def step(self, where: str) -> None:
            if where == what and self.left:
                self.left -= 1
                raise failure(-4)

    faulty(monkeypatch, Once())
    tune.remember(gpu, JOB.scrypt_n, tuning())
    result = smesher(*options(JOB, tmp_path / "a", "--gpu")).ok()
    assert "could not be had" in result.text and gpu.name in result.text and "error -4" in result.text
    same(JOB, tmp_path / "a")


class Lost(Faults):
    """Launches fail after some, until the device was opened as often as `comes_back` says."""

    def __init__(self, comes_back: int, after: int = 3) -> None:
        self.launches, self.opened, self.comes_back, self.after = 0, 0, comes_back, after

    def step(self, what: str) -> None:
        if what == "open":
            self.opened += 1
        elif what == "launch":
            self.launches += 1
            if self.launches > self.after and self.opened < self.comes_back:
                raise failure(-36)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that failed is tried again at once, and the child that opens it says that it works."""
    monkeypatch.setattr(pool, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(pool, "PIECE_SECONDS", 0.001)

    def opened(backend: str, question: str, document: Any, **more: Any) -> Any:
        wanted, label = document["layout"], scrypt_scalar.label32(bytes(32), 0, document["scrypt_n"])
        return {"label": label.hex(), "layout": wanted if isinstance(wanted, dict) else asdict(tuning().layout)}

    monkeypatch.setattr(probe, "ask", opened)


@pocl.needed
def test_a_device_that_is_lost_leaves_the_work_to_the_others_or_ends_it_with_the_data_intact(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    faulty(monkeypatch, Lost(comes_back=99, after=0))
    result = smesher(*options(LONG, tmp_path / "a", "--gpu", "--cpu")).ok()
    assert gpu.name in result.text and gpu.driver in result.text and "error -36" in result.text
    same(LONG, tmp_path / "a")
    faulty(monkeypatch, Lost(comes_back=99))
    smesher(*options(JOB, tmp_path / "b", "--gpu")).refused(3, gpu.name, gpu.driver, "computing", "error -36")
    written = b"".join(file.read_bytes() for file in sorted((tmp_path / "b").glob("*.bin")))
    assert written and JOB.data().startswith(written)
    smesher(*options(JOB, tmp_path / "b", "--cpu")).ok()
    same(JOB, tmp_path / "b")


@pocl.needed
def test_a_device_that_comes_back_goes_on(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    faults = Lost(comes_back=2)
    faulty(monkeypatch, faults)
    result = smesher(*options(JOB, tmp_path / "a", "--gpu")).ok()
    assert "error -36" in result.text and faults.opened >= 2
    same(JOB, tmp_path / "a")


@pocl.needed
def test_a_device_that_was_removed_between_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(pocl.device(), id=0, device_class="GPU", handle="7:0")
    cpus = [other for other in find.devices() if other.backend == "cpu"]
    monkeypatch.setattr(find, "devices", lambda: [gone, *cpus])
    smesher(*options(JOB, tmp_path / "a", "--gpu")).refused(3, gone.name, "is not there any more")
    assert not list((tmp_path / "a").glob("*.bin"))
    result = smesher(*options(JOB, tmp_path / "a", "--gpu", "--cpu")).ok()
    assert f"{gone.name} is passed over" in result.text and "is not there any more" in result.text
    same(JOB, tmp_path / "a")
    smesher(*options(JOB, tmp_path / "b", "--provider", "radeon")).refused(2, "no device matches 'radeon'", gone.name)


@pocl.needed
def test_two_processes_on_one_device(tmp_path: Path) -> None:
    children = [start(*options(JOB, tmp_path / name, "--provider", pocl.device().place)) for name in ("a", "b")]
    for child in children:
        finish(child).ok()
    for name in ("a", "b"):
        same(JOB, tmp_path / name)


@pytest.mark.parametrize("scrypt_n", [0, 1, 3, 1000])
def test_n_that_is_no_power_of_two_is_refused_before_a_driver_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scrypt_n: int
) -> None:
    monkeypatch.setattr(probe, "ask", lambda *words, **more: pytest.fail("a driver was asked"))
    words = options(JOB, tmp_path / "a", "--provider", "cpu", "--scrypt-n", scrypt_n)
    smesher(*words).refused(2, str(scrypt_n), "power of two")
    assert not (tmp_path / "a").exists()


# == drivers that are not there ==================================================================================


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Lets discovery find the given OpenCL platforms (or the given error of the loader) in this process."""
    monkeypatch.setattr(find.importlib.util, "find_spec", lambda name: object() if name == "pyopencl" else None)
    monkeypatch.setattr(opencl_devices.importlib.util, "find_spec", lambda name: object())
    for variable in (opencl_devices.PLATFORMS_FILTER, opencl_devices.DEVICES_FILTER):
        monkeypatch.delenv(variable, raising=False)

    def here(backend: str, question: str, document: object = None, **more: Any) -> Any:
        return probe.QUESTIONS[question](backend_of(backend), document)

    monkeypatch.setattr(probe, "ask", here)

    def given(found: Any) -> None:
        def driver() -> Any:
            if isinstance(found, ImportError):
                raise found
            return FakeDriver(found)

        find._discovered.cache_clear()
        monkeypatch.setattr(opencl_devices, "load", driver)

    yield given
    find._discovered.cache_clear()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (ImportError("libOpenCL.so.1: cannot open shared object file"), "libOpenCL.so.1: cannot open shared object"),
        (RuntimeError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR"), "no platform: clGetPlatformIDs failed"),
        ([], "no platform; install the GPU's OpenCL driver"),
        ([FakePlatform("Empty", RuntimeError("DEVICE_NOT_FOUND"))], "OpenCL platform Empty: no device: DEVICE_NOT_F"),
        ([FakePlatform("Bare", [])], "OpenCL platform Bare: no device"),
        ([FakePlatform("P", [FakeDevice("dead", available=False)])], "OpenCL device P/dead: the driver says"),
    ],
    ids=["no loader", "no ICD", "no platform", "no devices", "none at all", "none available"],
)
def test_without_a_driver_or_a_device_the_reason_is_told_and_the_cpu_works(
    tmp_path: Path, drivers: Callable[[Any], None], found: Any, reason: str
) -> None:
    drivers(found)
    smesher(*options(JOB, tmp_path / "a", "--gpu")).refused(3, "No GPU can be used", reason, "--cpu")
    assert not (tmp_path / "a").exists()
    passed = {f"{one['what']}: {one['reason']}" for one in smesher("providers", "--json").ok().named("passed_over")}
    assert any(reason in one for one in passed), passed
    smesher(*options(JOB, tmp_path / "a")).ok()
    same(JOB, tmp_path / "a")


@pocl.needed
@pytest.mark.parametrize(
    ("environment", "listed", "reason"),
    [
        ({opencl_devices.PLATFORMS_FILTER: "Portable"}, False, f"filtered by {opencl_devices.PLATFORMS_FILTER}"),
        ({opencl_devices.DEVICES_FILTER: "."}, False, f"filtered by {opencl_devices.DEVICES_FILTER}"),
        ({opencl_devices.DEVICES_FILTER: "("}, True, "'(' is no regular expression"),
        ({opencl_devices.PLATFORMS_FILTER: "*"}, True, "'*' is no regular expression"),
        ({"OCL_ICD_VENDORS": "/nonexistent"}, False, "no platform"),
    ],
    ids=["platforms", "devices", "invalid", "invalid, platforms", "no ICD"],
)
def test_filters_and_loaders_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], listed: bool, reason: str
) -> None:
    """With the real loader, in the real child process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    find._discovered.cache_clear()
    try:
        result = smesher("providers", "--json").ok()
    finally:
        find._discovered.cache_clear()
    assert any(reason in one["reason"] for one in result.named("passed_over")), result.text
    assert any("pocl" in one["aliases"] for one in result.named("provider")) == listed


def tuning() -> Tuning:
    return Tuning(Layout(group=8))


@pocl.needed
def test_a_wrong_verdict_of_a_gpu_is_no_verdict(
    tmp_path: Path, gpu: device.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right data, and a device that takes some of it for wrong: the CPU is asked before anything is said."""
    JOB.make(tmp_path / "post")
    real = gpu_engine.LabelEngine.labels32

    def labels32(self: Any, commitments: Any, indices: Any) -> Labels:
        found = real(self, commitments, indices)
        found[[place for place, index in enumerate(indices) if int(index) == 77]] ^= 1
        return found

    monkeypatch.setattr(gpu_engine.LabelEngine, "labels32", labels32)
    for command in (["verify", "--fraction", 100], ["repair"]):
        result = smesher(command[0], tmp_path / "post", *command[1:], "--gpu", "--check", 0)
        result.refused(3, "wrong label 77", gpu.name, "--cpu")
    same(JOB, tmp_path / "post")
    assert not (tmp_path / "post" / "smesher-findings.json").exists()
    smesher("verify", tmp_path / "post", "--fraction", 100, "--cpu").ok()


# == pause and resume ============================================================================================


def begun(directory: Path) -> bool:
    return sum(file.stat().st_size for file in directory.glob("*.bin")) > 4096


def test_pause_and_resume(tmp_path: Path) -> None:
    data = tmp_path / "post"
    child = start(*LONG.options(data, "--json"))
    wait_for(lambda: begun(data), child)
    assert "rests" in run_child("pause", data).ok().text
    assert run_child("pause", data, "--json").ok().last["event"] == "paused"
    time.sleep(0.5)
    size = sum(file.stat().st_size for file in data.glob("*.bin"))
    time.sleep(0.5)
    assert sum(file.stat().st_size for file in data.glob("*.bin")) == size
    result = run_child("resume", data, "--json").ok()
    assert (result.last["event"], result.last["process"]) == ("resumed", child.pid)
    ended = finish(child, 240).ok()
    assert [one["event"] for one in ended.events if one["event"] in ("paused", "resumed")][:1] == ["paused"]
    assert ended.named("resumed")
    assert not (data / pause.MARKER_NAME).exists()
    same(LONG, data)


def test_a_paused_job_can_be_interrupted_and_goes_on_later(tmp_path: Path) -> None:
    data = tmp_path / "post"
    child = start(*LONG.options(data))
    wait_for(lambda: begun(data), child)
    run_child("pause", data).ok()
    child.send_signal(signal.SIGINT)
    assert finish(child).code == 130
    assert not (data / pause.MARKER_NAME).exists()
    run_child("pause", data).refused(1, "Nothing works on")


def test_pause_where_nothing_can_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smesher("pause", tmp_path / "none").refused(2, "does not exist")
    smesher("resume", tmp_path).refused(1, "Nothing works on")
    (tmp_path / "smesher.lock").write_text("1\n")
    smesher("pause", tmp_path).refused(1, "Nothing works on")  # a lock file that nobody holds
    (tmp_path / "smesher.lock").unlink()
    (tmp_path / "smesher.lock").symlink_to(tmp_path / "of others")
    (tmp_path / "of others").write_text("1\n")
    smesher("pause", tmp_path).refused(3, "it is a link, which is not followed here")


def test_a_program_that_cannot_rest_lives_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause, "ANSWER_SECONDS", 0.5)
    LONG.make(tmp_path / "post")
    child = start("repair", tmp_path / "post", "--cpu")
    try:
        wait_for(lambda: pause.holder(tmp_path / "post") is not None, child)
        smesher("pause", tmp_path / "post").refused(1, "did not answer", str(child.pid))
    finally:
        assert finish(child).code == 0


# == options, providers ==========================================================================================


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512M", 512 << 20), ("6G", 6 << 30), ("1.5GiB", 3 << 29), ("2 TB", 2 << 40), ("64kib", 1 << 16)],
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert common.memory_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "much", "1X", "nan", "infG", "1e30G"])
def test_sizes_that_are_none(text: str, tmp_path: Path) -> None:
    result = smesher(*JOB.options(tmp_path / "post", f"--gpu-memory={text}"))
    result.refused(2, "--gpu-memory", "512M")


def test_the_cpu_alone_asks_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "discover", lambda ask: pytest.fail("a driver was asked"))
    find._discovered.cache_clear()
    JOB.init(tmp_path / "post").ok()
    smesher(*options(JOB, tmp_path / "post", "--provider", "cpu")).ok()
    find._discovered.cache_clear()


@pocl.needed
def test_pocl_is_a_provider_without_a_number() -> None:
    found = smesher("providers", "--json").ok().named("provider")
    one = next(entry for entry in found if "pocl" in entry["aliases"])
    assert (one["id"], one["class"], one["name"]) == (None, "CPU", pocl.device().name)
    assert found[-1]["id"] == device.CPU_ID


@pocl.needed
@pytest.mark.slow
def test_providers_tune(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "SECONDS", 6.0)
    monkeypatch.setattr("api.cli.data.providers.BENCHMARK_N", 256)
    monkeypatch.setattr(find, "devices", lambda: [pocl.device()])
    result: Result = smesher("providers", "--tune", "--json").ok()
    (tuned,) = result.named("tuned")
    assert tuned["name"] == pocl.device().name and tuned["labels_per_second"] > 0
    assert len(result.named("trial")) >= 1
    found = tune.remembered(pocl.device(), 256)
    assert found is not None and found.labels_per_second == tuned["labels_per_second"]
