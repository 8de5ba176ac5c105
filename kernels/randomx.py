"""RandomX through the C interface of an installed shared library, called so that the interpreter lock is released.

The library is the one inside the PyPI package `cyrx`, else the system's `librandomx`. Everything but k2pow
works without it. Light mode keeps a 256 MiB cache, full mode a data set of 2,080 MiB that gives the same
hashes about ten times faster; either is shared by one virtual machine a thread.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .errors import KernelError

FLAG_LARGE_PAGES = 1
FLAG_FULL_MEM = 4
HASH_SIZE = 32
DATASET_BYTES = 2181038080
CACHE_BYTES = 268435456


class RandomXUnavailable(KernelError):
    """There is no RandomX library on this machine."""


@functools.cache
def library() -> Any:
    """The loaded library. Raises `RandomXUnavailable` with what to install."""
    for path in _candidates():
        try:
            loaded = ctypes.CDLL(str(path))
            loaded.randomx_get_flags  # noqa: B018 - asks for the symbol
        except (OSError, AttributeError):
            continue
        return _declare(loaded)
    raise RandomXUnavailable(
        "no RandomX library was found, so k2pow cannot be computed or checked; run: pip install cyrx, or install your "
        "system's librandomx"
    )


def _candidates() -> list[str | Path]:
    found: list[str | Path] = []
    package = importlib.util.find_spec("cyrx")
    for folder in (package.submodule_search_locations if package else None) or ():
        found.extend(sorted(Path(folder).glob("_cyrx*.so")))
    system = ctypes.util.find_library("randomx")
    return [*found, *([system] if system else [])]


def _declare(loaded: Any) -> Any:
    pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "randomx_get_flags": (ctypes.c_int, []),
        "randomx_alloc_cache": (pointer, [ctypes.c_int]),
        "randomx_init_cache": (None, [pointer, text, size]),
        "randomx_release_cache": (None, [pointer]),
        "randomx_alloc_dataset": (pointer, [ctypes.c_int]),
        "randomx_dataset_item_count": (ctypes.c_ulong, []),
        "randomx_init_dataset": (None, [pointer, pointer, ctypes.c_ulong, ctypes.c_ulong]),
        "randomx_release_dataset": (None, [pointer]),
        "randomx_create_vm": (pointer, [ctypes.c_int, pointer, pointer]),
        "randomx_destroy_vm": (None, [pointer]),
        "randomx_calculate_hash": (None, [pointer, pointer, size, pointer]),
        "randomx_calculate_hash_first": (None, [pointer, pointer, size]),
        "randomx_calculate_hash_next": (None, [pointer, pointer, size, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


class Memory:
    """The cache (light) or the data set (full) of one key, shared by virtual machines. Close it when done."""

    def __init__(self, key: bytes, *, full: bool = False, large_pages: bool = False, threads: int = 1) -> None:
        lib = library()
        self.full = full
        self.flags = lib.randomx_get_flags() | (FLAG_FULL_MEM if full else 0)
        pages = FLAG_LARGE_PAGES if large_pages else 0
        self._dataset = self._cache = None
        self._cache = lib.randomx_alloc_cache(self.flags | pages) or lib.randomx_alloc_cache(self.flags)
        if not self._cache:
            raise KernelError(f"RandomX could not allocate its cache of {CACHE_BYTES >> 20} MiB: memory is short")
        lib.randomx_init_cache(self._cache, key, len(key))
        if full:
            self._dataset = lib.randomx_alloc_dataset(self.flags | pages) or lib.randomx_alloc_dataset(self.flags)
            if not self._dataset:
                self.close()
                raise KernelError(
                    f"RandomX could not allocate its data set of {DATASET_BYTES >> 20} MiB: memory is short"
                )
            self._build(lib, threads)

    def _build(self, lib: Any, threads: int) -> None:
        """Fills the data set with all threads, then gives the cache back."""
        count = lib.randomx_dataset_item_count()
        bounds = [count * part // threads for part in range(threads + 1)]

        def fill(part: int) -> None:
            lib.randomx_init_dataset(self._dataset, self._cache, bounds[part], bounds[part + 1] - bounds[part])

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, range(threads)))
        lib.randomx_release_cache(self._cache)
        self._cache = None

    def machine(self) -> Machine:
        """A virtual machine over this memory, for one thread at a time."""
        return Machine(self)

    def create_vm(self) -> Any:
        """The handle of a new virtual machine."""
        vm = library().randomx_create_vm(self.flags, self._cache, self._dataset)
        if not vm:
            raise KernelError(
                "RandomX could not create a virtual machine: memory is short, or code may not be generated"
            )
        return vm

    def close(self) -> None:
        """Gives the memory back; no machine may be used afterwards."""
        lib = library()
        if self._dataset:
            lib.randomx_release_dataset(self._dataset)
        if self._cache:
            lib.randomx_release_cache(self._cache)
        self._dataset = self._cache = None


class Machine:
    """One RandomX virtual machine: one thread at a time."""

    def __init__(self, memory: Memory) -> None:
        self._lib = library()
        self._vm = memory.create_vm()
        self._memory = memory  # keeps it alive

    def hash(self, data: bytes) -> bytes:
        """The 32-byte RandomX hash."""
        out = ctypes.create_string_buffer(HASH_SIZE)
        self._lib.randomx_calculate_hash(self._vm, data, len(data), out)
        return out.raw

    def first(self, data: bytes) -> None:
        """Begins a chain of hashes: the next input is prepared while the last one is finished."""
        self._lib.randomx_calculate_hash_first(self._vm, data, len(data))

    def next(self, data: bytes) -> bytes:
        """The hash of the input before, and begins with the next one."""
        out = ctypes.create_string_buffer(HASH_SIZE)
        self._lib.randomx_calculate_hash_next(self._vm, data, len(data), out)
        return out.raw

    def close(self) -> None:
        """Gives the machine's memory back."""
        if self._vm:
            self._lib.randomx_destroy_vm(self._vm)
            self._vm = None


class MachinePool:
    """Virtual machines over one memory, lent to threads; made when they are needed and kept."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._free: list[Machine] = []
        self._lock = threading.Lock()

    def hash(self, data: bytes) -> bytes:
        """The 32-byte RandomX hash, from any thread."""
        with self._lock:
            machine = self._free.pop() if self._free else None
        machine = machine or self.memory.machine()
        try:
            return machine.hash(data)
        finally:
            with self._lock:
                self._free.append(machine)

    def close(self) -> None:
        """Destroys the machines and gives their memory back."""
        while self._free:
            self._free.pop().close()
        self.memory.close()
