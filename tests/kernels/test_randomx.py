"""RandomX through its C interface, and the k2pow search over it: known answers, threads, stops, memory."""

from __future__ import annotations

import ctypes.util
import platform
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import randomx
from kernels.devices.types import Stopped
from kernels.errors import KernelError, MemoryShortage
from protocol.post.proof import RANDOMX_KEY, pow_input, scale_pow_difficulty
from prover.errors import Interrupted
from prover.post.proof import pow as k2pow
from prover.post.proof.pow import Search

DIFFICULTY = bytes.fromhex("0fff" + "ff" * 30)
LOWEST = 11
"""Known answer 15 of protocol 01-post: group 7, node 06 × 32."""
ZEROS_HASH = "42f1af4705a986a364efcdf9d0c98cde07d5d650fc717b5fc6d38dfbdf2c20ef"


@pytest.fixture(scope="module")
def light() -> Iterator[randomx.Memory]:
    memory = randomx.Memory(RANDOMX_KEY)
    yield memory
    memory.close()


def search(memory: randomx.Memory, threads: int, difficulty: bytes = DIFFICULTY, node: int = 6) -> Search:
    return Search(memory, 7, b"hello!!!" + bytes(24), bytes([node]) * 32, difficulty, threads=threads)


def test_known_answers(light: randomx.Memory) -> None:
    machine = light.machine()
    assert machine.hash(bytes(48)).hex() == ZEROS_HASH
    assert machine.hash(b"hello world").hex() == "60f86d0a1deb35d2a7b308fb1050b656493b32199715ad831c027b669ad4e5d8"
    machine.first(bytes(48))
    assert machine.next(b"hello world").hex() == ZEROS_HASH
    assert machine.next(b"").hex() == "60f86d0a1deb35d2a7b308fb1050b656493b32199715ad831c027b669ad4e5d8"
    machine.close()
    other = randomx.Memory(b"test key 000")
    machine = other.machine()
    assert machine.hash(b"This is a test").hex() == "639183aae1bf4c9a35884cb46b09cad9175f04efd7684e7262a0ac1c2f0b4e3f"
    machine.close()
    other.close()


def test_a_hash_leaves_the_floats_of_its_thread_alone(light: randomx.Memory) -> None:
    """Rounding, and numbers too near to zero for a whole mantissa, which RandomX's programs take for zero."""
    machine = light.machine()
    machine.first(b"0")
    for number in range(20):
        machine.next(b"%d" % number)
        assert float("2.3611832414348223e+21").hex() == "0x1.fffffffffffffp+70", f"after {number} hashes"
        assert float("2.2250738585072014e-308") / 2 > 0, f"after {number} hashes"
        assert float("5e-324") * 1.0 > 0, f"after {number} hashes"
    machine.hash(b"another")
    assert float("5e-324") * 1.0 > 0
    machine.close()


def test_the_float_environment_is_found_without_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for a library starts ldconfig, or a compiler; where Python does not bring it along, that is done."""
    asked: list[str] = []
    real, find = randomx.ctypes.CDLL, ctypes.util.find_library
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: asked.append(name) or find(name))
    randomx._libm.cache_clear()
    try:
        assert randomx._libm().fegetenv and asked == []
        monkeypatch.setattr(randomx.ctypes, "CDLL", lambda name: object() if name is None else real(name))
        randomx._libm.cache_clear()
        assert randomx._libm().fegetenv and asked == ["m"]
    finally:
        randomx._libm.cache_clear()


def test_a_rounding_mode_that_the_thread_chose_is_kept(light: randomx.Memory) -> None:
    upward, libm, machine = 0x800, randomx._libm(), light.machine()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("NOT TESTED: the number of the rounding mode is that of x86")
    before = libm.fegetround()
    libm.fesetround(upward)
    try:
        machine.first(b"0")
        machine.next(b"1")
        machine.hash(b"2")
        assert libm.fegetround() == upward
    finally:
        libm.fesetround(before)
        machine.close()


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_the_lowest_solution_whatever_the_threads(light: randomx.Memory, threads: int) -> None:
    found = search(light, threads)
    assert found.run() == LOWEST
    assert found.hashes >= LOWEST + 1
    assert search(light, threads, node=1).run() == 33
    machine = light.machine()
    assert machine.hash(pow_input(LOWEST, 7, b"hello!!!" + bytes(24), b"\x06" * 32)) < DIFFICULTY
    machine.close()


def test_a_solution_at_the_end_of_a_range(light: randomx.Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 3, 12):
        monkeypatch.setattr(k2pow, "RANGE", size)
        assert search(light, 2).run() == LOWEST


class Luck:
    """Machines that hash with BLAKE3, in threads that run at uneven paces."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.made = 0

    def machine(self) -> Luck:
        self.made += 1
        pace = random.Random(self.seed + self.made).choice((0.0, 0.0001, 0.001))
        copy = Luck(self.seed)
        copy.pause = lambda: time.sleep(pace)  # type: ignore[attr-defined]
        return copy

    def first(self, data: bytes) -> None:
        self.data = data

    def next(self, data: bytes) -> bytes:
        before, self.data = self.data, data
        self.pause()  # type: ignore[attr-defined]
        return blake3(before + self.seed.to_bytes(8, "little")).digest()

    def close(self) -> None:
        """Nothing is held."""


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1 << 60),
    threads=st.integers(1, 6),
    rarity=st.sampled_from([1, 3, 6, 12]),
    size=st.sampled_from([1, 2, 3, 5]),
)
def test_no_lower_solution_is_missed(seed: int, threads: int, rarity: int, size: int) -> None:
    difficulty = ((1 << 256) // rarity - 1).to_bytes(32, "big")
    place = (9, b"c" * 32, b"n" * 32)
    lowest = next(
        power
        for power in range(1 << 20)
        if blake3(pow_input(power, *place) + seed.to_bytes(8, "little")).digest() < difficulty
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(k2pow, "RANGE", size)
        found = Search(Luck(seed), *place, difficulty, threads=threads)  # type: ignore[arg-type]
        assert found.run() == lowest


def test_a_scaled_difficulty_is_what_is_searched_for(light: randomx.Memory) -> None:
    assert search(light, 2, scale_pow_difficulty(b"\xff" * 32, 1)).run() == 0


def test_progress_is_told_and_a_stop_ends_it_at_once(light: randomx.Memory) -> None:
    told: list[int] = []

    def progress(hashes: int) -> None:
        told.append(hashes)
        endless.stop()

    endless = Search(light, 0, bytes(32), bytes(32), bytes(32), threads=2, progress=progress)
    with pytest.raises(Interrupted):
        endless.run()
    assert told[0] >= k2pow.RANGE
    assert told[0] <= endless.hashes <= told[-1] + 2, "both threads end with the hash that they are at"


def test_a_rate_is_measured(light: randomx.Memory) -> None:
    assert k2pow.rate(light, 1, 0.5) > 0


def test_a_pool_lends_machines_to_many_threads() -> None:
    pool = randomx.MachinePool(randomx.Memory(RANDOMX_KEY))
    with ThreadPoolExecutor(4) as threads:
        assert {digest.hex() for digest in threads.map(pool.hash, [bytes(48)] * 12)} == {ZEROS_HASH}
    with pool.lent() as machine:
        pool.close()
        assert machine.hash(bytes(48)).hex() == ZEROS_HASH, "a machine that is lent keeps its memory"
    with pytest.raises(KernelError, match="closed"):
        pool.hash(b"")


def test_memory_is_given_back_with_its_last_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[object] = []
    memory = randomx.Memory(RANDOMX_KEY)
    real = randomx.library().randomx_release_cache
    monkeypatch.setattr(randomx.library(), "randomx_release_cache", lambda cache: (released.append(cache), real(cache)))
    one, other = memory.machine(), memory.machine()
    one.close()
    one.close()
    memory.close()
    memory.close()
    assert not released
    assert other.hash(bytes(48)).hex() == ZEROS_HASH
    with pytest.raises(KernelError, match="closed"):
        memory.machine()
    other.close()
    assert len(released) == 1


def test_building_ends_soon_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are still in the library free what they work on when they come back."""
    freed = threading.Event()
    real = randomx.library().randomx_release_dataset
    monkeypatch.setattr(randomx.library(), "randomx_release_dataset", lambda data: (real(data), freed.set()))
    if randomx.available_memory() < randomx.memory_needed(full=True):
        pytest.skip("NOT CHECKED: there is no memory for the data set")
    stop, shares = threading.Event(), []

    def progress(share: float) -> None:
        shares.append(share)
        stop.set()

    with pytest.raises(Stopped):
        randomx.Memory(RANDOMX_KEY, full=True, threads=2, stop=stop, progress=progress)
    assert freed.wait(30)
    assert 0 < shares[0] < 0.1


def test_a_stop_before_the_cache_is_ready() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        randomx.Memory(RANDOMX_KEY, stop=stop)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_where_the_system_gives_too_few_threads_the_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    """Once, and not before the threads that were started have left it."""
    start, freed, go = threading.Thread.start, list[int](), threading.Event()
    started: list[threading.Thread] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "randomx":
            if len(started) == allowed:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    work = randomx._Work(None, lambda: freed.append(allowed))
    with pytest.raises(RuntimeError, match="new thread"):
        work.run(3, lambda number: go.wait(30) or None)
    assert len(freed) == (allowed == 0)
    go.set()
    for thread in started:
        thread.join(30)
    assert freed == [allowed]


def test_a_cache_that_gets_no_thread_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    released: list[object] = []
    real = randomx.library().randomx_release_cache
    monkeypatch.setattr(randomx.library(), "randomx_release_cache", lambda cache: (released.append(cache), real(cache)))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        randomx.Memory(RANDOMX_KEY)
    assert len(released) == 1


def test_what_does_not_fit_is_refused_before_it_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomx, "available_memory", lambda: 1 << 30)
    with pytest.raises(MemoryShortage, match=r"fast mode needs 2,336 MiB, 1,024 MiB are available"):
        randomx.Memory(RANDOMX_KEY, full=True)
    monkeypatch.setattr(randomx, "available_memory", lambda: 1 << 20)
    with pytest.raises(MemoryShortage, match=r"light mode needs 256 MiB"):
        randomx.Memory(RANDOMX_KEY)


def test_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomx, "available_memory", lambda: 1 << 30)
    monkeypatch.setattr(randomx, "free_large_pages", lambda: 3 << 30)
    assert randomx.fits(full=False) and not randomx.fits(full=True)
    assert randomx.fits(full=True, large_pages=True)
    monkeypatch.setattr(randomx, "free_large_pages", lambda: 2 << 30)
    assert not randomx.fits(full=True, large_pages=True)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("MemTotal:  9 kB\nHugePages_Free:     3\nHugepagesize:    2048 kB\n", 6 << 20),
        ("MemTotal:  9 kB\n", 0),
        ("HugePages_Free:\nHugepagesize: 2048 kB\n", 0),
        ("", 0),
    ],
)
def test_large_pages_that_are_set_aside_are_counted(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setattr(randomx.Path, "read_text", lambda self: text)
    assert randomx.free_large_pages() == size


def test_memory_is_backed_by_large_pages_where_the_system_can() -> None:
    state = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not state.exists() or "[never]" in state.read_text():
        pytest.skip("NOT CHECKED: this system gives no large pages unasked")
    if not hasattr(randomx.library(), "randomx_get_cache_memory"):
        pytest.skip("NOT CHECKED: this old library does not tell where its memory is")
    before = _in_large_pages()
    memory = randomx.Memory(RANDOMX_KEY)
    try:
        assert _in_large_pages() - before > randomx.CACHE_BYTES // 8, "a machine may have few of them free"
    finally:
        memory.close()


def _in_large_pages() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages:"))


def test_an_old_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def __getattr__(self, name: str) -> object:
            if name.startswith("randomx_get_cache_memory"):
                raise AttributeError(name)
            return getattr(real, name)

    real = randomx.library()
    monkeypatch.setattr(randomx, "library", Old)
    memory = randomx.Memory(RANDOMX_KEY)
    machine = memory.machine()
    assert machine.hash(bytes(48)).hex() == ZEROS_HASH
    machine.close()
    memory.close()


def test_large_pages_are_used_only_where_they_are_had() -> None:
    memory = randomx.Memory(RANDOMX_KEY, large_pages=True)
    machine = memory.machine()
    assert machine.hash(bytes(48)).hex() == ZEROS_HASH
    assert memory.large_pages in (True, False)
    machine.close()
    memory.close()


def test_without_a_library_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomx, "_candidates", list)
    randomx.library.cache_clear()
    try:
        with pytest.raises(randomx.RandomXUnavailable, match="pip install cyrx"):
            randomx.library()
    finally:
        randomx.library.cache_clear()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes some files the only ones that are looked for, for one test."""

    def choose(*paths: str | Path) -> None:
        monkeypatch.setattr(randomx, "_candidates", lambda: list(paths))
        randomx.library.cache_clear()

    yield choose
    randomx.library.cache_clear()


def test_the_systems_library_comes_before_the_package(only: Callable[..., None]) -> None:
    system = randomx._candidates()[: len(randomx.SYSTEM_NAMES)]
    package = randomx._candidates()[len(randomx.SYSTEM_NAMES) :]
    assert system == list(randomx.SYSTEM_NAMES)
    assert all("cyrx" in str(path) for path in package)
    only("librandomx-that-is-not-there.so", *package)
    assert randomx.library()._name == str(package[0])


def test_a_library_that_is_no_randomx_is_passed_over(only: Callable[..., None], tmp_path: Path) -> None:
    found = randomx.library()._name
    text = tmp_path / "librandomx.so"
    text.write_text("no library at all")
    only(text, str(ctypes.util.find_library("m")), found)
    assert randomx.library()._name == found


def test_the_official_vector_is_known() -> None:
    memory = randomx.Memory(b"test key 000")
    machine = memory.machine()
    data, expected = randomx.KNOWN[b"test key 000"]
    assert machine.hash(data).hex() == expected
    machine.close()
    memory.close()


def test_a_library_that_computes_wrong_hashes_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[object] = []
    real, release = randomx.library().randomx_calculate_hash, randomx.library().randomx_release_cache

    def wrong(vm: Any, data: bytes, size: int, out: Any) -> None:
        real(vm, data[:-1] + b"\x01", size, out)

    monkeypatch.setattr(randomx.library(), "randomx_calculate_hash", wrong)
    monkeypatch.setattr(
        randomx.library(), "randomx_release_cache", lambda cache: (released.append(cache), release(cache))
    )
    with pytest.raises(randomx.RandomXUnavailable, match=r"computes wrong hashes .*Remove it"):
        randomx.Memory(RANDOMX_KEY)
    assert len(released) == 1


@pytest.mark.timing
def test_the_data_set_gives_the_same_hashes() -> None:
    """Half a minute of all cores; `python -m bench prove` checks proofs with it as well."""
    if randomx.available_memory() < randomx.memory_needed(full=True):
        pytest.skip("NOT CHECKED: there is no memory for the data set")
    memory = randomx.Memory(RANDOMX_KEY, full=True, threads=2)
    machine = memory.machine()
    assert machine.hash(bytes(48)).hex() == ZEROS_HASH
    machine.close()
    assert search(memory, 2).run() == LOWEST
    memory.close()
