"""Labels on OpenCL are those of the network, in every layout of the kernel (protocol 01-post, section 2.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.gpu.engine import Card, LabelEngine
from kernels.gpu.layout import Layout, Tuning
from kernels.labels import cpu
from tests.support import pocl

pytestmark = pocl.needed

KEY = bytes(range(32))

LAYOUTS = {
    "A": Layout(group=1),
    "A, groups of 64": Layout(group=64),
    "A, gap 2": Layout(gap=2, group=1),
    "A, gap 2 free": Layout(gap=2, free=1, group=1),
    "A, gap 4 free": Layout(gap=4, free=1, group=1),
    "A, gap 8": Layout(gap=8, group=1),
    "A, 2 labels": Layout(ilv=2, group=1),
    "A, 2 labels, gap 2": Layout(ilv=2, gap=2, group=1),
    "A, tile 32": Layout(tile=32, group=1),
    "A, tile 32, gap 2 free": Layout(tile=32, gap=2, free=1, group=1),
    "B": Layout(lanes=4, group=4),
    "B, groups of 16": Layout(lanes=4, group=16),
    "B, gap 2": Layout(lanes=4, gap=2, group=4),
    "B, gap 2 free": Layout(lanes=4, gap=2, free=1, group=4),
    "B, gap 4 free": Layout(lanes=4, gap=4, free=1, group=4),
    "B, 2 labels": Layout(lanes=4, ilv=2, group=4),
    "B, 2 labels, gap 2": Layout(lanes=4, ilv=2, gap=2, group=4),
    "B, tile 32": Layout(lanes=4, tile=32, group=4),
    "C, uint8": Layout(vec=8, group=1),
    "C, uint8, gap 2": Layout(vec=8, gap=2, group=1),
    "C, 2 x uint8": Layout(vec=8, ilv=2, group=1),
    "C, uint16": Layout(vec=16, group=1),
    "C, uint16, gap 4": Layout(vec=16, gap=4, group=1),
    "C, 2 x uint16": Layout(vec=16, ilv=2, group=1),
    "C, 2 x uint16, gap 2": Layout(vec=16, ilv=2, gap=2, group=1),
    "C, uint16, tile 8": Layout(vec=16, tile=8, group=1),
}
LONG_TO_COMPILE = ("B, groups of 16", "B, 2 labels", "B, 2 labels, gap 2")
"""A layout of a group size and a number of labels that no device is given, with code four times as long for PoCL."""

SOME_NUMBERS = (2, 16, 128, 8192)
"""N that these are tried with; all others are tried with every N of the vectors."""

MEMORY = 1 << 30


def engine(scrypt_n: int, layout: Layout | None = None, **options: Any) -> LabelEngine:
    tuning = Tuning(layout) if layout is not None else None
    return LabelEngine(Card(pocl.device(), scrypt_n, MEMORY, tuning, **options))


def right(key: bytes, start: int, count: int, scrypt_n: int) -> np.ndarray[Any, Any]:
    return cpu.LabelEngine(cpu.devices()[0], scrypt_n).labels32(
        [key], np.arange(count, dtype=np.uint64) + np.uint64(start)
    )


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> dict[str, Any]:
    file = Path(request.config.getoption("--vectors")) / "post" / "labels.json"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def check_vectors(one: LabelEngine, known: dict[str, Any]) -> int:
    entries = [entry for entry in known["labels"] if entry["n"] == one.scrypt_n]
    keys = [bytes.fromhex(entry["commitment"]) for entry in entries]
    found = one.labels32(keys, [int(entry["index"]) for entry in entries])
    for entry, label in zip(entries, found):
        assert label.tobytes().hex() == entry["label32"], entry["name"]
    for entry in known["runs"]:
        if entry["n"] == one.scrypt_n:
            key, start, count = bytes.fromhex(entry["commitment"]), int(entry["start"]), entry["count"]
            out = np.zeros((count, 16), np.uint8)
            candidate = one.labels(key, start, count, out)
            assert out.tobytes().hex() == entry["labels"], entry["name"]
            if "labels32" in entry:
                full = bytes.fromhex(entry["labels32"])
                smallest = min((full[32 * at : 32 * at + 32], start + at) for at in range(count))
                assert (candidate.label32, candidate.index) == smallest
    return len(entries)


BATCHES_N = 16


def check_batches(one: LabelEngine, start: int, sizes: tuple[int, ...]) -> None:
    """One batch after another on the same engine, with their smallest labels."""
    for count in sizes:
        out = np.zeros((count, 16), np.uint8)
        candidate = one.labels(KEY, start, count, out)
        full = right(KEY, start, count, one.scrypt_n)
        assert out.tobytes() == full[:, :16].tobytes(), f"{count} labels from {start} on"
        place = cpu.smallest(full)
        assert (candidate.index, candidate.label32) == (start + place, full[place].tobytes())
        start += count


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_labels_of_the_vectors(name: str, known: dict[str, Any]) -> None:
    """All labels and runs of all N; at one N batches as well: of odd sizes, across 2^32, the first the smallest."""
    numbers = sorted({entry["n"] for entry in known["labels"]})
    if name in LONG_TO_COMPILE:
        numbers = [scrypt_n for scrypt_n in numbers if scrypt_n in SOME_NUMBERS]
    if not numbers:
        pytest.skip(f"the vectors have no labels with N = {SOME_NUMBERS}")
    for scrypt_n in numbers:
        one = engine(scrypt_n, LAYOUTS[name])
        assert check_vectors(one, known) > 0
        if scrypt_n == BATCHES_N:
            check_batches(one, 2**32 - 100, (1, 5, 2 * one.granularity + 3 if name not in LONG_TO_COMPILE else 67, 64))
        one.close()


@pytest.mark.slow
def test_the_layout_of_choice_gives_the_labels_of_all_vectors(known: dict[str, Any]) -> None:
    for scrypt_n in sorted({entry["n"] for entry in known["labels"]}):
        one = engine(scrypt_n)
        check_vectors(one, known)
        one.close()


def test_the_512_labels_of_the_file(request: pytest.FixtureRequest) -> None:
    folder = Path(request.config.getoption("--vectors")) / "post"
    if not (folder / "labels_8192.bin").is_file():
        pytest.skip(f"{folder / 'labels_8192.bin'} is not there")
    meta = json.loads((folder / "labels_8192.meta.json").read_text())
    key, count = bytes.fromhex(meta["commitment"]), meta["labels_8192.bin"]["count"]
    out = np.zeros((count, 16), np.uint8)
    one = engine(meta["n"])
    one.labels(key, int(meta["start"]), count, out)
    assert out.tobytes() == (folder / "labels_8192.bin").read_bytes()
    full = (folder / "labels32_8192.bin").read_bytes()
    count = len(full) // 32
    candidate = one.labels(key, int(meta["start"]), count, out[:count])
    assert (candidate.label32, candidate.index) == min((full[32 * at : 32 * at + 32], at) for at in range(count))
    one.close()


@pytest.fixture(scope="module")
def small() -> Iterator[LabelEngine]:
    one = engine(16)
    yield one
    one.close()


@pytest.mark.parametrize("count", [1, 2, 7, 15, 16, 17, 63, 64, 65, 127, 129, 1000])
@pytest.mark.parametrize("start", [0, 2**32 - 5, 2**40 + 1, 2**64 - 1001])
def test_odd_sizes_and_ranges_across_2_to_the_32(small: LabelEngine, start: int, count: int) -> None:
    out = np.full((count + 2, 16), 0xAA, np.uint8)
    candidate = small.labels(KEY, start, count, out[1:-1])
    full = right(KEY, start, count, 16)
    assert out[1:-1].tobytes() == full[:, :16].tobytes()
    assert (out[[0, -1]] == 0xAA).all(), "written outside of what was asked for"
    place = cpu.smallest(full)
    assert (candidate.index, candidate.label32) == (start + place, full[place].tobytes())


@pytest.mark.parametrize("sizes", [(1, 500), (16, 17), (5, 64, 3, 700, 1)])
def test_a_first_batch_smaller_than_the_second(sizes: tuple[int, ...]) -> None:
    one = engine(16)
    check_batches(one, 2**32 - 10, sizes)
    one.close()


def test_another_commitment_is_another_set_of_labels(small: LabelEngine) -> None:
    for key in (bytes(32), KEY, bytes(32)):
        out = np.zeros((20, 16), np.uint8)
        small.labels(key, 0, 20, out)
        assert out.tobytes() == right(key, 0, 20, 16)[:, :16].tobytes()


def test_no_labels_are_none(small: LabelEngine) -> None:
    assert small.labels32([KEY], []).shape == (0, 32)


@pytest.mark.parametrize("tile", [1, 32])
@pytest.mark.parametrize("lanes", [1, 4])
def test_several_lookup_buffers_are_one_memory(lanes: int, tile: int) -> None:
    """Four buffers, the last of them not full: labels do not depend on where their rows are."""
    from kernels.gpu.plan import Plan

    layout = Layout(lanes=lanes, tile=tile, group=4)
    each = 32
    plan = Plan(layout, 16, slots=3 * each + 4, per_buffer=each, buffers=4, launch=4 * (3 * each + 4), wave=each)
    one = engine(16, layout, plan=plan)
    count = 2 * plan.slots + 3
    out = np.zeros((count, 16), np.uint8)
    one.labels(KEY, 2**32 - 50, count, out)
    assert out.tobytes() == right(KEY, 2**32 - 50, count, 16)[:, :16].tobytes()
    one.close()
