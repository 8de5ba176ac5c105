"""The CUDA dialect of `labels.cl`, run by a C++ compiler's code on the CPU, against the known answers.

Kernel by kernel, without the engine: every layout and gap, labels and smallest label, more labels than slots,
several row buffers, and the work items in orders that show a missing barrier.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kernels.gpu.layout import Layout, source
from kernels.gpu.session import KERNELS
from kernels.labels import scalar as scrypt_scalar
from tests.support.cuda_shim.build import CompilationFailed, Library, cache_folder, group_limits, require_compiler

LAYOUTS = {
    "A": Layout(group=32),
    "A, large groups": Layout(group=128),
    "A, tile 8": Layout(group=32, tile=8),
    "A, tile 32": Layout(group=32, tile=32),
    "A, two labels an item": Layout(group=32, ilv=2),
    "A, two labels an item, gap 2": Layout(group=32, ilv=2, gap=2),
    "A, gap 2": Layout(group=32, gap=2),
    "A, gap 2 free": Layout(group=32, gap=2, free=1),
    "A, gap 4, tile 4": Layout(group=32, gap=4, tile=4),
    "A, gap 4 free": Layout(group=32, gap=4, free=1),
    "A, gap 8 free, tile 32": Layout(group=32, gap=8, free=1, tile=32),
    "B": Layout(lanes=4, lane_op=2, group=32),
    "B, tile 4": Layout(lanes=4, lane_op=2, group=32, tile=4),
    "B, two labels a crew": Layout(lanes=4, lane_op=2, group=32, ilv=2),
    "B, two labels a crew, gap 4": Layout(lanes=4, lane_op=2, group=32, ilv=2, gap=4),
    "B, gap 2": Layout(lanes=4, lane_op=2, group=32, gap=2),
    "B, gap 2 free": Layout(lanes=4, lane_op=2, group=64, gap=2, free=1),
    "B, gap 4 free": Layout(lanes=4, lane_op=2, group=32, gap=4, free=1),
}

OTHER_N = [
    ("A", 2),
    ("A, gap 2", 2),
    ("A", 128),
    ("A, gap 4 free", 128),
    ("B, gap 2 free", 128),
    ("B, two labels a crew", 128),
    ("A, gap 2 free", 512),
    ("B", 512),
    ("A, gap 4 free", 1024),
    ("A", 8192),
    ("A, gap 2 free", 8192),
]
"""Beside 16 for every layout."""

CASES = [*((name, 16) for name in LAYOUTS), *OTHER_N]

Words = npt.NDArray[np.uint64]


@pytest.fixture(scope="module")
def folder(pytestconfig: pytest.Config) -> Path:
    require_compiler()
    return cache_folder(pytestconfig)


@pytest.fixture(scope="module")
def runs(vectors_root: Path) -> list[dict[str, Any]]:
    document = json.loads((vectors_root / "post/labels.json").read_text())
    return list(document["runs"])


def build(folder: Path, layout: Layout, scrypt_n: int, text: str | None = None) -> Library:
    options = [f"-D{name}={value}" for name, value in layout.options(scrypt_n).items()]
    return Library(text or source(), options, ("romix", *KERNELS), folder)


def aligned(words: int) -> Words:
    """Zeroed 64-bit words that start at a multiple of 64 bytes, as a device's memory does."""
    block = np.zeros(words + 8, np.uint64)
    skip = -block.ctypes.data % 64 // 8
    return block[skip : skip + words]


def at(block: npt.NDArray[Any]) -> np.uint64:
    return np.uint64(block.ctypes.data)


class Device:
    """Memory for one layout, and the launches of one batch."""

    def __init__(self, library: Library, layout: Layout, scrypt_n: int, slots: int, buffers: int, room: int) -> None:
        self.kernels = library.kernels
        self.layout, self.slots, self.per_buffer = layout, slots, slots // buffers
        self.states = aligned(room * 16)
        words = self.per_buffer * layout.label_bytes(scrypt_n) // 8
        self.rows = [aligned(words) for _ in range(buffers)]
        self.blocks = -(-room // 64)
        self.groups = aligned(self.blocks * 5)
        self.best = np.full(5, 2**64 - 1, np.uint64)

    def romix(self, count: int, order: int) -> None:
        rows = [at(self.rows[min(i, len(self.rows) - 1)]) for i in range(4)]
        numbers = (np.uint32(self.per_buffer), np.uint32(count), np.uint32(1))
        self.kernels["romix"](
            self.slots // self.layout.unit, self.layout.group, [at(self.states), *rows, *numbers], order
        )

    def run(self, key: bytes, start: int, count: int, order: int) -> bytes:
        """Labels of a run; the smallest is left in `best`."""
        commitment, labels = aligned(4), aligned(count * 2)
        commitment[:] = np.frombuffer(key, np.uint64)
        first, size, blocks = np.uint64(start), np.uint32(count), -(-count // 64)
        self.kernels["seed"](blocks, 64, [at(self.states), at(commitment), first, size], order)
        self.romix(count, order)
        arguments = [at(self.states), at(commitment), first, size, at(labels), at(self.groups)]
        self.kernels["finish"](blocks, 64, arguments, order)
        self.kernels["best"](1, 64, [at(self.groups), np.uint32(blocks), at(self.best)], order)
        return labels.tobytes()

    def each(self, keys: list[bytes], indices: list[int], order: int) -> list[str]:
        """Full labels of any indices."""
        count = len(indices)
        commitments, numbers, labels = aligned(len(keys) * 4), aligned(count), aligned(count * 4)
        commitments[:] = np.frombuffer(b"".join(keys), np.uint64)
        numbers[:] = indices
        size, step, blocks = np.uint32(count), np.uint32(len(keys) > 1), -(-count // 64)
        self.kernels["seed_each"](blocks, 64, [at(self.states), at(commitments), at(numbers), size, step], order)
        self.romix(count, order)
        arguments = [at(self.states), at(commitments), at(numbers), size, step, at(labels)]
        self.kernels["finish_each"](blocks, 64, arguments, order)
        return [row.tobytes().hex() for row in labels.reshape(-1, 4)]


def smallest(run: dict[str, Any]) -> tuple[int, str]:
    """Index and value of the smallest label of a run whose full labels the vectors have."""
    values = [run["labels32"][64 * i : 64 * i + 64] for i in range(run["count"])]
    least = min(range(run["count"]), key=lambda i: (values[i], i))
    return int(run["start"]) + least, values[least]


def candidate(best: Words) -> tuple[int, str]:
    return int(best[4]), "".join(f"{int(word):016x}" for word in best[:4])


@pytest.mark.parametrize(("name", "scrypt_n"), CASES, ids=[f"{name}, N {n}" for name, n in CASES])
def test_every_layout_computes_the_known_labels_and_the_smallest(
    folder: Path, runs: list[dict[str, Any]], name: str, scrypt_n: int
) -> None:
    layout = LAYOUTS[name]
    library = build(folder, layout, scrypt_n)
    chosen = [run for run in runs if run["n"] == scrypt_n]
    assert chosen, f"no run with N = {scrypt_n} in the vectors"
    for number, run in enumerate(chosen):
        # fewer slots than labels: a second turn, and that a ragged one; else two row buffers where tiles allow it
        buffers = 2 if run["count"] <= layout.unit and layout.unit % layout.tile == 0 else 1
        device = Device(library, layout, scrypt_n, layout.unit * buffers, buffers, run["count"])
        found = device.run(bytes.fromhex(run["commitment"]), int(run["start"]), run["count"], order=number * 7)
        assert found.hex() == run["labels"], f"{run['name']}: other labels"
        if "labels32" in run:
            assert candidate(device.best) == smallest(run)


@pytest.mark.parametrize("name", ["A", "A, gap 4 free", "B", "B, gap 2"])
def test_any_indices_with_one_commitment_or_one_each(folder: Path, name: str) -> None:
    layout = LAYOUTS[name]
    indices = [0, 2**64 - 1, 2**32, 7, 2**32 - 1, *range(2**40, 2**40 + 65)]
    keys = [bytes([i]) * 32 for i in range(len(indices))]
    device = Device(build(folder, layout, 16), layout, 16, layout.unit, 1, len(indices))
    for chosen in (keys[:1], keys):
        expected = [scrypt_scalar.label32(chosen[i % len(chosen)], index, 16).hex() for i, index in enumerate(indices)]
        assert device.each(chosen, indices, order=3) == expected


@pytest.mark.parametrize("order", [0, 1, 2, 99])
def test_the_smallest_of_many_groups_goes_by_value_then_by_index(folder: Path, order: int) -> None:
    kernel = build(folder, LAYOUTS["A"], 16).kernels["best"]
    groups = aligned(70 * 5)
    groups[:] = np.random.default_rng(order).integers(1, 2**63, groups.size, np.uint64)
    table = groups.reshape(-1, 5)
    table[3], table[66], table[17] = [0, 0, 5, 9, 40], [0, 0, 5, 9, 39], [0, 0, 5, 10, 1]
    best = np.full(5, 2**64 - 1, np.uint64)
    kernel(1, 64, [at(groups), np.uint32(70), at(best)], order)
    assert list(best) == [0, 0, 5, 9, 39]
    best[:] = [0, 0, 5, 8, 1000]
    kernel(1, 64, [at(groups), np.uint32(70), at(best)], order)
    assert list(best) == [0, 0, 5, 8, 1000], "the one that was there already is smaller"


def test_a_missing_barrier_is_noticed(folder: Path, runs: list[dict[str, Any]]) -> None:
    """Not of the kernels but of this emulation: without the barriers of the reduction it must find a wrong minimum."""
    text = source()
    broken = re.sub(r"FN void smallest.*?\n}", lambda found: found[0].replace("SYNC;", ""), text, flags=re.DOTALL)
    assert broken != text, "the reduction of labels.cl has another name or no barriers now: adapt this test"
    run = next(run for run in runs if run["n"] == 16)
    wrong = 0
    for order in range(4):
        device = Device(build(folder, LAYOUTS["A"], 16, broken), LAYOUTS["A"], 16, 32, 1, run["count"])
        device.run(bytes.fromhex(run["commitment"]), int(run["start"]), run["count"], order)
        wrong += candidate(device.best) != smallest(run)
    assert wrong


def test_lanes_that_part_from_their_warp_are_noticed(folder: Path) -> None:
    """On a device a warp whose lanes are not together at an exchange hangs or computes nonsense."""
    text = "\n".join(
        [
            "#define KERNEL(size) __global__",
            "KERNEL(64) void part(unsigned *) { if (threadIdx.x) __shfl_sync(~0u, 1u, 0, 4); }",
        ]
    )
    library = Library(text, (), ("part",), folder)
    with pytest.raises(AssertionError, match="different exchanges"):
        library.kernels["part"](1, 32, [np.uint64(0)])
    with pytest.raises(AssertionError, match="fewer than 32 lanes"):
        library.kernels["part"](1, 16, [np.uint64(0)])


def test_a_source_that_does_not_compile_is_told_in_the_compilers_words(folder: Path) -> None:
    with pytest.raises(CompilationFailed, match="no such kernel here"):
        build(folder, LAYOUTS["A"], 16, source() + '\nstatic_assert(N == 3, "no such kernel here");\n')


def test_every_kernel_of_the_source_is_loaded() -> None:
    assert set(group_limits(source(), ("-DGROUP=64",))) == {"romix", *KERNELS}
