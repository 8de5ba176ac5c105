"""The search for a registration's proof of work: RIPEMD-256 of a fixed beginning and a nonce, many nonces at once.

A vector holds one word of as many messages as fit into a register; what stands before the block of the nonce is hashed
once. The nonce is eight bytes, little-endian, at the end of the message; the hash must begin with zero bits.
Protocol 02-poet, section 7.2.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from kernels.errors import KernelError
from kernels.posw.ripemd_tables import (
    LEFT_CONSTANTS,
    LEFT_SHIFTS,
    LEFT_START,
    LEFT_WORDS,
    RIGHT_CONSTANTS,
    RIGHT_SHIFTS,
    RIGHT_START,
    RIGHT_WORDS,
)
from kernels.vectors import target
from kernels.vectors.simd import rotate_left

target.keep_code_of(__name__)

LANES = target.variant().registers // 32
"""Messages side by side."""

NONCES_BETWEEN_STOPS = 1 << 20
"""After about so many nonces the search looks whether it was told to stop: some tens of milliseconds."""

_V = ir.VectorType(ir.IntType(32), LANES)


def _xor(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(builder.xor(b, c), d)


def _choose(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(d, builder.and_(b, builder.xor(c, d)))


def _or_not(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(builder.or_(b, builder.not_(c)), d)


def _choose_by_last(builder: Any, b: Any, c: Any, d: Any) -> Any:
    return builder.xor(c, builder.and_(d, builder.xor(b, c)))


_LEFT = (_xor, _choose, _or_not, _choose_by_last)
_RIGHT = (_choose_by_last, _or_not, _choose, _xor)


def _step(builder: Any, line: list[Any], mix: Any, word: Any, constant: int, shift: int) -> list[Any]:
    a, b, c, d = line
    total = builder.add(builder.add(a, mix(builder, b, c, d)), word)
    if constant:
        total = builder.add(total, ir.Constant(_V, [constant] * LANES))
    return [d, rotate_left(builder, total, shift), b, c]


@intrinsic
def _compress(_typing: Any, state: Any, words: Any, block: Any) -> Any:
    """Takes block number `block` of `words` (uint32[blocks * 16 * LANES]) into `state` (uint32[8 * LANES])."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def vectors(position: int, start: Any, count: int) -> list[Any]:
            data = context.make_array(signature.args[position])(context, builder, args[position]).data
            pointer = builder.bitcast(builder.gep(data, [start]), _V.as_pointer())
            return [builder.gep(pointer, [ir.Constant(ir.IntType(32), number)]) for number in range(count)]

        def load(pointer: Any) -> Any:
            value = builder.load(pointer)
            value.align = 4
            return value

        places = vectors(0, ir.Constant(ir.IntType(64), 0), 8)
        start = builder.mul(args[2], ir.Constant(args[2].type, 16 * LANES))
        message = [load(pointer) for pointer in vectors(1, start, 16)]
        before = [load(pointer) for pointer in places]
        left, right = before[:4], before[4:]
        for number in range(4):
            for step in range(16):
                word, shift = message[LEFT_WORDS[number][step]], LEFT_SHIFTS[number][step]
                left = _step(builder, left, _LEFT[number], word, LEFT_CONSTANTS[number], shift)
                word, shift = message[RIGHT_WORDS[number][step]], RIGHT_SHIFTS[number][step]
                right = _step(builder, right, _RIGHT[number], word, RIGHT_CONSTANTS[number], shift)
            left[number], right[number] = right[number], left[number]
        for place, old, new in zip(places, before, [*left, *right], strict=True):
            builder.store(builder.add(old, new), place).align = 4
        return context.get_dummy_value()

    return types.none(state, words, types.int64), code


@njit(nogil=True)
def _broadcast(out, words):  # type: ignore[no-untyped-def]
    for position in range(len(words)):
        for lane in range(LANES):
            out[position * LANES + lane] = words[position]


@njit(nogil=True)
def _leading_zero_bits(state, lane):  # type: ignore[no-untyped-def]
    """Zero bits at the beginning of the hash, whose words are little-endian and whose bytes begin with the high bit."""
    bits = 0
    for word in range(8):
        value = state[word * LANES + lane]
        for position in range(4):
            byte = (value >> np.uint32(8 * position)) & np.uint32(0xFF)
            if byte == 0:
                bits += 8
                continue
            while byte < 128:
                byte *= 2
                bits += 1
            return bits
    return bits


@njit(nogil=True, cache=True)
def _search(midstate, tail, at, first, count, difficulty, stop):  # type: ignore[no-untyped-def]
    """The position of the first nonce of first … first + count - 1 that will do; -1 none, -2 told to stop."""
    words = np.empty(len(tail) * LANES, np.uint32)
    start = np.empty(8 * LANES, np.uint32)
    state = np.empty(8 * LANES, np.uint32)
    _broadcast(words, tail)
    _broadcast(start, midstate)
    blocks = len(tail) // 16
    place, shift = at // 4, 8 * (at % 4)
    for batch in range(0, count, LANES):
        if batch % NONCES_BETWEEN_STOPS < LANES and stop[0]:
            return -2
        for lane in range(LANES):
            nonce = first + np.uint64(batch + lane)
            low = nonce << np.uint64(shift)
            words[place * LANES + lane] = tail[place] | np.uint32(low & np.uint64(0xFFFFFFFF))
            words[(place + 1) * LANES + lane] = tail[place + 1] | np.uint32(low >> np.uint64(32))
            if shift:
                words[(place + 2) * LANES + lane] = tail[place + 2] | np.uint32(nonce >> np.uint64(64 - shift))
        for position in range(8 * LANES):
            state[position] = start[position]
        for block in range(blocks):
            _compress(state, words, block)
        for lane in range(min(LANES, count - batch)):
            # nearly all hashes end here: the first byte has a bit set
            if difficulty >= 8 and state[lane] & np.uint32(0xFF):
                continue
            if _leading_zero_bits(state, lane) >= difficulty:
                return batch + lane
    return -1


@njit(nogil=True, cache=True)
def _absorb(state, words, blocks):  # type: ignore[no-untyped-def]
    wide = np.empty(8 * LANES, np.uint32)
    message = np.empty(len(words) * LANES, np.uint32)
    _broadcast(wide, state)
    _broadcast(message, words)
    for block in range(blocks):
        _compress(wide, message, block)
    for position in range(8):
        state[position] = wide[position * LANES]


def search(
    beginning: bytes,
    difficulty: int,
    first: int = 0,
    count: int = 1 << 62,
    stop: npt.NDArray[np.uint8] | None = None,
) -> int | None:
    """The first nonce from `first` on, of at most `count`, whose hash begins with `difficulty` zero bits, or None.

    Holds no interpreter lock. Another thread ends the search by writing to stop[0] (uint8[1]): KernelError.
    """
    if not 0 <= difficulty <= 256:
        return None
    if not 0 <= first < 1 << 64:
        raise KernelError(f"the first nonce is {first}, expected 0 to 2^64 - 1")
    # the last nonces of all are left to the lanes that a batch has too many
    count = min(count, (1 << 64) - first, (1 << 63) - LANES)
    whole = len(beginning) // 64 * 64
    state = np.array([*LEFT_START, *RIGHT_START], np.uint32)
    if whole:
        _absorb(state, np.frombuffer(beginning[:whole], "<u4").astype(np.uint32), whole // 64)
    at = len(beginning) - whole
    rest = beginning[whole:] + bytes(8) + b"\x80"
    rest += bytes((56 - len(rest)) % 64) + struct.pack("<Q", 8 * (len(beginning) + 8))
    tail = np.frombuffer(rest, "<u4").astype(np.uint32)
    flag = np.zeros(1, np.uint8) if stop is None else stop
    found = int(_search(state, tail, at, np.uint64(first), count, difficulty, flag))
    if found == -2:
        raise KernelError("the search was stopped")
    return None if found < 0 else first + found
