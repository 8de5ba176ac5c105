"""Ed25519 verification in batches: eight signatures side by side in the lanes of `ed25519_lanes`.

Worth its while where the processor has a 52-bit multiply-add for vectors (IFMA); elsewhere the same code runs on a
portable twin and libsodium is quicker. Importing this module is cheap; the compiled code is made or loaded by
`prepare`, in a child process and from the cache like that of the labels. Keys that were seen before are kept as tables.
Protocol 03-encoding-and-types, section 8.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np

from kernels.signatures import ed25519_batch
from kernels.signatures.ed25519_batch import LANES, Bytes, Integers, Memory, Words
from kernels.signatures.ed25519_keys import Columns, KnownKeys, Verdicts
from kernels.vectors import target

NODE = 0
"""The rules of a node: cofactored, A and R canonical, A not of small order."""

GO_STANDARD_LIBRARY = 1
"""The rules of the PoET server: R is the encoding of [S]B - [k]A, and A any encoding of a point."""


_COMPILED = (
    "signatures.ed25519_lanes.verify_groups",
    "signatures.ed25519_known.remember_eight",
    "signatures.ecvrf_lanes.verify_groups",
)


# ---- compiled code ----


def is_fast() -> bool:
    """Whether this processor runs the lanes faster than libsodium verifies one signature after the other."""
    return target.has_feature("avx512ifma")


_lock = threading.Lock()
_preparing: threading.Thread | None = None
_ready = threading.Event()


def is_ready() -> bool:
    """Whether the compiled code is loaded, so that a batch begins at once."""
    return _ready.is_set()


def is_compiled() -> bool:
    """Whether the code for this processor is in the cache, so that loading it is quick."""
    return all(target.has_cached_code(name) for name in _COMPILED)


def prepare() -> None:
    """Loads the compiled code; compiles it first where it is not in the cache, which takes some 20 seconds."""
    if not is_ready():
        compile_kernels()
        warm_up()


def prepare_in_background() -> None:
    """Starts `prepare` on a thread of its own unless it runs or ran; returns at once."""
    global _preparing
    with _lock:
        if _preparing is None and not is_ready():
            _preparing = threading.Thread(target=_prepare_quietly, name="prepare-signatures", daemon=True)
            _preparing.start()


def _prepare_quietly() -> None:
    try:
        prepare()
    except Exception as error:  # nobody waits for it, and libsodium gives the same verdicts
        logging.getLogger(__name__).warning("signatures are verified one after the other: %s", error)


def compile_kernels() -> None:
    """Fills the cache of compiled code, in a child process; see `target.compile_in_child`."""
    if not is_compiled():
        target.compile_in_child(__name__)


def warm_up() -> None:
    """Compiles everything, or loads it from the cache: signatures, tables of known keys, VRF proofs."""
    from kernels.signatures import ecvrf

    key, signature = bytes(32), bytes(64)
    verify_many([key], [b"\0"], [signature])
    KnownKeys(LANES).remember([key])
    ecvrf.verify_many([key], [b"\0"], [bytes(80)])
    _ready.set()


@cache
def _shared() -> tuple[ModuleType, Memory, Words]:
    """The compiled module, memory for its calls, and the tables of the base point."""
    from kernels.signatures import ed25519_lanes, ed25519_points

    memory = Memory(ed25519_lanes.memory_words(ed25519_batch.PIECE // LANES))
    return ed25519_lanes, memory, ed25519_points.base_tables()


# ---- verification ----


def verify_many(
    public_keys: Sequence[bytes],
    messages: Sequence[bytes],
    signatures: Sequence[bytes],
    prefix: bytes = b"",
    rules: int = NODE,
    threads: int = 1,
    known: KnownKeys | None = None,
) -> Verdicts:
    """One verdict for each signature over prefix and message.

    Keys have 32 bytes and signatures 64, else ValueError. With `known`, keys that it holds take the shorter way, and
    it learns from the others. Loads or compiles the code where that was not done before.
    """
    if not len(messages):
        return np.zeros(0, np.bool_)
    head = ed25519_batch.as_array(prefix)

    def verify(columns: Columns, tables: Words | None, starts: Integers | None) -> Verdicts:
        return _verify(columns, head, rules, threads, tables, starts)

    columns = (public_keys, messages, signatures)
    if known is None:
        return verify(columns, None, None)
    return known.verify(columns, verify, learn=rules == NODE)


def _verify(
    columns: Columns, head: Bytes, rules: int, threads: int, tables: Words | None, starts: Integers | None
) -> Verdicts:
    lanes, memory, base_tables = _shared()
    keys, signatures = ed25519_batch.join(columns[0], 32), ed25519_batch.join(columns[2], 64)
    messages, offsets, longest = ed25519_batch.join_messages(columns[1])
    count, stride = len(columns[0]), lanes.input_bytes(len(head) + longest)
    verdicts = np.zeros(count, np.bool_)
    nothing, nowhere = np.empty(0, np.uint64), np.empty(0, np.int64)

    def work(piece: slice) -> None:
        first, stop = piece.start, piece.start + LANES * ed25519_batch.groups_of(piece)
        words = memory.take()
        lanes.verify_groups(
            words,
            keys[32 * first : 32 * stop],
            signatures[64 * first : 64 * stop],
            head,
            messages,
            offsets[first : piece.stop + 1],
            piece.stop - first,
            ed25519_batch.aligned_words(stride),
            stride,
            base_tables,
            nothing if tables is None else tables,
            nowhere if starts is None else starts[piece],
            rules,
            verdicts[piece],
        )
        memory.give_back(words)

    ed25519_batch.run(work, ed25519_batch.pieces(count, threads), threads)
    return verdicts
