"""How a batch gets into the lanes: bytes as arrays, pieces that fit into the cache, threads, memory that is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt

LANES = 8

PIECE = 512
"""Entries of one compiled call at most: with more, the stretches of the groups no longer fit into a core's cache."""

PIECE_OF_A_THREAD = 64
"""Entries below which a thread of their own costs more than it saves."""

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]


def join(parts: Sequence[bytes], size: int) -> Bytes:
    """Parts of `size` bytes one behind the other, padded to whole groups. Raises ValueError for another size."""
    wrong = set(map(len, parts)) - {size}
    if wrong:
        raise ValueError(f"expected {size} bytes, found {min(wrong)}")
    joined = bytearray().join(parts)
    joined += bytes(-len(parts) % LANES * size)
    return np.frombuffer(joined, np.uint8)


def join_messages(messages: Sequence[bytes]) -> tuple[Bytes, Integers, int]:
    """The messages one behind the other, the offset of each with that of the end, and the length of the longest."""
    offsets = np.zeros(len(messages) + 1, np.int64)
    lengths = np.fromiter(map(len, messages), np.int64, len(messages))
    np.cumsum(lengths, out=offsets[1:])
    return as_array(bytearray().join(messages)), offsets, int(lengths.max())


def as_array(data: bytes | bytearray) -> Bytes:
    """A writable array, also of nothing: compiled code is made for one kind of array."""
    return np.frombuffer(bytearray(data), np.uint8) if data else np.empty(0, np.uint8)


def aligned_words(count: int) -> Words:
    """Words at a multiple of 64 bytes, not initialised."""
    raw = np.empty(count + LANES, np.uint64)
    start = -raw.ctypes.data // 8 % LANES
    return raw[start : start + count]


def pieces(count: int, threads: int) -> list[slice]:
    """Pieces of whole groups, at least one a thread unless they would be too small."""
    size = max(PIECE_OF_A_THREAD, -(-count // max(1, threads)))
    size = min(PIECE, -(-size // LANES) * LANES)
    return [slice(start, min(count, start + size)) for start in range(0, count, size)]


def groups_of(piece: slice) -> int:
    """Groups of eight that a piece takes."""
    return int(-(-(piece.stop - piece.start) // LANES))


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "signatures")


def run(work: Callable[[slice], None], parts: Sequence[slice], threads: int) -> None:
    """Does the work on every part, on at most so many threads, this one if they are one."""
    if threads <= 1 or len(parts) <= 1:
        for part in parts:
            work(part)
        return
    for _ in _executor(threads).map(work, parts):
        pass


class Memory:
    """Arrays for compiled calls of one kind, kept for the next call: fresh ones would cost a page fault each 4 KiB."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._free: list[Words] = []
        self._lock = threading.Lock()

    def take(self) -> Words:
        with self._lock:
            if self._free:
                return self._free.pop()
        return aligned_words(self._words)

    def give_back(self, words: Words) -> None:
        with self._lock:
            self._free.append(words)
