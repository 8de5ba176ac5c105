"""A stand-in for the parts of CuPy that `kernels.gpu.cuda` calls, on the driver that runs kernels on the CPU.

It checks what CuPy or CUDA would: that the device is current, that addresses and sizes are plain numbers, that a
launch has a current stream. Names, argument order and result types are those of CuPy 13 and 14.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from kernels.gpu.cuda_devices import Properties
from kernels.gpu.driver import OutOfMemory
from tests.support.cuda_shim.build import group_limits
from tests.support.cuda_shim.driver import ShimDevice


class CUDARuntimeError(RuntimeError):
    """As CuPy's: the message names the error, `status` is its number."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name}: as the driver says")
        self.status = status


class FakeCupy(ModuleType):
    """The module; `cards` are its devices."""

    __version__ = "14.0.0"

    def __init__(self, folder: Path, cards: Sequence[Properties]) -> None:
        super().__init__("cupy")
        self.folder = folder
        self.cards = list(cards)
        self.drivers = [ShimDevice(folder, card) for card in cards]
        self.compute_modes = [0] * len(cards)
        self.current: list[int] = []
        self.stream: list[Any] = []
        self.cuda = SimpleNamespace(
            runtime=_Runtime(self),
            Device=self._device,
            Stream=self._stream,
            Event=self._event,
            get_elapsed_time=lambda earlier, later: self.driver.seconds(earlier.mark, later.mark) * 1e3,
            alloc_pinned_memory=lambda size: memoryview(bytearray(size)),
        )

    @property
    def driver(self) -> ShimDevice:
        """The current device's."""
        assert self.current, "no device was made current"
        return self.drivers[self.current[-1]]

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert type(options) is tuple and backend == "nvrtc"
        driver = self.driver
        kernels: dict[str, Any] = {}  # CuPy compiles at the first question, all kernels at once

        def get_function(name: str) -> Any:
            if not kernels:
                known = list(group_limits(code, options))
                part = {"-DPART=1": ["romix"], "-DPART=2": [one for one in known if one != "romix"]}
                names = next((part[option] for option in options if option in part), known)
                kernels.update(driver.compile(code, options, names))
            kernel = kernels[name]

            def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
                assert type(arguments) is tuple and all(isinstance(one, np.generic) for one in arguments)
                driver.launch(kernel, grid[0], block[0], arguments, self.stream[-1].queue)

            launch.num_regs = kernel.registers  # type: ignore[attr-defined]
            return launch

        return SimpleNamespace(get_function=get_function)

    @contextlib.contextmanager
    def _device(self, ordinal: int) -> Iterator[None]:
        self.current.append(ordinal)
        try:
            yield
        finally:
            self.current.pop()

    def _stream(self, non_blocking: bool = False) -> Any:
        assert non_blocking
        return _Stream(self, self.driver.stream())

    def _event(self, block: bool = False, disable_timing: bool = False) -> Any:
        assert block, "waiting for such an event would spin"
        return _Event(self, self.driver.event())


class _Stream:
    def __init__(self, cupy: FakeCupy, queue: Any) -> None:
        self.cupy, self.queue, self.ptr = cupy, queue, id(queue)
        cupy.cuda.runtime.streams[self.ptr] = queue

    def __enter__(self) -> _Stream:
        self.cupy.stream.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.cupy.stream.pop()

    def wait_event(self, event: _Event) -> None:
        self.cupy.driver.follow(self.queue, event.mark)


class _Event:
    def __init__(self, cupy: FakeCupy, mark: Any) -> None:
        self.cupy, self.mark, self.ptr = cupy, mark, id(mark)
        cupy.cuda.runtime.events[self.ptr] = mark

    def record(self, stream: _Stream) -> None:
        self.cupy.driver.record(self.mark, stream.queue)


class _Runtime:
    is_hip = False
    memcpyHostToDevice = 1
    memcpyDeviceToHost = 2

    def __init__(self, cupy: FakeCupy) -> None:
        self.cupy = cupy
        self.streams: dict[int, Any] = {}
        self.events: dict[int, Any] = {}
        self.failing = 0
        """The error that a question for an event is answered with."""

    @staticmethod
    def CUDARuntimeError(status: int) -> CUDARuntimeError:
        return CUDARuntimeError({719: "cudaErrorLaunchFailure"}.get(status, "cudaError"), status)

    def eventQuery(self, event: int) -> int:
        if self.failing:
            return self.failing
        return 0 if self.cupy.driver.done(self.events[event]) else 600

    def getDeviceCount(self) -> int:
        return len(self.cupy.cards)

    def driverGetVersion(self) -> int:
        return 12040

    def getDeviceProperties(self, ordinal: int) -> dict[str, Any]:
        card = self.cupy.cards[ordinal]
        return {
            "name": card.name.encode(),
            "multiProcessorCount": card.multiprocessors,
            "major": card.capability[0],
            "minor": card.capability[1],
            "regsPerMultiprocessor": card.registers,
            "maxThreadsPerMultiProcessor": card.threads,
            "totalGlobalMem": card.memory_bytes,
            "computeMode": self.cupy.compute_modes[ordinal],
            "integrated": int(card.integrated),
        }

    def deviceGetAttribute(self, attribute: int, ordinal: int) -> int:
        card = self.cupy.cards[ordinal]
        figures = {
            13: (card.clock_hz or 0) / 1e3,
            36: (card.bandwidth or 0) * 8 / 2 / (card.bus_bits or 256) / 1e3,
            37: card.bus_bits or 256,
        }
        if attribute not in figures:
            raise CUDARuntimeError("cudaErrorInvalidValue", 1)
        return int(figures[attribute])

    def deviceGetPCIBusId(self, ordinal: int) -> str:
        return self.cupy.cards[ordinal].pci.upper()

    def deviceGetByPCIBusId(self, pci: str) -> int:
        for ordinal, card in enumerate(self.cupy.cards):
            if card.pci == pci.lower():
                return ordinal
        raise CUDARuntimeError("cudaErrorInvalidDevice", 101)

    def memGetInfo(self) -> tuple[int, int]:
        return self.cupy.driver.free_memory(), self.cupy.driver.properties.memory_bytes

    def malloc(self, size: int) -> int:
        assert type(size) is int
        try:
            return self.cupy.driver.allocate(size)
        except OutOfMemory as error:
            raise CUDARuntimeError("cudaErrorMemoryAllocation", 2) from error

    def free(self, address: int) -> None:
        self.cupy.driver.free(address)

    def memcpyAsync(self, to: int, source: int, size: int, kind: int, stream: int) -> None:
        assert [type(value) for value in (to, source, size)] == [int, int, int]
        if kind == self.memcpyHostToDevice:
            self.cupy.driver.upload(to, _at(source, size), self.streams[stream])
        else:
            self.cupy.driver.download(_at(to, size), source, self.streams[stream])


def _at(address: int, size: int) -> Any:
    """Memory of the host by its address alone, as a driver sees it."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
