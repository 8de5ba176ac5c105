"""NVIDIA's compiler and disassembler out of their wheels, without a graphics card: machine code and what it takes."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernels.gpu.layout import source as kernel_source


class ToolMissing(Exception):
    """A wheel is not installed. The message names it."""


class CompilationFailed(Exception):
    """The compiler's words."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one kernel takes of a multiprocessor."""

    registers: int
    stack_bytes: int
    spill_bytes: int
    """Stores and loads together."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Machine code of all kernels for one architecture."""

    architecture: str
    ptx: str
    cubin: bytes
    resources: Mapping[str, Resources]


class Nvrtc:
    """NVIDIA's run-time compiler."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"
        self._library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._library.nvrtcGetSupportedArchs(numbers)
        self.architectures = tuple(str(number) for number in numbers)

    def compile(self, architecture: str, options: Sequence[str], source: str | None = None) -> Compiled:
        """PTX and machine code, with the options that CuPy adds. Raises `CompilationFailed`."""
        words = [
            f"--gpu-architecture=sm_{architecture}",
            "--ptxas-options=-v",
            "--device-as-default-execution-space",
            "-ftz=true",
            *options,
        ]
        program = ctypes.c_void_p()
        text = (source if source is not None else kernel_source()).encode()
        self._library.nvrtcCreateProgram(ctypes.byref(program), text, b"labels.cu", 0, None, None)
        try:
            array = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
            failed = self._library.nvrtcCompileProgram(program, len(words), array)
            log = self._get(program, "ProgramLog").decode(errors="replace").rstrip("\0")
            if failed:
                raise CompilationFailed(f"sm_{architecture} {' '.join(options)}: {log.strip()}")
            ptx = self._get(program, "PTX").decode().rstrip("\0")
            return Compiled(architecture, ptx, self._get(program, "CUBIN"), resources_of(log))
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        getattr(self._library, f"nvrtcGet{what}")(program, data)
        return data.raw


def resources_of(log: str) -> dict[str, Resources]:
    """From what the assembler says with -v."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        name = part.split("'", 1)[0]
        stack, stores, loads = map(
            int, _only(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        )
        registers = int(_only(r"Used (\d+) registers", part)[0])
        found[name] = Resources(registers, stack, stores + loads)
    return found


def _only(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise CompilationFailed(f"the assembler's report has no {pattern!r}: {text[:200]}")
    return match.groups()


def _wheels() -> list[Path]:
    """Folders of NVIDIA's wheels."""
    spec = importlib.util.find_spec("nvidia")
    return [Path(base) for base in (spec.submodule_search_locations or [])] if spec is not None else []


@functools.cache
def compilers() -> tuple[Nvrtc, ...]:
    """Every NVRTC that is installed as a wheel, the newest first. Raises `ToolMissing` for none."""
    files = sorted(file for base in _wheels() for file in base.glob("*/lib/libnvrtc.so.*[0-9]"))
    if not files:
        raise ToolMissing("no NVRTC: make install brings it, or: pip install nvidia-cuda-nvrtc")
    found = [Nvrtc(file) for file in files]
    return tuple(sorted(found, key=lambda one: [-int(part) for part in one.version.split(".")]))


def compiler(architecture: str) -> Nvrtc:
    """The newest that knows the architecture. Raises `ToolMissing`."""
    for one in compilers():
        if architecture in one.architectures:
            return one
    versions = ", ".join(one.version for one in compilers())
    raise ToolMissing(
        f"NVRTC {versions} does not know sm_{architecture}; older ones: pip install nvidia-cuda-nvrtc-cu12"
    )


@functools.cache
def disassembler() -> Path:
    """Raises `ToolMissing`."""
    found = [file for base in _wheels() for file in base.glob("*/bin/nvdisasm")]
    on_path = shutil.which("nvdisasm")
    if not found and on_path is None:
        raise ToolMissing("no nvdisasm: make install brings it, or: pip install nvidia-cuda-nvdisasm")
    return found[0] if found else Path(str(on_path))
