"""ECVRF verification in batches: eight proofs side by side in the lanes of `ecvrf_lanes`.

The compiled code is made and loaded together with that of the signatures (`ed25519.prepare`). Protocol
03-encoding-and-types, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np

from kernels.signatures import ed25519_batch
from kernels.signatures.ed25519_batch import LANES, Integers, Memory, Words
from kernels.signatures.ed25519_keys import Columns, KnownKeys, Verdicts


@cache
def _shared() -> tuple[ModuleType, Memory, Words]:
    """The compiled module, memory for its calls, and the tables of the base point."""
    from kernels.signatures import ecvrf_lanes, ed25519_points

    memory = Memory(ecvrf_lanes.memory_words(ed25519_batch.PIECE // LANES))
    return ecvrf_lanes, memory, ed25519_points.base_tables()


def verify_many(
    public_keys: Sequence[bytes],
    inputs: Sequence[bytes],
    proofs: Sequence[bytes],
    threads: int = 1,
    known: KnownKeys | None = None,
) -> Verdicts:
    """One verdict for each proof. Keys have 32 bytes and proofs 80, else ValueError.

    With `known`, keys that it holds take the shorter way. It is shorter by a fifteenth only, for which no table is
    made. Loads or compiles the code where that was not done before.
    """
    if not len(inputs):
        return np.zeros(0, np.bool_)

    def verify(columns: Columns, tables: Words | None, starts: Integers | None) -> Verdicts:
        return _verify(columns, threads, tables, starts)

    columns = (public_keys, inputs, proofs)
    return verify(columns, None, None) if known is None else known.verify(columns, verify, learn=False)


def _verify(columns: Columns, threads: int, tables: Words | None, starts: Integers | None) -> Verdicts:
    lanes, memory, base_tables = _shared()
    keys, proofs = ed25519_batch.join(columns[0], 32), ed25519_batch.join(columns[2], 80)
    inputs, offsets, longest = ed25519_batch.join_messages(columns[1])
    count, stride = len(columns[0]), lanes.input_bytes(longest)
    verdicts = np.zeros(count, np.bool_)
    nothing, nowhere = np.empty(0, np.uint64), np.empty(0, np.int64)

    def work(piece: slice) -> None:
        first, stop = piece.start, piece.start + LANES * ed25519_batch.groups_of(piece)
        words = memory.take()
        lanes.verify_groups(
            words,
            keys[32 * first : 32 * stop],
            proofs[80 * first : 80 * stop],
            inputs,
            offsets[first : piece.stop + 1],
            piece.stop - first,
            ed25519_batch.aligned_words(stride),
            stride,
            base_tables,
            nothing if tables is None else tables,
            nowhere if starts is None else starts[piece],
            verdicts[piece],
        )
        memory.give_back(words)

    ed25519_batch.run(work, ed25519_batch.pieces(count, threads), threads)
    return verdicts
