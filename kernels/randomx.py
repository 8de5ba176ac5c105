"""RandomX through the C interface of an installed shared library, called so that the interpreter lock is released.

The library is the system's `librandomx`, else the one inside the PyPI package `cyrx`. Everything but k2pow
works without it. Before a library is used it has to give hashes that are known. Light mode keeps a 256 MiB
cache, full mode a data set of 2,080 MiB that gives the same hashes about ten times faster; either is shared by
one virtual machine a thread. All classes may be used from any thread; memory that was closed is given back when
its last machine is. Specified in protocol 01-post, section 4.

More than 400 lines, because memory, its building and the machines over it share one rule of who frees what.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import itertools
import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernels.labels.memory import available_memory

from .errors import KernelError, MemoryShortage, Stopped

FLAG_LARGE_PAGES = 1
FLAG_FULL_MEM = 4
HASH_SIZE = 32
DATASET_BYTES = 2181038080
CACHE_BYTES = 268435456

KNOWN = {
    b"test key 000": (b"This is a test", "639183aae1bf4c9a35884cb46b09cad9175f04efd7684e7262a0ac1c2f0b4e3f"),
    b"spacemesh-randomx-cache-key": (bytes(48), "42f1af4705a986a364efcdf9d0c98cde07d5d650fc717b5fc6d38dfbdf2c20ef"),
}
"""Hashes that every library has to give: key -> input and its hash, from RandomX's own tests and from the network."""

SYSTEM_NAMES = ("librandomx.so.0", "librandomx.so", "librandomx.dylib", "/opt/homebrew/lib/librandomx.dylib")
"""How systems call it; the loader looks in its usual places for those without a path."""

PIECE_ITEMS = 1 << 15
"""Items of the data set that a thread makes at once: less than a tenth of a second, so that a stop is quick."""

_FENV_BYTES = 64
"""At least the size of fenv_t of <fenv.h>: 32 on x86-64 Linux, less elsewhere."""

_LOOK_SECONDS = 0.05
"""How often a builder that waits looks whether it shall stop."""


NO_LARGE_PAGES = (
    "the system has no large pages left for RandomX, so it uses ordinary ones and is slower; set some aside "
    "(sysctl -w vm.nr_hugepages=1280 for the fast mode, 160 for the light one)"
)
"""For those who asked for large pages, where `Memory.large_pages` is false."""


class RandomXUnavailable(KernelError):
    """There is no RandomX library on this machine, or it computes wrong hashes."""


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
        "no RandomX library was found, so k2pow cannot be computed or checked; everything else works. Install your "
        "system's librandomx (Debian and Ubuntu: apt-get install librandomx0), or run: pip install cyrx"
    )


def _candidates() -> list[str | Path]:
    """Where a library may be: the system's first, which others keep and mend."""
    package = importlib.util.find_spec("cyrx")
    folders = (package.submodule_search_locations if package else None) or ()
    inside = itertools.chain.from_iterable(sorted(Path(folder).glob("_cyrx*.so")) for folder in folders)
    return [*SYSTEM_NAMES, *inside]


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


def memory_needed(*, full: bool) -> int:
    """Bytes while the cache (light) or the data set (full) is built; later the data set stands alone."""
    return CACHE_BYTES + (DATASET_BYTES if full else 0)


def fits(*, full: bool, large_pages: bool = False) -> bool:
    """Whether there is memory for the cache (light) or the data set (full) now, in ordinary pages or in large ones."""
    needed = memory_needed(full=full)
    return available_memory() >= needed or (large_pages and free_large_pages() >= needed)


def free_large_pages() -> int:
    """Bytes that the machine's owner has set aside in large pages and that nobody uses."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return figures["HugePages_Free"] * figures["Hugepagesize"] << 10
    except (OSError, ValueError, KeyError, IndexError):
        return 0


class Memory:
    """The cache (light) or the data set (full) of one key, shared by virtual machines. Close it when done.

    Making it takes as long as building: about half a second for the cache, and for the data set half a minute
    divided by `threads`. `progress` is called with the share that is built. Raises `MemoryShortage` when it does
    not fit, `Stopped` within a fraction of a second after `stop` was set, `RandomXUnavailable` without a library.
    """

    def __init__(
        self,
        key: bytes,
        *,
        full: bool = False,
        large_pages: bool = False,
        threads: int = 1,
        stop: threading.Event | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        lib = library()
        self.full = full
        self.flags = lib.randomx_get_flags() | (FLAG_FULL_MEM if full else 0)
        self.large_pages = large_pages
        """Whether all of it is in large pages; where they were asked for and not allowed, it is in ordinary ones."""
        self._lock = threading.Lock()
        self._machines = 0
        self._closed = False
        self._cache: Any = None
        self._dataset: Any = None
        try:
            # the address space first, all of it: this takes no time, and tells whether it fits
            self._cache = self._allocate("cache", memory_needed(full=full))
            if full:
                self._dataset = self._allocate("dataset", DATASET_BYTES)
        except MemoryShortage:
            self._release()
            raise
        work = _Work(stop, self._release)
        work.run(1, lambda _: lib.randomx_init_cache(self._cache, key, len(key)))
        self._check(lib, key, self.flags & ~FLAG_FULL_MEM)
        if full:
            self._build(lib, threads, work, progress)
            self._check(lib, key, self.flags)
        progress(1.0)

    def _check(self, lib: Any, key: bytes, flags: int) -> None:
        """Hashes what is known for this key. Raises RandomXUnavailable where something else comes out."""
        if key not in KNOWN:
            return
        data, expected = KNOWN[key]
        vm = lib.randomx_create_vm(flags, self._cache, self._dataset if flags & FLAG_FULL_MEM else None)
        if not vm:
            return  # said where a machine is asked for, with the reasons that there are
        found = _hashed(lib, vm, data).hex()
        lib.randomx_destroy_vm(vm)
        if found != expected:
            self._release()
            raise RandomXUnavailable(
                f"the RandomX library {lib._name} computes wrong hashes ({found} where {expected} is right), "
                "so k2pow is not computed or checked with it. Remove it, or install another version of it."
            )

    def _allocate(self, kind: str, needed: int) -> Any:
        """`needed` bytes are still to be filled if large pages, which were set aside for this, are not to be had."""
        function = getattr(library(), f"randomx_alloc_{kind}")
        handle = function(self.flags | FLAG_LARGE_PAGES) if self.large_pages else None
        if handle:
            return handle
        self.large_pages = False
        available = available_memory()
        handle = function(self.flags) if available >= needed else None
        if not handle:
            raise MemoryShortage(needed, available, f"RandomX in {'fast' if self.full else 'light'} mode")
        _ask_for_large_pages(kind, handle)
        return handle

    def _build(self, lib: Any, threads: int, work: _Work, progress: Callable[[float], None]) -> None:
        """Fills the data set with all threads, then gives the cache back."""
        count = lib.randomx_dataset_item_count()
        starts = iter(range(0, count, PIECE_ITEMS))
        done = 0
        lock = threading.Lock()

        def fill(_: int) -> None:
            nonlocal done
            while not work.stopping():
                with lock:
                    first = next(starts, None)
                if first is None:
                    return
                size = min(PIECE_ITEMS, count - first)
                lib.randomx_init_dataset(self._dataset, self._cache, first, size)
                with lock:
                    done += size
                    progress(done / count)

        work.run(threads, fill)
        lib.randomx_release_cache(self._cache)
        self._cache = None

    def machine(self) -> Machine:
        """A virtual machine over this memory, for one thread at a time. Raises KernelError after `close`."""
        return Machine(self)

    def create_vm(self) -> Any:
        """The handle of a new virtual machine, to be given to `destroy_vm`."""
        with self._lock:
            if self._closed:
                raise KernelError("the RandomX memory was closed; make it anew")
            create, memory = library().randomx_create_vm, (self._cache, self._dataset)
            vm = create(self.flags | FLAG_LARGE_PAGES, *memory) if self.large_pages else None
            vm = vm or create(self.flags, *memory)
            if not vm:
                raise KernelError(
                    "RandomX could not create a virtual machine: memory is short, or code may not be generated"
                )
            self._machines += 1
        return vm

    def destroy_vm(self, vm: Any) -> None:
        """Ends a virtual machine, and the memory with it when it was closed and this is the last one."""
        library().randomx_destroy_vm(vm)
        with self._lock:
            self._machines -= 1
            last = self._closed and not self._machines
        if last:
            self._release()

    def close(self) -> None:
        """Gives the memory back, as soon as the last machine over it is closed; no new ones can be made."""
        with self._lock:
            self._closed = True
            unused = not self._machines
        if unused:
            self._release()

    def _release(self) -> None:
        lib = library()
        with self._lock:
            self._closed = True
            dataset, cache = self._dataset, self._cache
            self._dataset = self._cache = None
        if dataset:
            lib.randomx_release_dataset(dataset)
        if cache:
            lib.randomx_release_cache(cache)


def _ask_for_large_pages(kind: str, handle: Any) -> None:
    """Lets the system back ordinary memory with large pages where it can: it reads at random, a third faster then.

    Needs no rights, and nothing depends on it: a system that does not know this, or an old library, is left as it is.
    """
    place = getattr(library(), f"randomx_get_{kind}_memory", None)
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if place is None or advice is None:
        return
    size = {"cache": CACHE_BYTES, "dataset": DATASET_BYTES}[kind]
    place.restype, place.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    start = place(handle)
    first, end = -(-start // mmap.PAGESIZE), (start + size) // mmap.PAGESIZE
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    madvise(first * mmap.PAGESIZE, (end - first) * mmap.PAGESIZE, advice)


class _Work:
    """Threads inside the library, which cannot be told to stop: whoever waits for them can."""

    def __init__(self, stop: threading.Event | None, abandon: Callable[[], None]) -> None:
        self._stop = stop
        self._abort = threading.Event()
        self._abandon = abandon
        """Frees what the threads work on; called when nobody waits for them any more and the last one has ended."""

    def stopping(self) -> bool:
        """Whether threads should take no more work."""
        return self._abort.is_set() or (self._stop is not None and self._stop.is_set())

    def run(self, count: int, work: Callable[[int], None]) -> None:
        """Runs `work(number)` in threads and waits for them. Raises `Stopped` soon after `stop` was set.

        When it is, when the wait is interrupted, or where the system gives no more threads (RuntimeError), those that
        are still in the library are left alone.
        """
        lock = threading.Lock()
        ended = threading.Event()
        left, abandoned = count, False
        failures: list[BaseException] = []

        def one(number: int) -> None:
            nonlocal left
            try:
                work(number)
            except BaseException as error:
                failures.append(error)
                self._abort.set()
            with lock:
                left -= 1
                free = abandoned and not left
            if free:
                self._abandon()
            if not left:
                ended.set()

        started = 0
        try:
            for number in range(count):
                threading.Thread(target=one, args=(number,), name="randomx", daemon=True).start()
                started += 1
            while not ended.wait(_LOOK_SECONDS) and not self.stopping():
                pass
            if failures:
                raise failures[0]
            if self.stopping():
                raise Stopped("building RandomX's memory was stopped")
        except BaseException:
            self._abort.set()
            with lock:
                left -= count - started  # the system may have given fewer threads than were asked for
                abandoned = True
                free = not left
            if free:
                self._abandon()
            raise


@contextmanager
def _own_float_environment() -> Iterator[None]:
    """Gives the thread its floating-point environment back: programs of RandomX leave theirs to it.

    They choose rounding modes, and flush numbers near zero to zero; every float that Python reads or computes
    afterwards in this thread would be a bit off.
    """
    libm, kept = _libm(), ctypes.create_string_buffer(_FENV_BYTES)
    libm.fegetenv(kept)
    try:
        yield
    finally:
        libm.fesetenv(kept)


@functools.cache
def _libm() -> Any:
    """What knows the floating-point environment: Python itself, which needs the library; else wherever that is."""
    loaded = ctypes.CDLL(None)
    if hasattr(loaded, "fegetenv"):
        return loaded
    from ctypes.util import find_library  # it starts other programs to find one

    return ctypes.CDLL(find_library("m"))


def _hashed(lib: Any, vm: Any, data: bytes) -> bytes:
    out = ctypes.create_string_buffer(HASH_SIZE)
    with _own_float_environment():
        lib.randomx_calculate_hash(vm, data, len(data), out)
    return out.raw


class Machine:
    """One RandomX virtual machine: one thread at a time."""

    def __init__(self, memory: Memory) -> None:
        self._lib = library()
        self._memory = memory
        self._vm = memory.create_vm()

    def hash(self, data: bytes) -> bytes:
        """The 32-byte RandomX hash."""
        return _hashed(self._lib, self._vm, data)

    def first(self, data: bytes) -> None:
        """Begins a chain of hashes: the next input is prepared while the last one is finished."""
        with _own_float_environment():
            self._lib.randomx_calculate_hash_first(self._vm, data, len(data))

    def next(self, data: bytes) -> bytes:
        """The hash of the input before, and begins with the next one."""
        out = ctypes.create_string_buffer(HASH_SIZE)
        with _own_float_environment():
            self._lib.randomx_calculate_hash_next(self._vm, data, len(data), out)
        return out.raw

    def close(self) -> None:
        """Gives the machine's memory back."""
        vm, self._vm = self._vm, None
        if vm:
            self._memory.destroy_vm(vm)


class MachinePool:
    """Virtual machines over one memory, lent to threads; made when they are needed and kept."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._free: list[Machine] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def lent(self) -> Iterator[Machine]:
        """A machine for the calling thread. Raises KernelError after `close`."""
        with self._lock:
            machine = self._free.pop() if self._free else None
        machine = machine or self.memory.machine()
        try:
            yield machine
        finally:
            with self._lock:
                kept = not self._closed
                if kept:
                    self._free.append(machine)
            if not kept:
                machine.close()

    def hash(self, data: bytes) -> bytes:
        """The 32-byte RandomX hash, from any thread."""
        with self.lent() as machine:
            return machine.hash(data)

    def close(self) -> None:
        """Gives machines and memory back; those that are lent now, when they return."""
        with self._lock:
            self._closed = True
            idle, self._free = self._free, []
        self.memory.close()
        for machine in idle:
            machine.close()
