"""RIPEMD-256 compiled: one message, or a search over nonces with one lane of a vector for each.

The steps of a block are written out as LLVM instructions, on plain words for one hash and on vectors for a
search; both lines of the algorithm run side by side. All blocks of a message before the one with the nonce are
the same for every nonce and hashed once. Named by protocol 02-poet, section 7.2.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import target
from .ripemd256_tables import (
    LEFT_CONSTANTS,
    LEFT_SHIFTS,
    LEFT_START,
    LEFT_WORDS,
    RIGHT_CONSTANTS,
    RIGHT_SHIFTS,
    RIGHT_START,
    RIGHT_WORDS,
)

LANES = 2 * target.variant().registers // 32
"""Nonces that are tried at once: two registers full, so that one waits while the other works."""

STATE_WORDS = 8
BLOCK_BYTES = 64
NONCES_A_CALL = 1 << 20

_WORD = ir.IntType(32)


def _rotate(builder: Any, value: Any, count: int) -> Any:
    suffix = f"v{value.type.count}i32" if isinstance(value.type, ir.VectorType) else "i32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(value.type, [value.type] * 3), f"llvm.fshl.{suffix}"
    )
    return builder.call(function, [value, value, _constant(value.type, count)])


def _constant(kind: Any, value: int) -> Any:
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return ir.Constant(kind, [signed] * kind.count) if isinstance(kind, ir.VectorType) else ir.Constant(kind, signed)


def _mixed(builder: Any, kind: int, b: Any, c: Any, d: Any) -> Any:
    """The four functions of three words: parity, choice, or-not, choice by the last."""
    if kind == 0:
        return builder.xor(builder.xor(b, c), d)
    if kind == 1:
        return builder.xor(d, builder.and_(b, builder.xor(c, d)))
    if kind == 2:
        return builder.xor(builder.or_(b, builder.not_(c)), d)
    return builder.xor(c, builder.and_(d, builder.xor(b, c)))


def _compress(builder: Any, state: list[Any], block: list[Any]) -> list[Any]:
    """The state after one block. Elements are words or vectors of words."""
    lines = [list(state[:4]), list(state[4:])]
    tables = ((LEFT_WORDS, LEFT_SHIFTS, LEFT_CONSTANTS), (RIGHT_WORDS, RIGHT_SHIFTS, RIGHT_CONSTANTS))
    for round_ in range(4):
        for step in range(16):
            for side, (words, shifts, constants) in enumerate(tables):
                a, b, c, d = lines[side]
                total = builder.add(a, _mixed(builder, round_ if side == 0 else 3 - round_, b, c, d))
                total = builder.add(total, block[words[round_][step]])
                if constants[round_]:
                    total = builder.add(total, _constant(total.type, constants[round_]))
                lines[side] = [d, _rotate(builder, total, shifts[round_][step]), b, c]
        lines[0][round_], lines[1][round_] = lines[1][round_], lines[0][round_]
    return [builder.add(before, after) for before, after in zip(state, [*lines[0], *lines[1]], strict=True)]


def _element(context: Any, builder: Any, array_type: Any, array: Any, index: int) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [ir.Constant(ir.IntType(64), index)])


@intrinsic
def compress_words(_typing: Any, state: Any, block: Any) -> Any:
    """One block, in place: 8 words of state, 16 of block."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [_element(context, builder, signature.args[0], args[0], i) for i in range(STATE_WORDS)]
        words = [builder.load(_element(context, builder, signature.args[1], args[1], i)) for i in range(16)]
        for place, value in zip(places, _compress(builder, [builder.load(p) for p in places], words), strict=True):
            builder.store(value, place)
        return context.get_dummy_value()

    return types.none(state, block), code


@intrinsic(prefer_literal=True)
def first_words(_typing: Any, state: Any, block: Any, position: Any, nonce: Any, out: Any) -> Any:
    """The first word of the hash for LANES nonces from `nonce` (a multiple of LANES), written to `out`.

    The block's words at `position` and behind are the nonce's place.
    """
    vector = ir.VectorType(_WORD, LANES)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def spread(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_WORD, 0))
            mask = ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)

        at = position.literal_value
        low = builder.trunc(args[3], _WORD)
        high = builder.trunc(builder.lshr(args[3], ir.Constant(ir.IntType(64), 32)), _WORD)
        words = []
        for index in range(16):
            if index == at:
                words.append(builder.add(spread(low), ir.Constant(vector, list(range(LANES)))))
            elif index == at + 1:
                words.append(spread(high))
            else:
                words.append(spread(builder.load(_element(context, builder, signature.args[1], args[1], index))))
        start = [
            spread(builder.load(_element(context, builder, signature.args[0], args[0], index)))
            for index in range(STATE_WORDS)
        ]
        first = _compress(builder, start, words)[0]
        pointer = builder.bitcast(_element(context, builder, signature.args[4], args[4], 0), vector.as_pointer())
        builder.store(first, pointer).align = 4
        return context.get_dummy_value()

    return types.none(state, block, position, types.uint64, out), code


@njit(nogil=True, cache=True)
def _absorb(state, blocks):  # type: ignore[no-untyped-def]
    for block in range(blocks.shape[0]):
        compress_words(state, blocks[block])


@njit(nogil=True, cache=True)
def _search(state, block, start, groups, limit, out):  # type: ignore[no-untyped-def]
    """The first group of lanes with a first word (as big-endian) up to `limit`; -1 if there is none."""
    for group in range(groups):
        first_words(state, block, NONCE_WORD, start + np.uint64(group * LANES), out)
        for lane in range(LANES):
            word = out[lane]
            swapped = (
                (word >> np.uint32(24))
                | ((word >> np.uint32(8)) & np.uint32(0xFF00))
                | ((word << np.uint32(8)) & np.uint32(0xFF0000))
                | ((word & np.uint32(0xFF)) << np.uint32(24))
            )
            if np.uint32(swapped) <= limit:
                return group
    return -1


NONCE_WORD = 8
"""Where the nonce is in the last block: behind 32 bytes, as in every registration."""


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", len(data) * 8)


def _new_state() -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.array([*LEFT_START, *RIGHT_START], np.uint32)


def ripemd256(data: bytes) -> bytes:
    """The hash, 32 bytes."""
    state = _new_state()
    _absorb(state, np.frombuffer(_padded(data), np.uint32).reshape(-1, 16))
    return state.astype("<u4").tobytes()


def search(prefix: bytes, difficulty: int, start: int = 0, count: int = NONCES_A_CALL) -> int | None:
    """The first nonce from `start`, of at most `count`, whose hash over prefix and nonce (u64, little-endian)
    begins with `difficulty` zero bits; None if there is none. The prefix has 32 bytes beyond whole blocks.
    """
    if len(prefix) % BLOCK_BYTES != 4 * NONCE_WORD:
        raise ValueError(f"a prefix of {len(prefix)} bytes does not put the nonce where the kernel has it")
    whole = len(prefix) // BLOCK_BYTES * BLOCK_BYTES
    state = _new_state()
    _absorb(state, np.frombuffer(prefix[:whole], np.uint32).reshape(-1, 16))
    block = np.frombuffer(_padded(prefix + bytes(8))[whole:], np.uint32).copy()
    limit = np.uint32((1 << max(0, 32 - difficulty)) - 1)
    out = np.zeros(LANES, np.uint32)
    nonce, end = start - start % LANES, start + count
    while nonce < end:
        groups = -(-min(end - nonce, NONCES_A_CALL) // LANES)
        group = _search(state, block, np.uint64(nonce), groups, limit, out)
        if group < 0:
            nonce += groups * LANES
            continue
        nonce += group * LANES
        for candidate in range(max(nonce, start), min(nonce + LANES, end)):
            digest = ripemd256(prefix + struct.pack("<Q", candidate))
            if difficulty <= 256 and int.from_bytes(digest, "big") >> (256 - difficulty) == 0:
                return candidate
        nonce += LANES
    return None
