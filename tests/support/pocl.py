"""The OpenCL device that tests use: PoCL, which makes one of the CPU. Without it the tests are skipped, and say so."""

from __future__ import annotations

import functools
import importlib.util

import pytest

from kernels.devices.types import Device

HOW = "no OpenCL device to test with: pip install 'smesher[pocl]' (make install does)"


_kept: list[object] = []


@functools.cache
def found() -> Device | None:
    """PoCL's device; None where it is not installed."""
    if importlib.util.find_spec("pyopencl") is None:
        return None
    from kernels.gpu import opencl, opencl_devices

    one = next((one for one in opencl.devices()[0] if "pocl" in one.aliases), None)
    if one is not None:
        # without a context PoCL lets its threads end, and the next engine waits until they were started anew
        cl = opencl_devices.load()
        _kept.append(cl.Context([opencl_devices.handle_of(one)]))
    return one


def device() -> Device:
    """PoCL's device; skips the test where it is not installed."""
    if (one := found()) is None:
        pytest.skip(HOW)
    return one


needed = pytest.mark.skipif(found() is None, reason=HOW)
