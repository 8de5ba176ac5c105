"""RIPEMD-256 of one message, compiled: what a server checks a registration's proof of work with.

The steps of a block are written out as LLVM instructions; both lines of the algorithm run side by side. The
search over nonces is `kernels.ripemd`. Named by protocol 02-poet, section 7.2.
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

STATE_WORDS = 8

target.variant()  # the target is set before anything is compiled

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


@njit(nogil=True, cache=True)
def _absorb(state, blocks):  # type: ignore[no-untyped-def]
    for block in range(blocks.shape[0]):
        compress_words(state, blocks[block])


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", len(data) * 8)


def _new_state() -> np.ndarray[Any, np.dtype[np.uint32]]:
    return np.array([*LEFT_START, *RIGHT_START], np.uint32)


def ripemd256(data: bytes) -> bytes:
    """The hash, 32 bytes."""
    state = _new_state()
    _absorb(state, np.frombuffer(_padded(data), np.uint32).reshape(-1, 16))
    return state.astype("<u4").tobytes()
