"""How fast this machine proves: passes over a file of random bytes, and the cost of a proof of work.

A pass is the one that `prove` makes, reads, lazy ciphers and all, with the difficulty of 4 mainnet units; what is
found is thrown away. The system's page cache is emptied of the file before each. Specified in protocol
01-post-tools, section 7.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernels.randomx import Memory
from protocol.params.post import MAINNET
from protocol.post.proof import NONCES_PER_GROUP, group_key, lazy_key, proving_difficulty, scale_pow_difficulty
from protocol.post.rules import LABEL_SIZE
from prover import durable
from prover.errors import DataError, EnvironmentFault, Interrupted, UsageError
from prover.post.directory import Storage
from prover.post.layout import Layout, file_number, looks_like_data
from prover.post.proof.pow import Search
from prover.post.proof.scan import Batches, Scan

GIB = 1 << 30
UNITS = 4
"""Mainnet units whose difficulty the passes have."""

RECOMMENDED_NONCES = 288
"""Nonces that make a proof almost certain (99.92 %)."""

USABLE_SHARE = 0.7
"""Of the time window that a pass may fill, by the rule of the network's own application."""

WRITE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class PassRate:
    """What passes over a file took."""

    size_bytes: int
    """Of all passes."""
    seconds: float

    @property
    def gib_per_second(self) -> float | None:
        """None when nothing was measured."""
        return self.size_bytes / GIB / self.seconds if self.size_bytes and self.seconds else None


def provable_units(gib_per_second: float, nonces: int, window_s: float, unit_bytes: int) -> int:
    """Space units that can be proved in a network's window when so many nonces go into one pass."""
    passes = max(1, math.ceil(RECOMMENDED_NONCES / nonces))
    return int(USABLE_SHARE * window_s * gib_per_second * GIB / passes / unit_bytes)


def fill_file(path: Path, size_bytes: int, stop: threading.Event) -> None:
    """Makes a file, or extends one, with random bytes to at least `size_bytes`.

    Raises UsageError instead of extending PoST data, DataError when the system refuses (the reference's exit code is
    1 then), Interrupted.
    """
    try:
        there = path.stat().st_size if path.exists() else 0
        if there >= size_bytes and path.exists():
            return
        if there and (file_number(path.name) is not None or looks_like_data(path.name)):
            raise UsageError(
                f"{path} has {there} bytes and looks like PoST data, which is not extended; choose another file or a "
                "smaller size."
            )
        descriptor = durable.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            while there < size_bytes:
                if stop.is_set():
                    raise Interrupted("Stopped.")
                there += os.write(descriptor, os.urandom(min(WRITE_BYTES, size_bytes - there)))
            durable.sync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(f"The data file {path} cannot be written: {error.strerror or error}.") from error


def drop_from_cache(path: Path) -> None:
    """Makes the system forget the pages of a file, where it can be told to."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def passes(
    paths: Sequence[Path],
    size_bytes: int,
    *,
    nonces: int,
    threads: int,
    seconds: float,
    stop: threading.Event,
    cores: Sequence[int] = (),
) -> PassRate:
    """Whole passes over the first `size_bytes` of files of one folder, until the time is over.

    Raises EnvironmentFault when a file cannot be read, Interrupted after `stop`.
    """
    from kernels.scan import aes

    batches = _batches(len(paths), size_bytes)
    difficulty = proving_difficulty(MAINNET.k1, UNITS * MAINNET.labels_per_unit)
    challenge = bytes(32)
    scanner = aes.Scanner(
        [group_key(challenge, group, 0) for group in range(nonces // NONCES_PER_GROUP)],
        [lazy_key(challenge, nonce, 0) for nonce in range(nonces)],
        difficulty.msb,
        difficulty.lsb,
    )
    folder = paths[0].parent
    scan = Scan(Storage(folder), threads, cores=cores, stop=stop, name_of=lambda number: paths[number].name)
    done, took = 0, 0.0
    while took < seconds and len(batches):
        for path in paths:
            drop_from_cache(path)
        began = time.monotonic()
        with contextlib.closing(scan.in_order(batches, 0, scanner)) as in_order:
            for _, scanned in in_order:
                if stop.is_set():
                    raise Interrupted("Stopped.")
                if scanned.fault:
                    raise EnvironmentFault(scanned.fault)
        took += time.monotonic() - began
        done += batches.labels * LABEL_SIZE
    return PassRate(done, took)


def _batches(files: int, size_bytes: int) -> Batches:
    size = size_bytes - size_bytes % LABEL_SIZE
    if not size:
        return Batches(Layout(1, LABEL_SIZE), {})
    return Batches(Layout(files * size // LABEL_SIZE, size), dict.fromkeys(range(files), size))


@dataclass(frozen=True, slots=True)
class PowCost:
    """What a proof of work for one unit costs."""

    hashes: int
    seconds: float
    expected_hashes: float
    """For one unit and one nonce group, with the difficulty that was asked for."""

    @property
    def hashes_per_second(self) -> float:
        """Of all threads."""
        return self.hashes / self.seconds

    def expected_seconds(self, nonces: int, num_units: int) -> float:
        """For all groups of so many nonces. By the rate of the hashes: how many one search needed is luck."""
        return self.expected_hashes * (nonces // NONCES_PER_GROUP) * num_units / self.hashes_per_second


def pow_cost(
    memory: Memory,
    difficulty: bytes,
    *,
    iterations: int,
    threads: int,
    begun: Callable[[Search], None] = lambda search: None,
) -> PowCost:
    """So many searches, each for one unit and with another challenge; `begun` is told of each, so that it can stop it.

    Raises Interrupted when a search was stopped.
    """
    hashes, began = 0, time.monotonic()
    for number in range(iterations):
        challenge = number.to_bytes(32, "little")
        search = Search(memory, 0, challenge, bytes(32), scale_pow_difficulty(difficulty, 1), threads=threads)
        begun(search)
        search.run()
        hashes += search.hashes
    expected = (1 << 256) / max(1, int.from_bytes(difficulty, "big"))
    return PowCost(hashes, time.monotonic() - began, expected)
