"""Checking data on disk: sample labels, recompute them, name each wrong one; and rewriting what was found.

The sample is at least one label a file, distinct positions, in ascending order, from a seed. Labels are read past the
system's page cache, where that can be: what counts is what the disk holds. Specified in protocol 01-post-tools, section
2.1; the reference stops at the first difference and may check nothing at all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from protocol.post.rules import LABEL_SIZE
from prover.errors import UsageError
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name

STRETCH = 1 << 20
"""Labels of a file that share one part of the sample."""

FIRST_PIECE = 64
MAX_PIECE = 1 << 16
PIECE_SECONDS = 0.3

T = TypeVar("T")

Indices = npt.NDArray[np.uint64]

Work = Iterable[tuple[int, Sequence[int]]]
"""(file number, ascending positions of labels in it)."""


class LabelEngine(Protocol):
    """What recomputes labels: `kernels.labels.cpu.LabelEngine`."""

    def labels32(self, commitments: Sequence[bytes], indices: Indices) -> npt.NDArray[np.uint8]:
        """Full labels of any indices, uint8[n, 32]."""


@dataclass(frozen=True, slots=True)
class BadLabel:
    """A label on disk that is not the right one."""

    index: int
    file: int
    offset: int
    """Bytes from the start of the file."""
    found: bytes
    expected: bytes


@dataclass(frozen=True, slots=True)
class BadFile:
    """A data file that is not as long as it has to be."""

    file: int
    size: int | None
    """Bytes; None: the file is missing."""
    expected: int

    @property
    def reason(self) -> str:
        """What is wrong, for a person."""
        if self.size is None:
            return f"is missing, expected {self.expected} bytes"
        return f"has {self.size} bytes, expected {self.expected}"


@dataclass(slots=True)
class Findings:
    """What a check found."""

    checked: int = 0
    """Labels that were recomputed."""
    labels: list[BadLabel] = field(default_factory=list)
    short: list[BadFile] = field(default_factory=list)
    """Files that are missing or short."""
    long: list[BadFile] = field(default_factory=list)
    """Files with surplus bytes: noticed, no fault (proofs read what belongs there)."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.labels and not self.short


def sizes(storage: Storage, layout: Layout, files: range) -> Findings:
    """The files whose size is not right."""
    there = storage.data_files()
    findings = Findings()
    for number in files:
        size, expected = there.get(number), layout.file_size(number)
        if size is None or size < expected:
            findings.short.append(BadFile(number, size, expected))
        elif size > expected:
            findings.long.append(BadFile(number, size, expected))
    return findings


def sample_size(count: int, fraction: float) -> int:
    """How many of `count` labels are checked: `fraction` percent, at least one if there is one."""
    return min(count, max(1, int(count * fraction / 100)))


def sample(count: int, fraction: float, chooser: random.Random) -> Iterator[Sequence[int]]:
    """Distinct positions below `count`, ascending, in pieces that each come from one stretch of the file.

    Every stretch has its share of the sample, so that a file of any size needs little memory.
    """
    wanted = sample_size(count, fraction)
    for start in range(0, count, STRETCH):
        end = min(count, start + STRETCH)
        share = wanted * end // count - wanted * start // count
        if share == end - start:
            yield range(start, end)
        elif share:
            yield sorted(chooser.sample(range(start, end), share))


def seeds(seed: int | None) -> int:
    """The seed that was given, or a new one (shown to the person, so that the check can be repeated)."""
    return seed if seed is not None else random.SystemRandom().getrandbits(48)


def planned(
    layout: Layout, storage: Storage, files: range, fraction: float, seed: int
) -> Iterator[tuple[int, Sequence[int]]]:
    """(file, positions of labels in it), piece by piece, for the labels that are on disk."""
    there = storage.data_files()
    for number in files:
        held = there.get(number, 0) // LABEL_SIZE
        yield from ((number, positions) for positions in _drawn(layout, number, held, fraction, seed))


def planned_size(layout: Layout, storage: Storage, files: range, fraction: float, seed: int) -> int:
    """How many labels `planned` gives."""
    there, total = storage.data_files(), 0
    for number in files:
        labels, held = layout.file_labels(number), there.get(number, 0) // LABEL_SIZE
        if held >= labels:
            total += sample_size(labels, fraction)
        elif held:
            total += sum(len(positions) for positions in _drawn(layout, number, held, fraction, seed))
    return total


def _drawn(layout: Layout, number: int, held: int, fraction: float, seed: int) -> Iterator[Sequence[int]]:
    """The sample of one file, of which `held` labels are there."""
    # every file draws from its own source, so that a file's sample does not depend on the range
    chooser = random.Random(f"{seed}/{number}")
    for positions in sample(layout.file_labels(number), fraction, chooser):
        if positions[-1] < held:
            yield positions
        elif kept := [position for position in positions if position < held]:
            yield kept


def check(
    storage: Storage,
    layout: Layout,
    commitment: bytes,
    work: Work,
    engine: LabelEngine,
    findings: Findings,
    progress: Callable[[int], None],
) -> None:
    """Recomputes the labels of `work` (file, positions) and adds the wrong ones to `findings`.

    The disk and the engine work side by side: while a piece is computed, it and the next one are read. `progress` gets
    the number of labels checked so far. Raises `kernels.devices.types.Stopped` when the engine was stopped; what was
    found until then is in `findings`.
    """
    size = FIRST_PIECE

    def pieces() -> Iterator[tuple[int, Sequence[int], Future[npt.NDArray[np.uint8]]]]:
        for number, positions in work:
            start = 0
            while start < len(positions):
                piece = positions[start : start + size]
                start += len(piece)
                yield number, piece, reader.submit(read_labels, storage, number, piece)

    reader = ThreadPoolExecutor(1, "reading")
    try:
        for number, piece, reading in _one_ahead(pieces()):
            began = time.monotonic()
            first = layout.first_label(number)
            indices = np.array([first + position for position in piece], dtype=np.uint64)
            right = engine.labels32([commitment], indices)[:, :LABEL_SIZE]
            stored = reading.result()
            for at in np.flatnonzero((stored != right).any(axis=1)).tolist():
                findings.labels.append(
                    BadLabel(
                        index=int(indices[at]),
                        file=number,
                        offset=piece[at] * LABEL_SIZE,
                        found=stored[at].tobytes(),
                        expected=right[at].tobytes(),
                    )
                )
            findings.checked += len(piece)
            progress(findings.checked)
            if len(piece) == size and time.monotonic() - began < PIECE_SECONDS / 2:
                size = min(MAX_PIECE, 2 * size)
    finally:
        reader.shutdown(cancel_futures=True)


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; each is handed on when the next one was asked for."""
    waiting = next(items, None)
    while waiting is not None:
        following = next(items, None)
        yield waiting
        waiting = following


def read_labels(storage: Storage, number: int, positions: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The stored labels at the given positions, uint8[n, 16]; neighbours are read together."""
    pieces, start = [], 0
    while start < len(positions):
        end = start + 1
        while end < len(positions) and positions[end] == positions[end - 1] + 1:
            end += 1
        pieces.append(
            storage.read_past_cache(file_name(number), positions[start] * LABEL_SIZE, (end - start) * LABEL_SIZE)
        )
        start = end
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, LABEL_SIZE)


def repair(storage: Storage, bad: Sequence[BadLabel]) -> None:
    """Writes the right bytes over the wrong labels of a check; they are on stable storage when it returns."""
    try:
        for number, labels in groupby(sorted(bad, key=lambda label: label.index), lambda label: label.file):
            for label in labels:
                storage.write_over(file_name(number), label.offset, label.expected)
            storage.finish(file_name(number))
    finally:
        storage.close()


def by_file(layout: Layout, indices: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Label indices as (file, positions), for `check`. Raises UsageError for an index outside the data."""
    work: dict[int, list[int]] = {}
    for index in indices:
        try:
            number, offset = layout.locate(index)
        except ValueError as error:
            raise UsageError(f"Label {index}: {error}.") from None
        work.setdefault(number, []).append(offset // LABEL_SIZE)
    return [(number, sorted(positions)) for number, positions in sorted(work.items())]
