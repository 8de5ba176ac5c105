"""As much of pyopencl as discovery looks at: platforms and devices of any kind; and the real driver with faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.devices.types import Device, Labels
from kernels.gpu import opencl
from kernels.gpu.driver import Bytes, DriverError, OutOfMemory
from kernels.gpu.session import SETS


class FakeDriver:
    """As much of pyopencl as discovery looks at."""

    class device_type:
        CPU, GPU, ACCELERATOR = 2, 4, 8

    class _cl:
        __file__ = "libOpenCL.so.1"

    def __init__(self, platforms: Any) -> None:
        self._platforms = platforms

    def get_platforms(self) -> Any:
        if isinstance(self._platforms, Exception):
            raise self._platforms
        return self._platforms


class FakePlatform:
    def __init__(self, name: str, devices: Any) -> None:
        self.name, self.version, self._devices = name, "OpenCL 3.0", devices
        for one in devices if isinstance(devices, list) else []:
            one.platform = self

    def get_devices(self) -> Any:
        if isinstance(self._devices, Exception):
            raise self._devices
        return self._devices


class FakeDevice:
    extensions = ""
    vendor, driver_version, global_mem_size, max_compute_units = "maker", "1.2", 8 << 30, 20
    available = compiler_available = True
    platform: FakePlatform

    def __init__(self, name: str, kind: int = 4, **more: Any) -> None:
        self.name, self.type = name, kind
        for field, value in more.items():
            setattr(self, field, value)


def failure(code: int) -> DriverError:
    """What the OpenCL driver raises for an error of OpenCL's."""
    kind = OutOfMemory if code in (-4, -5, -6, -61) else DriverError
    return kind(f"the driver reports error {code}")


class Faults:
    """Where a test makes a device fail: the methods are called at the places that their names say."""

    def step(self, what: str) -> None:
        """Before "open", "allocate", "launch", "read" and "done"; may raise `failure`."""

    def labels(self, start: int, labels: Labels) -> None:
        """After labels were read; may change them."""


class Faulty(opencl.Driver):
    """The real OpenCL driver, with faults."""

    def __init__(self, device: Device, faults: Faults) -> None:
        self._faults = faults
        self._start = 0
        self._reads: list[tuple[Any, int, Bytes]] = []
        faults.step("open")
        self._others = 2 + 4 * SETS
        """Allocations beside the lookup memory, which come first; those succeed."""
        super().__init__(device)

    def allocate(self, size: int) -> Any:
        self._others -= 1
        if self._others < 0:
            self._faults.step("allocate")
        return super().allocate(size)

    def launch(self, kernel: Any, groups: int, size: int, arguments: Sequence[Any], local: Sequence[int] = ()) -> None:
        if len(arguments) == 4 and isinstance(arguments[2], np.uint64):
            self._faults.step("launch")
            self._start = int(arguments[2])
        super().launch(kernel, groups, size, arguments, local)

    def read(self, copies: Sequence[tuple[Bytes, Any]], after: Any) -> Any:
        self._faults.step("read")
        mark = super().read(copies, after)
        if len(copies) == 2:
            self._reads.append((mark, self._start, copies[0][0]))
        return mark

    def done(self, mark: Any) -> bool:
        self._faults.step("done")
        done = super().done(mark)
        for read in [read for read in self._reads if done and read[0] is mark]:
            self._faults.labels(read[1], read[2].reshape(-1, 16))
            self._reads.remove(read)
        return done
