"""The OpenCL device that tests use: PoCL, which makes one of the CPU.

It is tried in a child process first, since a driver that cannot do its work may end the process that asked it. Where
it does not work, the tests that need it are skipped, all of them with the same line, which says why.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.devices.types import Device

ROOT = Path(__file__).resolve().parents[2]

TRIAL = """
import json, sys
from dataclasses import asdict
from kernels.gpu import opencl

devices, passed_over = opencl.devices()
found = next((one for one in devices if "pocl" in one.aliases), None)
if found is None:
    sys.exit("; ".join(f"{one.what}: {one.reason}" for one in passed_over))

import numpy, pyopencl
platform, place = map(int, found.handle.split(":"))
context = pyopencl.Context([pyopencl.get_platforms()[platform].get_devices()[place]])
queue = pyopencl.CommandQueue(context)
source = "kernel void seven(global uint *out) { out[get_global_id(0)] = 7; }"
program = pyopencl.Program(context, source).build()
result = numpy.zeros(64, numpy.uint32)
buffer = pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE, result.nbytes)
program.seven(queue, (64,), None, buffer)
pyopencl.enqueue_copy(queue, result, buffer)
if not (result == 7).all():
    sys.exit(f"{found.name} computes wrong numbers")
print(json.dumps(asdict(found)))
"""
"""Prints the device after it has compiled and run something; else ends with the reason."""

TRIAL_SECONDS = 120

SKIPPED = "NOT TESTED: OpenCL, and everything that runs on it"


_kept: list[object] = []
"""Contexts that live as long as the tests."""


@functools.cache
def tried() -> Device | str:
    """PoCL's device, or why there is none that works."""
    if importlib.util.find_spec("pyopencl") is None:
        return "pyopencl is not installed (make install brings it)"
    return outcome([sys.executable, "-c", TRIAL])


def outcome(command: list[str]) -> Device | str:
    """What came out of a trial."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=TRIAL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"the driver did not answer within {TRIAL_SECONDS} s"
    if done.returncode == 0:
        values = json.loads(done.stdout.splitlines()[-1])
        return Device(**{**values, "aliases": tuple(values["aliases"])})
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode < 0:
        return f"the driver crashed ({signal.Signals(-done.returncode).name}); its last words: {last}"
    return last


@functools.cache
def found() -> Device | None:
    """PoCL's device; None where there is none that works."""
    one = tried()
    if isinstance(one, str):
        return None
    from kernels.gpu import opencl_devices

    # without a context PoCL lets its threads end, and the next engine waits until they were started anew
    _kept.append(opencl_devices.load().Context([opencl_devices.handle_of(one)]))
    return one


def device() -> Device:
    """PoCL's device; skips the test where there is none that works."""
    one = tried()
    if isinstance(one, str):
        pytest.skip(f"{SKIPPED}: {one}")
    return one


needed = pytest.mark.usefixtures("pocl_device")
"""Skips a test where PoCL does not work."""
