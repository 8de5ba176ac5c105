"""ECVRF proofs of many keys at once, in the lanes of `ecvrf_lanes`: for keys that are no secret, as in a simulation.

Nothing here takes the same time for all scalars; a key that is somebody's own goes through `protocol.crypto.vrf.prove`
and libsodium, which gives the same proofs. RFC 9381, section 5.1; protocol 03-encoding-and-types, section 9.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import numpy as np

from kernels.signatures import ed25519_batch
from kernels.signatures.ed25519_batch import LANES, Bytes, Memory, Words
from kernels.signatures.ed25519_curve import ORDER
from kernels.vectors import target

COMPILED = "signatures.ecvrf_products.multiply_groups"


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key whose secret half is known to everybody."""

    public_key: bytes
    scalar: int
    """Modulo the order of the group."""
    nonce_prefix: bytes

    @classmethod
    def of(cls, seed: bytes, public_key: bytes) -> OpenKey:
        """Of a seed of 32 bytes, and the key that belongs to it."""
        digest = bytearray(hashlib.sha512(seed).digest())
        digest[0] &= 248
        digest[31] = digest[31] & 127 | 64
        return cls(public_key, int.from_bytes(digest[:32], "little") % ORDER, bytes(digest[32:]))


_ready = threading.Event()


def is_ready() -> bool:
    """Whether the compiled code is loaded, so that a batch begins at once."""
    return _ready.is_set()


def is_compiled() -> bool:
    """Whether the code for this processor is in the cache, so that loading it is quick."""
    return target.has_cached_code(COMPILED)


def prepare() -> None:
    """Loads the compiled code; compiles it first, in a child process, where it is not in the cache: some 20 seconds."""
    if not is_ready():
        if not is_compiled():
            target.compile_in_child(__name__)
        warm_up()


@cache
def prepare_in_background() -> threading.Thread:
    """Starts `prepare` on a thread of its own unless it runs or ran; returns at once."""
    thread = threading.Thread(target=_prepare_quietly, name="prepare-proofs", daemon=True)
    thread.start()
    return thread


def _prepare_quietly() -> None:
    try:
        prepare()
    except Exception as error:  # nobody waits for it, and libsodium gives the same proofs
        logging.getLogger(__name__).warning("proofs are made one after the other: %s", error)


def warm_up() -> None:
    """Compiles everything, or loads it from the cache."""
    prove_many([OpenKey(bytes(32), 1, b"")], [b""])
    _ready.set()


def prove_many(keys: Sequence[OpenKey], inputs: Sequence[bytes]) -> list[bytes]:
    """The 80-byte proof of each key for its input. Raises ValueError for lists of unequal lengths.

    Loads or compiles the code where that was not done before.
    """
    if len(keys) != len(inputs):
        raise ValueError(f"{len(keys)} keys and {len(inputs)} inputs")
    if not keys:
        return []
    first = _products(keys, [key.scalar for key in keys], inputs)
    nonces = [_number(key.nonce_prefix + h) for key, (h, _, _) in zip(keys, first)]
    second = _products(keys, nonces, inputs)
    proofs = []
    for key, nonce, (h, _, gamma), (_, u, v) in zip(keys, nonces, first, second):
        challenge = hashlib.sha512(b"\x04\x02" + key.public_key + h + gamma + u + v + b"\x00").digest()[:16]
        s = (nonce + int.from_bytes(challenge, "little") * key.scalar) % ORDER
        proofs.append(gamma + challenge + s.to_bytes(32, "little"))
    return proofs


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % ORDER


@cache
def _shared() -> tuple[ModuleType, Memory, Words]:
    """The compiled module, memory for its calls, and the tables of the base point."""
    from kernels.signatures import ecvrf_products, ed25519_points

    memory = Memory(ecvrf_products.memory_words(ed25519_batch.PIECE // LANES))
    return ecvrf_products, memory, ed25519_points.base_tables()


def _products(
    keys: Sequence[OpenKey], scalars: Sequence[int], inputs: Sequence[bytes]
) -> list[tuple[bytes, bytes, bytes]]:
    """H, [scalar] B and [scalar] H of each, encoded."""
    module, memory, base_tables = _shared()
    found: list[tuple[bytes, bytes, bytes]] = []
    for piece in ed25519_batch.pieces(len(keys), 1):
        points = np.zeros((3, LANES * ed25519_batch.groups_of(piece), 32), np.uint8)
        joined, offsets, longest = ed25519_batch.join_messages(inputs[piece])
        stride = module.input_bytes(longest)
        words = memory.take()
        module.multiply_groups(
            words,
            _join([key.public_key for key in keys[piece]]),
            _join([scalar.to_bytes(32, "little") for scalar in scalars[piece]]),
            joined,
            offsets,
            piece.stop - piece.start,
            ed25519_batch.aligned_words(stride),
            stride,
            base_tables,
            points,
        )
        memory.give_back(words)
        found += [
            (points[0, at].tobytes(), points[1, at].tobytes(), points[2, at].tobytes())
            for at in range(piece.stop - piece.start)
        ]
    return found


def _join(parts: Sequence[bytes]) -> Bytes:
    return ed25519_batch.join(parts, 32)
