"""The OpenCL device that tests use: PoCL, which makes one of the CPU. Without it the tests are skipped, and say so."""

from __future__ import annotations

import functools
import importlib.util

import pytest

from kernels.devices.types import Device

HOW = "no OpenCL device to test with: pip install 'smesher[pocl]' (make install does)"


@functools.cache
def found() -> Device | None:
    """PoCL's device; None where it is not installed."""
    if importlib.util.find_spec("pyopencl") is None:
        return None
    from kernels.gpu import opencl

    return next((one for one in opencl.devices()[0] if "pocl" in one.aliases), None)


def device() -> Device:
    """PoCL's device; skips the test where it is not installed."""
    if (one := found()) is None:
        pytest.skip(HOW)
    return one


needed = pytest.mark.skipif(found() is None, reason=HOW)
