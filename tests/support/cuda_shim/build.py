"""Compiles the CUDA dialect of `labels.cl` with whatever C++ compiler is here, and calls its kernels.

Libraries are kept in pytest's cache folder under a hash of all that goes into them, so that a second run and
the other workers of the same run need no compiler.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

SHIM = Path(__file__).with_name("shim.cpp")
FLAGS = ("-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-U_FORTIFY_SOURCE")
MAX_ARGUMENTS = 16


@functools.cache
def compiler() -> str | None:
    """The C++ compiler: $CXX, else the first of the usual names; None where there is none."""
    return next(filter(None, map(shutil.which, filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++"]))), None)


def require_compiler() -> str:
    """The compiler, or the test is skipped with the reason in pytest's summary."""
    found = compiler()
    if found is None:
        pytest.skip("NOT TESTED: the CUDA kernels on the CPU, because no C++ compiler is here (CXX, c++, g++, clang++)")
    return found


def cache_folder(config: pytest.Config) -> Path:
    """Where libraries are kept between runs."""
    return Path(config.cache.mkdir("cuda_shim")) if config.cache else Path(config.rootpath, ".pytest_cache")


_ONE_LAUNCH = threading.Lock()
"""The shim keeps the state of a launch in static variables; two engines may have loaded the same file."""


class CompilationFailed(Exception):
    """The compiler's own words."""


class Kernel:
    """One kernel of a library."""

    def __init__(self, library: Library, name: str, registers: int = 80) -> None:
        widths = (ctypes.c_int * MAX_ARGUMENTS)()
        self.name = name
        self.registers = registers
        self._library = library
        self._number = library.handle.shim_find(name.encode(), widths)
        if self._number < 0:
            raise CompilationFailed(f"no kernel {name}")
        self.widths = [width for width in widths if width]
        """Bytes of each parameter."""

    def __call__(self, groups: int, size: int, arguments: Sequence[np.generic], order: int = 0) -> None:
        """Runs it now. Raises AssertionError where a device would fail, hang, or read beyond an argument."""
        assert [argument.nbytes for argument in arguments] == self.widths, f"arguments of {self.name}: {arguments}"
        limit = self._library.limits[self.name]
        assert 0 < size <= limit, f"{self.name} was launched with groups of {size}, it is built for {limit}"
        assert groups > 0, f"{self.name} was launched with {groups} groups"
        values = [np.array(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        with _ONE_LAUNCH:
            failure = self._library.handle.shim_launch(self._number, groups, size, order, pointers)
        assert failure is None, f"{self.name}: {failure.decode()}"


class Library:
    """The kernels for one set of options."""

    def __init__(self, source: str, options: Sequence[str], names: Sequence[str], folder: Path) -> None:
        self.limits = group_limits(source, options)
        path = _compile(source, options, names, folder)
        self.handle = ctypes.CDLL(str(path))
        self.handle.shim_launch.restype = ctypes.c_char_p
        self.handle.shim_launch.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p]
        self.kernels = {name: Kernel(self, name) for name in names}


def group_limits(source: str, options: Sequence[str]) -> dict[str, int]:
    """The work-group size that each kernel is built for, from its KERNEL(...)."""
    values = dict(option[2:].split("=", 1) for option in options if option.startswith("-D"))
    found = re.findall(r"^KERNEL\((\w+)\) void (\w+)\(", source, re.MULTILINE)
    sizes = {name: values.get(size, size) for size, name in found}
    return {name: int(size) for name, size in sizes.items() if size.isdecimal()}


def _compile(source: str, options: Sequence[str], names: Sequence[str], folder: Path) -> Path:
    program = require_compiler()
    entries = ",".join(f"ENTRY({name})" for name in names)
    flags = [*FLAGS, *options, f"-DKERNEL_ENTRIES={entries}"]
    key = "\0".join([program, source, SHIM.read_text(), *flags])
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    path = folder / f"{digest}.so"
    if path.exists():
        return path
    work = folder / f"{digest}-{os.getpid()}"
    work.mkdir(parents=True, exist_ok=True)
    try:
        (work / "labels.cl").write_text(source)
        command = [program, *flags, f"-I{work}", "-o", str(work / "library.so"), str(SHIM)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise CompilationFailed(done.stderr[-4000:])
        os.replace(work / "library.so", path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return path
