"""Devices that can compute labels: what is here, why something was passed over, and how a person picks one.

Every backend is a module with the same parts: `devices()`, which never raises for an absent driver, `engines()` and
`LabelEngine`. Drivers of GPUs are asked in a child process (`discovery`), because they may hang or crash. Ids are the
reference's FFI ids: GPUs from 0 in platform order, the CPU 4294967295. Specified in protocol 01-post-tools, sections
1.1 and 8.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kernels.errors import KernelError

CPU_ID = 4294967295

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Device:
    """One device as a person and the reference's programs see it."""

    id: int | None
    """Number in the reference's list of providers; None for devices that it does not list."""
    name: str
    device_class: str
    """"CPU" or "GPU"."""
    backend: str
    """The module of this package that drives it."""
    platform: str
    vendor: str
    driver: str
    memory_bytes: int
    compute_units: int
    pci: str | None = None
    aliases: tuple[str, ...] = ()
    handle: str = ""
    """How the backend finds the device again; its own business."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A kind of device that was looked for and cannot be used, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class VrfCandidate:
    """The smallest full label of a batch, compared as 32 bytes big-endian; the lowest index on a tie."""

    index: int
    label32: bytes


class Engine(Protocol):
    """Computes labels on one device. One caller at a time; `stop` may come from any thread."""

    device: Device
    scrypt_n: int

    @property
    def granularity(self) -> int:
        """Labels that are computed side by side; batches are best multiples of it. It may fall when memory is short."""

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]."""

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""

    def close(self) -> None:
        """Gives memory and threads back."""


@runtime_checkable
class Reopenable(Protocol):
    """What the engines of GPUs can do beside: begin anew on a device that failed."""

    device: Device
    scrypt_n: int

    @property
    def layout(self) -> Any:
        """The `plan_gpu.Layout` in use."""

    def reopen(self) -> None:
        """Opens the device again, unless another engine of it has done so since this one failed.

        Raises `KernelError` when the driver refuses, `MemoryShortage` when not even one work-group fits any more.
        """


class Stopped(KernelError):
    """The engine was told to stop."""


class SelectionError(KernelError):
    """A selector matches no device or several. `devices` is the list to choose from."""

    def __init__(self, message: str, devices: Sequence[Device]) -> None:
        super().__init__(message)
        self.devices = tuple(devices)


GPU_BACKENDS = ("cuda", "opencl")
"""Asked in this order; the first that has a card drives it."""

_TITLES = {"cuda": "CUDA", "opencl": "OpenCL"}

Ask = Callable[..., Any]
"""`discovery.ask`, or what stands in for it in a test."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What all backends found."""

    devices: tuple[Device, ...]
    """One entry a device: GPUs in the reference's order, OpenCL's CPU devices, the CPU last."""
    alternatives: tuple[Device, ...]
    """Entries of another backend for a card that is in `devices` already."""
    passed_over: tuple[PassedOver, ...]


def devices() -> list[Device]:
    """All devices that can compute labels, in the order of the reference: GPUs first, the CPU last."""
    return list(_discovered().devices)


def alternatives() -> list[Device]:
    """The same cards through another backend: used when a person names that backend."""
    return list(_discovered().alternatives)


def passed_over() -> list[PassedOver]:
    """What was looked for besides `devices()`, and why it is not used."""
    return list(_discovered().passed_over)


@functools.cache
def _discovered() -> Discovery:
    from kernels.devices import find as discovery

    return discover(discovery.ask)


def discover(ask: Ask) -> Discovery:
    """Asks every backend; a driver that hangs, crashes or refuses is passed over with the reason."""
    from kernels.labels import cpu

    with ThreadPoolExecutor(len(GPU_BACKENDS)) as threads:
        answers = list(threads.map(lambda backend: _asked(backend, ask), GPU_BACKENDS))
    listed = {backend: found for backend, (found, _) in zip(GPU_BACKENDS, answers)}
    passed = [reason for _, reasons in answers for reason in reasons]
    chosen, others = merged(listed["cuda"], listed["opencl"])
    return Discovery((*chosen, *cpu.devices()), tuple(others), tuple(passed))


def merged(cuda: Sequence[Device], opencl: Sequence[Device]) -> tuple[list[Device], list[Device]]:
    """(one entry a device, the other entries): a card that both know by its PCI address is driven through CUDA.

    It keeps its place and its id in OpenCL's list, which is the reference's; cards that only CUDA knows come after it.
    """
    by_address = {one.pci: one for one in cuda if one.pci is not None}
    chosen: list[Device] = []
    others: list[Device] = []
    for one in opencl:
        better = by_address.pop(one.pci, None) if one.pci is not None else None
        chosen.append(one if better is None else replace(better, id=one.id))
        if better is not None:
            others.append(one)
    gpus = [one for one in chosen if one.device_class == "GPU"]
    rest = [one for one in cuda if one.pci is None or one.pci in by_address]
    ids = 1 + max((one.id for one in gpus if one.id is not None), default=-1)
    added = [replace(one, id=ids + place) for place, one in enumerate(rest)]
    return [*gpus, *added, *(one for one in chosen if one.device_class != "GPU")], others


def _asked(backend: str, ask: Ask) -> tuple[list[Device], list[PassedOver]]:
    from kernels.devices import backends
    from kernels.devices import find as discovery

    title, module = _TITLES[backend], backends.of(backend)
    if importlib.util.find_spec(module.package) is None:
        return [], module.passed_over()  # without its package a backend touches no driver
    try:
        answer = ask(backend, "list", timeout_s=discovery.LIST_SECONDS)
        found = [discovery.device_of(values) for values in answer["devices"]]
        return found, [PassedOver(**values) for values in answer["passed_over"]]
    except (KernelError, KeyError, TypeError) as error:
        return [], [PassedOver(title, str(error))]


def engines(
    device: Device,
    scrypt_n: int,
    threads: int,
    memory_bytes: int | None = None,
    *,
    note: Callable[[str], None] = lambda message: None,
    ask: Ask | None = None,
) -> list[Engine]:
    """The engines of a device for a pool, tuned as was measured before; `memory_bytes` limits what a GPU may use.

    A GPU is tried in a child process first. Raises `KernelError` when its driver hangs, crashes or refuses, or when
    its first label is wrong; `MemoryShortage` when not even one label fits.
    """
    from kernels.devices import backends
    from kernels.devices import find as discovery
    from kernels.gpu import plan as plan_gpu
    from kernels.gpu import tune
    from kernels.labels import cpu

    if device.backend == "cpu":
        return list(cpu.engines(device, scrypt_n, threads))
    plan_gpu.check_scrypt_n(scrypt_n)
    tuning = tune.remembered(device, backends.kernel_hash())
    layout = _tried(device, scrypt_n, tuning, ask or discovery.ask, note)
    if tuning is None or layout != tuning.layout:
        tuning = plan_gpu.Tuning(layout)
    return list(backends.of(device.backend).engines(device, scrypt_n, memory_bytes, tuning, note))


REOPEN_SECONDS = 30.0
"""For a device that failed, to compute one label in a child process; its kernel was compiled before."""


def reopen(engine: Engine, ask: Ask | None = None) -> bool:
    """Opens the device of an engine again after a failure; False for an engine that has nothing to open.

    A child process tries it first, so that a driver that hangs now does not take the program along. Raises
    `KernelError` when the driver hangs, crashes or refuses, or when its first label is wrong.
    """
    from kernels.devices import find as discovery

    if not isinstance(engine, Reopenable):
        return False
    device, layout = engine.device, asdict(engine.layout)
    label, _ = _first_label(device, engine.scrypt_n, layout, ask or discovery.ask, REOPEN_SECONDS)
    expected = _right_label(engine.scrypt_n)
    if label != expected:
        raise KernelError(_wrong_first_label(device, label, expected))
    engine.reopen()
    return True


def _tried(device: Device, scrypt_n: int, tuning: Any, ask: Ask, note: Callable[[str], None]) -> Any:
    """The first layout that gives a right label: the tuned or default one, else the simplest."""
    from kernels.devices import find as discovery

    expected, label = _right_label(scrypt_n), b""
    for wanted in (asdict(tuning.layout) if tuning is not None else "default", "simple"):
        label, layout = _first_label(device, scrypt_n, wanted, ask, discovery.OPEN_SECONDS)
        if label == expected:
            return layout
        note(f"{device.name} (driver {device.driver}) computed a wrong first label with the layout {layout.describe()}")
    raise KernelError(
        f"{_wrong_first_label(device, label, expected)}. It is not used; install another version of its driver."
    )


def _first_label(device: Device, scrypt_n: int, wanted: object, ask: Ask, seconds: float) -> tuple[bytes, Any]:
    """Label 0 as a child process computes it on a device, and the layout that it used."""
    from kernels.gpu import plan as plan_gpu

    question = {"device": asdict(device), "scrypt_n": scrypt_n, "layout": wanted}
    answer = ask(device.backend, "open", question, timeout_s=seconds)
    return bytes.fromhex(answer["label"]), plan_gpu.layout_of(answer["layout"])


def _right_label(scrypt_n: int) -> bytes:
    from kernels.labels import scalar as scrypt_scalar

    return scrypt_scalar.label32(bytes(32), 0, scrypt_n)


def _wrong_first_label(device: Device, found: bytes, expected: bytes) -> str:
    return (
        f"{device.name} (driver {device.driver}) computes wrong labels: label 0 is {found.hex()} instead of "
        f"{expected.hex()}"
    )


def select(available: Sequence[Device], selectors: Sequence[str]) -> list[Device]:
    """The devices that the selectors name, each once, in the order of `available`.

    A selector is an id, a PCI address, an alias, or a part of the name, platform, vendor or driver;
    case does not matter. Raises `SelectionError` when one matches nothing or is ambiguous.
    """
    chosen: list[Device] = []
    for selector in selectors:
        matches = _matches(available, selector)
        if not matches:
            raise SelectionError(f"no device matches {selector!r}", available)
        if len(matches) > 1:
            raise SelectionError(
                f"{selector!r} matches {len(matches)} devices; name one of them by its id or PCI address",
                matches,
            )
        if matches[0] not in chosen:
            chosen.extend(matches)
    return [device for device in available if device in chosen]


def _matches(available: Sequence[Device], selector: str) -> list[Device]:
    wanted = selector.strip().lower()
    if not wanted:
        return []
    if wanted.isdecimal():
        numbered = [device for device in available if device.id == int(wanted)]
        if numbered or len(wanted) < 3:  # three digits and more may be the number in a card's name
            return numbered
    exact = [
        device
        for device in available
        if wanted == (device.pci or "").lower() or wanted in [alias.lower() for alias in device.aliases]
    ]
    if exact:
        return exact
    return [
        device
        for device in available
        if any(wanted in text.lower() for text in (device.name, device.platform, device.vendor, device.driver))
    ]
