"""Which scrypt N the labels of a directory were made with.

The shared metadata does not say it (protocol 01-post, section 3.2), so it is read from `smesher.json`, or
found by recomputing a few stored labels: 16 bytes that match leave no doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from protocol.post.rules import LABEL_SIZE
from prover.errors import DataError, UsageError
from prover.post.directory import Storage
from prover.post.layout import Layout, file_name

CANDIDATES = tuple(sorted((2**power for power in range(1, 21)), key=lambda n: (n != 8192, n != 2, n)))
"""2 … 2^20, the ones that networks use first."""

SAMPLES = 5

Label32 = Callable[[bytes, int, int], bytes]
"""(commitment, index, scrypt N) -> the full label."""

Sample = tuple[int, bytes]
"""The index of a label and its 16 bytes on disk."""


def samples(
    storage: Storage, layout: Layout, safe: Mapping[int, int] | None = None, count: int = SAMPLES
) -> list[Sample]:
    """So many labels, and the last one, spread over what is on disk: they may include wrong ones.

    `safe`: file number -> labels that count, for files whose later ones a power cut may have taken.
    """
    counts = {
        number: min(size // LABEL_SIZE, layout.file_labels(number), (safe or {}).get(number, size))
        for number, size in storage.data_files().items()
    }
    there = [(layout.first_label(number), held, number) for number, held in counts.items() if held]
    total = sum(held for _, held, _ in there)
    wanted = sorted({total * part // count for part in range(count)} | {total - 1}) if total else []
    return [_read(storage, there, position) for position in wanted]


def _read(storage: Storage, there: Sequence[tuple[int, int, int]], position: int) -> Sample:
    for first, count, number in there:
        if position < count:
            return first + position, storage.read(file_name(number), position * LABEL_SIZE, LABEL_SIZE)
        position -= count
    raise AssertionError("the position is below the total")


def matches(commitment: bytes, found: Sequence[Sample], scrypt_n: int, label32: Label32) -> bool:
    """Whether any of the stored labels is the one that `scrypt_n` gives."""
    return any(label32(commitment, index, scrypt_n)[:LABEL_SIZE] == label for index, label in found)


def search(commitment: bytes, found: Sequence[Sample], label32: Label32) -> Iterator[int]:
    """Every candidate N that a stored label confirms, the likely ones first."""
    return (n for n in CANDIDATES if matches(commitment, found, n, label32))


def confirm(commitment: bytes, found: Sequence[Sample], scrypt_n: int, label32: Label32, directory: str) -> None:
    """Raises UsageError when the stored labels were made with another N, DataError when no N explains them."""
    if not found or matches(commitment, found, scrypt_n, label32):
        return
    other = next(search(commitment, found, label32), None)
    if other is not None:
        raise UsageError(
            f"scrypt N: the labels in {directory} were made with N = {other} (found by recomputing stored labels), "
            f"{scrypt_n} asked for (--network or --scrypt-n). Mixed data cannot be proved."
        )
    raise DataError(
        f"None of the stored labels in {directory} that were looked at is right for this identity, with any scrypt N "
        "from 2 to 2^20: the metadata or what was asked for belongs to other data, or all of it is damaged. Nothing "
        "was written. Run `smesher verify`, which tells the one from the other."
    )


def find(commitment: bytes, found: Sequence[Sample], label32: Label32, directory: str) -> int:
    """The N of the stored labels. Raises DataError when none explains them, or when nothing is stored."""
    n = next(search(commitment, found, label32), None)
    if n is None:
        reason = "none of the stored labels fits any N from 2 to 2^20" if found else "there are no labels yet"
        raise DataError(
            f"The scrypt N of {directory} is not recorded and could not be found: {reason}. Give --network or "
            "--scrypt-n."
        )
    return n
