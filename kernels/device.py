"""Devices that can compute labels: what is here, why something was passed over, and how a person picks one.

Every backend is a module with the same parts: `devices()`, which never raises for an absent driver,
and `LabelEngine`. Ids are the reference's FFI ids: GPUs from 0 in platform order, the CPU 4294967295.
Specified in protocol 01-post-tools, section 1.1.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .errors import KernelError

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
    granularity: int
    """Labels that are computed side by side; batches are best multiples of it."""

    def labels(self, commitment: bytes, start: int, count: int, out: Labels) -> VrfCandidate:
        """Writes the 16-byte labels start … start+count-1 to `out`, uint8[count, 16]."""

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""

    def close(self) -> None:
        """Gives memory and threads back."""


class Stopped(KernelError):
    """The engine was told to stop."""


class SelectionError(KernelError):
    """A selector matches no device or several. `devices` is the list to choose from."""

    def __init__(self, message: str, devices: Sequence[Device]) -> None:
        super().__init__(message)
        self.devices = tuple(devices)


def devices() -> list[Device]:
    """All devices that can compute labels, in the order of the reference: GPUs first, the CPU last."""
    from . import cpu

    return cpu.devices()


def passed_over() -> list[PassedOver]:
    """What was looked for besides `devices()`, and why it is not used."""
    return [
        PassedOver("OpenCL", _why_not("OpenCL", "OpenCL", "pyopencl", "opencl")),
        PassedOver("CUDA", _why_not("CUDA", "cuda", "cupy", "cuda")),
    ]


def _why_not(what: str, library: str, package: str, extra: str) -> str:
    driver = ctypes.util.find_library(library)
    found = [f"driver library {driver}" if driver else f"no driver library lib{library}"]
    found.append(f"Python package {package} " + ("found" if importlib.util.find_spec(package) else "not installed"))
    return ", ".join(found) + f"; this version has no {what} engine and computes labels on the CPU"


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
        return [device for device in available if device.id == int(wanted)]
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
