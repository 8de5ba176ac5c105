"""SHA-512 of eight messages side by side, one in each 64-bit lane. FIPS 180-4, sections 4.1.3, 4.2.3 and 6.4.

The messages lie in one buffer of bytes, `stride` apart (a multiple of a block); `pad` ends each. The state is eight
vectors, word by word, in big-endian meaning: word 0 holds the first eight bytes of the digest as its highest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.signatures.field25519 import copy_words
from kernels.vectors.lanes import LANES, Lanes, lane_operation

BLOCK = 128
"""Bytes of a block."""

PADDING = 17
"""Bytes that at least follow a message: one that is not zero, and the length."""

STATE = 8 * LANES
"""64-bit words of a state."""

HASH_SCRATCH = STATE + 16 * LANES + 2 * LANES
"""Words that `hash_blocks` needs: the state before a block, its words, which lanes are active and where they read."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(value: int, degree: int) -> int:
    """The first 64 bits behind the point of the root of this degree."""
    target, low, high = value << (64 * degree), 0, 1 << 72
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= target else (low, middle)
    return low & (2**64 - 1)


START = [_root_fraction(prime, 2) for prime in _primes(8)]
ROUNDS = np.array([_root_fraction(prime, 3) for prime in _primes(80)], dtype=np.uint64).repeat(LANES)


def padded_bytes(length: int) -> int:
    """Bytes that the blocks of a message of this length take."""
    return BLOCK * ((length + PADDING + BLOCK - 1) // BLOCK)


# ---- input ----


@intrinsic
def _copy_bytes(_typing: Any, target: Any, place: Any, source: Any, start: Any, count: Any) -> Any:
    """The machine's own copy: numba's loop, which must expect an overlap, goes byte by byte."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2)]
        to, origin = (builder.gep(data, [args[i]]) for data, i in zip(arrays, (1, 3)))
        cgutils.raw_memcpy(builder, to, origin, args[4], 1)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), code


@njit(nogil=True)
def put_bytes(blocks, place, source, start, count):  # type: ignore[no-untyped-def]
    """Appends source[start : start + count] at `place`; returns the place behind it."""
    _copy_bytes(blocks, place, source, start, count)
    return place + count


@njit(nogil=True)
def pad(blocks, start, end):  # type: ignore[no-untyped-def]
    """Ends the message blocks[start:end]; returns its number of blocks."""
    count = (end - start + PADDING + BLOCK - 1) // BLOCK
    stop = start + BLOCK * count
    blocks[end] = 0x80
    for i in range(end + 1, stop - 8):
        blocks[i] = 0
    bits = 8 * (end - start)
    for i in range(8):
        blocks[stop - 1 - i] = (bits >> (8 * i)) & 0xFF
    return count


# ---- compression ----


@lane_operation
def _start_hash(lanes: Lanes, state: Any) -> None:
    for i, word in enumerate(START):
        lanes.store(lanes.constant(word), state, i * LANES)


@lane_operation
def _read_block(lanes: Lanes, words: Any, indices: Any, blocks: Any) -> None:
    places = lanes.load(indices)
    for i in range(16):
        lanes.store(lanes.byte_swap(lanes.gather(lanes.at(blocks, i), places)), words, i * LANES)


@lane_operation
def _sixteen_rounds(lanes: Lanes, state: Any, words: Any, constants: Any) -> None:
    """Sixteen rounds, and the words of the next sixteen."""
    a, b, c, d, e, f, g, h = (lanes.load(state, i * LANES) for i in range(8))
    w = [lanes.load(words, i * LANES) for i in range(16)]

    def mix(value: Any, first: int, second: int, third: int, shift: bool = False) -> Any:
        last = lanes.right(value, third) if shift else lanes.rotate_right(value, third)
        return lanes.xor(lanes.xor(lanes.rotate_right(value, first), lanes.rotate_right(value, second)), last)

    for i in range(16):
        choice = lanes.xor(lanes.both(e, lanes.xor(f, g)), g)
        majority = lanes.either(lanes.both(a, b), lanes.both(c, lanes.either(a, b)))
        t = lanes.add(lanes.add(h, lanes.add(w[i], lanes.load(constants, i * LANES))), mix(e, 14, 18, 41))
        t = lanes.add(t, choice)
        top = lanes.add(t, lanes.add(mix(a, 28, 34, 39), majority))
        a, b, c, d, e, f, g, h = top, a, b, c, lanes.add(d, t), e, f, g
    for i in range(16):
        early = lanes.add(w[i], mix(w[(i + 1) % 16], 1, 8, 7, True))
        w[i] = lanes.add(early, lanes.add(w[(i + 9) % 16], mix(w[(i + 14) % 16], 19, 61, 6, True)))
    for i, value in enumerate((a, b, c, d, e, f, g, h)):
        lanes.store(value, state, i * LANES)
    for i, value in enumerate(w):
        lanes.store(value, words, i * LANES)


@lane_operation
def _add_state(lanes: Lanes, state: Any, before: Any, active: Any) -> None:
    """state += before in active lanes, state = before in the others."""
    is_idle = lanes.is_equal(lanes.load(active), lanes.constant(0))
    for i in range(8):
        old = lanes.load(before, i * LANES)
        lanes.store(lanes.choose(is_idle, old, lanes.add(old, lanes.load(state, i * LANES))), state, i * LANES)


@lane_operation
def digest_rows(lanes: Lanes, rows: Any, state: Any) -> None:
    """The 64 bytes of each lane's digest, one behind the other."""
    lanes.store_rows([lanes.byte_swap(lanes.load(state, i * LANES)) for i in range(8)], rows, 8)


@njit(nogil=True)
def hash_blocks(memory, state, scratch, block_words, stride, block_counts):  # type: ignore[no-untyped-def]
    """The states after the padded messages in block_words, `stride` bytes apart, of block_counts[lane] blocks each."""
    before, words = scratch, scratch + STATE
    indices, active = words + 16 * LANES, words + 17 * LANES
    most = 0
    for lane in range(LANES):
        most = max(most, block_counts[lane])
    _start_hash(memory, state)
    for block in range(most):
        for lane in range(LANES):
            is_inside = block < block_counts[lane]
            memory[active + lane] = is_inside
            memory[indices + lane] = lane * (stride // 8) + (block * 16 if is_inside else 0)
        copy_words(memory, before, state, STATE)
        _read_block(memory, words, indices, block_words)
        for i in range(5):
            _sixteen_rounds(memory, state, words, ROUNDS[16 * i * LANES :])
        _add_state(memory, state, before, active)
