"""What a device that computes labels is, to everybody. Of the project this module imports the errors alone,
of which `Stopped` belongs to what is here.

Ids are the reference's FFI ids: GPUs from 0 in platform order, the CPU 4294967295. Specified in protocol
01-post-tools, sections 1.1 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from kernels.errors import KernelError
from kernels.errors import Stopped as Stopped

CPU_ID = 4294967295

GPU_BACKENDS = ("cuda", "opencl")
"""Asked in this order; the first that has a card drives it."""

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
    """What drives it: "cpu", "cuda" or "opencl"."""
    platform: str
    vendor: str
    driver: str
    memory_bytes: int
    compute_units: int
    pci: str | None = None
    aliases: tuple[str, ...] = ()
    handle: str = ""
    """How the backend finds the device again."""

    @property
    def place(self) -> str:
        """A selector that names this device and no other one, such as `opencl:1:0`, until drivers change."""
        return f"{self.backend}:{self.handle}" if self.handle else self.pci or self.backend


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

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int] | npt.NDArray[np.uint64]) -> Labels:
        """Full labels of any indices, uint8[n, 32]; one commitment for all, or one each."""

    def stop(self) -> None:
        """Makes a running call end early with `Stopped`; later calls end at once."""

    def close(self) -> None:
        """Gives memory and threads back."""


@runtime_checkable
class Reopenable(Protocol):
    """What the engines of GPUs can do beside: begin anew on a device that failed, with the same layout or another."""

    device: Device
    scrypt_n: int

    @property
    def layout(self) -> Any:
        """The `Layout` in use."""

    @property
    def later_layouts(self) -> Sequence[Any]:
        """Layouts that have not failed yet, in the order in which they are to be tried."""

    @property
    def current(self) -> bool:
        """Whether no other engine has opened the device again since this one used it last, or failed to open it."""

    def reopen(self, layout: Any) -> None:
        """Opens the device again, unless it is no longer `current`: another engine of it has seen to it.

        Raises `KernelError` when the driver refuses, `MemoryShortage` when not even one work-group fits any more.
        """


class SelectionError(KernelError):
    """A selector matches no device or several. `devices` is the list to choose from."""

    def __init__(self, message: str, devices: Sequence[Device]) -> None:
        super().__init__(message)
        self.devices = tuple(devices)
