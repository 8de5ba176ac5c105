"""The VRF nonce: the index of a label that is below a threshold, in the data or beyond it.

During initialisation every batch brings its smallest label; here are the rule that chooses among them, the
scan of labels that are already on disk, and the search past the last label. Specified in protocol 01-post,
section 2.2; where the reference compares 16 bytes with 32 or gives up a nonce that stands in the data
(section 10), ours compares full labels and looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Protocol

import numpy as np

from kernels.devices.pool import Batch
from kernels.devices.types import Stopped
from protocol.errors import ProtocolError
from protocol.post.rules import LABEL_SIZE, check_scrypt_n, vrf_difficulty
from protocol.post.rules import commitment as commitment_of
from prover.errors import UsageError
from prover.post.books import Books
from prover.post.directory import Storage
from prover.post.init.scrypt_n import Label32
from prover.post.layout import Layout, file_name
from prover.post.record import Search

READ_BYTES = 4 << 20

BATCH_SIZE = 1 << 20
"""Labels of one step of the search beyond the data (the reference's ComputeBatchSize)."""

SAVE_SECONDS = 3.0
"""How often the search beyond the data notes how far it is."""

MAX_INDEX = 2**64 - 2
"""The last label index that a range can end with; the reference refuses 2^64 - 1."""


class LabelSource(Protocol):
    """What computes labels: `kernels.devices.pool.Pool`, or something smaller in a test."""

    def run(self, commitment: bytes, ranges: Iterable[tuple[int, int]]) -> Generator[Batch, None, None]:
        """Batches that cover the (start, count) ranges in their order."""


@dataclass(frozen=True, slots=True)
class Nonce:
    """A VRF nonce and its label."""

    index: int
    label32: bytes

    @property
    def value(self) -> bytes:
        """The 16 bytes that the metadata keeps as NonceValue."""
        return self.label32[:LABEL_SIZE]


def replaces(candidate: bytes, difficulty: bytes, stored: bytes | None) -> bool:
    """Whether a batch's smallest label takes the place of the stored 16-byte value (None: there is none)."""
    return candidate < difficulty and (stored is None or candidate[:LABEL_SIZE] < stored)


def verify(
    nonce: int | None,
    node_id: bytes,
    commitment_atx_id: bytes,
    num_units: int,
    labels_per_unit: int,
    scrypt_n: int,
    label32: Label32,
) -> bool:
    """Whether a nonce is valid for so many labels. Any index whose label is below the threshold is.

    Raises ProtocolError with its reason for a nonce that is absent or 2^64 - 1, ids that are not 32 bytes, an
    impossible N, or a number of labels that has no threshold.
    """
    if nonce is None:
        raise ProtocolError("There is no VRF nonce to verify.", "nonce_missing")
    if not 0 <= nonce <= MAX_INDEX:
        raise ProtocolError(f"The VRF nonce is {nonce}, expected 0 to 2^64 - 2.", "labels_range")
    check_scrypt_n(scrypt_n)
    key = commitment_of(node_id, commitment_atx_id)
    return label32(key, nonce, scrypt_n) < vrf_difficulty(num_units * labels_per_unit)


def candidates(
    storage: Storage,
    layout: Layout,
    files: Iterable[int],
    difficulty: bytes,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Nonce]:
    """Stored labels that may be below the threshold, their 16 bytes as `label32`; the smallest of each piece.

    A piece is what is read at once. Labels whose first 16 bytes equal the threshold's are included: only the
    full label can tell.
    """
    ceiling = difficulty[:LABEL_SIZE]
    first_word = int.from_bytes(ceiling[:8], "big")
    for number in files:
        size = layout.file_size(number)
        for offset in range(0, size, READ_BYTES):
            if stopped():
                raise Stopped("the search was stopped")
            data = storage.read(file_name(number), offset, min(READ_BYTES, size - offset))
            count = len(data) // LABEL_SIZE
            words = np.frombuffer(data, ">u8", count * 2)[::2]
            near = np.flatnonzero(words <= first_word)
            labels = [(data[at * LABEL_SIZE : (at + 1) * LABEL_SIZE], int(at)) for at in near]
            start = layout.first_label(number) + offset // LABEL_SIZE
            yield from (Nonce(start + at, label) for label, at in labels if label <= ceiling)


def best_in_data(
    found: Iterable[Nonce], difficulty: bytes, recompute: Callable[[int], bytes]
) -> tuple[Nonce | None, list[int]]:
    """The smallest candidate that its recomputed label confirms, and the indices of stored labels that are wrong."""
    wrong = []
    best: Nonce | None = None
    for candidate in sorted(found, key=lambda nonce: (nonce.label32, nonce.index)):
        if best is not None and candidate.label32 > best.value:
            break
        label = recompute(candidate.index)
        if label[:LABEL_SIZE] != candidate.label32:
            wrong.append(candidate.index)
        elif label < difficulty and (best is None or label < best.label32):
            best = Nonce(candidate.index, label)
    return best, wrong


def search_data(
    storage: Storage,
    layout: Layout,
    files: Sequence[int],
    commitment: bytes,
    scrypt_n: int,
    label32: Label32,
    progress: Callable[[int], None],
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Nonce | None, list[str]]:
    """The smallest label in complete files that is below the threshold, and a sentence for each wrong label met.

    Reads everything, recomputes only the few labels that may be the one; `progress` gets labels read. Raises
    `kernels.devices.types.Stopped` soon after `stopped` has become true.
    """
    difficulty = vrf_difficulty(layout.num_labels)

    def counted() -> Iterator[int]:
        done = 0
        for number in files:
            progress(done)
            done += layout.file_labels(number)
            yield number
        progress(done)

    best, wrong = best_in_data(
        candidates(storage, layout, counted(), difficulty, stopped),
        difficulty,
        lambda index: label32(commitment, index, scrypt_n),
    )
    places = [(index, *layout.locate(index)) for index in wrong]
    return best, [
        f"{file_name(number)}: the label at byte offset {offset} (index {index}) is wrong; run `smesher verify "
        f"{quote(str(storage.path))}` and `smesher repair {quote(str(storage.path))}`."
        for index, number, offset in places
    ]


def search_beyond(
    books: Books,
    source: LabelSource,
    commitment: bytes,
    scrypt_n: int,
    label32: Label32,
    batch_size: int = BATCH_SIZE,
    *,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int], None] = lambda done: None,
) -> Nonce:
    """Batch after batch past the data; the smallest label of the first batch with a hit is saved as the nonce.

    Goes on where an earlier search stopped, in the middle of a batch too. Raises UsageError when the
    label indices end; `kernels.devices.types.Stopped` after saving how far it came.
    """
    metadata = books.metadata
    difficulty = vrf_difficulty(metadata.num_labels)
    start = max(metadata.last_position or 0, metadata.num_labels)
    looked_at = 0
    while True:
        if start + batch_size - 1 > MAX_INDEX:
            raise UsageError(
                f"The search for a VRF nonce has reached label {start}; there are no label indices beyond 2^64."
            )
        if books.metadata.last_position != start:
            books.save_metadata(replace(books.metadata, last_position=start))
        best, position = _resumed(books.record.search, start, batch_size)
        if best is not None:  # noted when there were fewer units, it may no longer suffice; then none before it does
            label = label32(commitment, best.index, scrypt_n)
            best = Nonce(best.index, label) if label < difficulty else None
        end, saved_at = start + batch_size, clock()
        try:
            for batch in source.run(commitment, [(position, end - position)] if position < end else []):
                if batch.candidate.label32 < (best.label32 if best else difficulty):
                    best = Nonce(batch.candidate.index, batch.candidate.label32)
                position = batch.start + len(batch.labels)
                progress(looked_at + position - start)
                if clock() - saved_at >= SAVE_SECONDS:
                    books.note_search(Search(start, position, best.index if best else None))
                    saved_at = clock()
        except Stopped:
            books.note_search(Search(start, position, best.index if best else None))
            raise
        if best is not None:
            books.save_nonce(best.index, best.value)
            books.note_search(None)
            return best
        start += batch_size
        looked_at += batch_size


def _resumed(search: Search | None, start: int, batch_size: int) -> tuple[Nonce | None, int]:
    """The best so far (its label is still to be computed) and the next position of a batch that was begun."""
    if search is None or search.start != start or not start <= search.position <= start + batch_size:
        return None, start
    return (Nonce(search.best, b"") if search.best is not None else None), search.position
