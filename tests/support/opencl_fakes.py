"""As much of pyopencl as discovery looks at: platforms and devices of any kind."""

from __future__ import annotations

from typing import Any


class FakeDriver:
    """As much of pyopencl as discovery looks at."""

    class device_type:
        CPU, GPU, ACCELERATOR = 2, 4, 8

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
    vendor, driver_version, global_mem_size, max_compute_units = "maker", "1.2", 8 << 30, 20
    available = compiler_available = True
    platform: FakePlatform

    def __init__(self, name: str, kind: int = 4, **more: Any) -> None:
        self.name, self.type = name, kind
        for field, value in more.items():
            setattr(self, field, value)
