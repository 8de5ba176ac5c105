"""What the engine asks of a graphics card: a dozen calls, the same for every make, none of which waits for the card.

`opencl` and `cuda` each have a class `Driver` with these calls and a function `devices`; read them side by side. The
engine makes all calls of one card from one thread of its own, so that a call that never comes back holds nobody up.
Work runs in the order in which it was queued; only `read` runs beside it, behind the mark that it is given.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kernels.devices.types import Device, PassedOver
from kernels.errors import KernelError
from kernels.gpu.layout import DeviceNumbers

Bytes = npt.NDArray[np.uint8]

Kernel = Any
"""A compiled kernel on one device."""

Buffer = Any
"""Memory of the device."""

Mark = Any
"""A point in the work of a device, which it reaches when everything queued before has ended."""

Argument = np.uint32 | np.uint64 | Buffer
"""What a kernel receives: a number just as wide as its parameter, or memory of the device."""


class DriverError(KernelError):
    """The driver refused or the device failed. The message names what was tried and the driver's answer."""


class OutOfMemory(DriverError):
    """The device has not that much memory left; less may do."""


class Driver(Protocol):
    """One opened device. Every call may raise `DriverError`."""

    numbers: DeviceNumbers
    """The figures that the planner decides with."""

    def build(self, source: str, options: Sequence[str], names: Sequence[str]) -> Mapping[str, Kernel]:
        """The named kernels of a source, with the compiler's -D options."""

    def registers(self, kernel: Kernel) -> int | None:
        """32-bit registers that one work item takes; None where the driver does not tell."""

    def allocate(self, size: int) -> Buffer:
        """Memory of the device that is there: not only promised. Raises `OutOfMemory`."""

    def free(self, buffer: Buffer) -> None:
        """Gives back what `allocate` returned. Nothing that is queued may use it."""

    def host(self, size: int) -> Bytes:
        """Memory of the host that copies reach without a detour."""

    def upload(self, buffer: Buffer, data: Bytes) -> None:
        """Queues a copy to the device; `data` comes from `host` and must not change before it is done."""

    def launch(
        self, kernel: Kernel, groups: int, size: int, arguments: Sequence[Argument], local: Sequence[int] = ()
    ) -> None:
        """Queues a kernel: `groups` work-groups of `size` items.

        `local`: bytes of each array that OpenCL has a work-group share by arguments behind the others.
        """

    def mark(self) -> Mark:
        """A mark behind everything that is queued now."""

    def read(self, copies: Sequence[tuple[Bytes, Buffer]], after: Mark) -> Mark:
        """Queues copies from the device to memory from `host` beside the other work, behind `after`; their end."""

    def done(self, mark: Mark) -> bool:
        """Whether it is reached. Raises `DriverError`, `OutOfMemory` among them, where work before it failed."""

    def seconds(self, earlier: Mark, later: Mark) -> float:
        """The device's time between two marks that it has reached."""

    def close(self) -> None:
        """Gives everything back but what was allocated. Nothing is queued."""


class Backend(Protocol):
    """A module of this room that drives one make of devices."""

    PACKAGE: str
    """The Python package that it needs."""
    Driver: Callable[[Device], Driver]
    """Opens a device. Raises `KernelError` when it is gone, or the driver refuses."""

    def devices(self) -> tuple[list[Device], list[PassedOver]]:
        """The devices that can be used; what was looked for and cannot be, and why. Never raises."""


_MODULES = {"cuda": "kernels.gpu.cuda", "opencl": "kernels.gpu.opencl"}


def backend(name: str) -> Backend:
    """The module of a backend ("cuda", "opencl"). Raises `KernelError` for any other name."""
    if name not in _MODULES:
        raise KernelError(f"backend {name!r} is unknown, expected one of {', '.join(_MODULES)}")
    module: Any = importlib.import_module(_MODULES[name])
    found: Backend = module
    return found


def first_line(error: BaseException) -> str:
    """What a driver's error says, without its listings."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
