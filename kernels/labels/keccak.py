"""Keccak[c=1024] with the original padding (0x01 … 0x80), and HMAC over it, for several messages side by side.

A state is 25 words of 64 bits; here every word is a vector with one message a lane. Rate 72 bytes
(9 words), digest 64 bytes (8 words). Not FIPS 202: SHA3-512 pads with 0x06.
Specified in protocol 01-post, section 2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from kernels.vectors.simd import load, load_many, rotate_left, store, store_many, xor
from kernels.vectors.target import variant

RATE_WORDS = 9
DIGEST_WORDS = 8
LANES = variant().lanes


def _round_constants() -> list[int]:
    """The 24 constants of iota, from the degree-8 LFSR that defines them."""
    constants, register = [], 1
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


def _rotations() -> list[int]:
    """The rotation of every word in rho; word (x, y) has number x + 5 y."""
    rotations = [0] * 25
    x, y = 1, 0
    for step in range(24):
        rotations[x + 5 * y] = (step + 1) * (step + 2) // 2 % 64
        x, y = y, (2 * x + 3 * y) % 5
    return rotations


ROUND_CONSTANTS = np.array(_round_constants(), dtype=np.uint64)
ROTATIONS = _rotations()


@intrinsic
def keccak_round(_typing: Any, state: Any, constant: Any) -> Any:
    """One round (theta, rho, pi, chi, iota) on a tuple of 25 vectors."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a = [builder.extract_value(args[0], number) for number in range(25)]
        vector = a[0].type
        column = []
        for x in range(5):
            total = a[x]
            for y in range(1, 5):
                total = builder.xor(total, a[x + 5 * y])
            column.append(total)
        theta = [builder.xor(column[x - 1], rotate_left(builder, column[(x + 1) % 5], 1)) for x in range(5)]
        a = [builder.xor(word, theta[number % 5]) for number, word in enumerate(a)]
        b = list(a)
        for x in range(5):
            for y in range(5):
                word, count = a[x + 5 * y], ROTATIONS[x + 5 * y]
                b[y + 5 * ((2 * x + 3 * y) % 5)] = rotate_left(builder, word, count) if count else word
        ones = ir.Constant(vector, [2**64 - 1] * vector.count)
        out = []
        for number in range(25):
            row, x = number - number % 5, number % 5
            masked = builder.and_(builder.xor(b[row + (x + 1) % 5], ones), b[row + (x + 2) % 5])
            out.append(builder.xor(b[number], masked))
        splat = ir.Constant(vector, ir.Undefined)
        for lane in range(vector.count):
            splat = builder.insert_element(splat, args[1], ir.Constant(ir.IntType(32), lane))
        out[0] = builder.xor(out[0], splat)
        return context.make_tuple(builder, signature.return_type, out)

    return state(state, types.uint64), code


@njit(nogil=True)
def keccak_f(state):  # type: ignore[no-untyped-def]
    """The permutation, in place, on `state`: uint64[25 * LANES], word w of lane l at `w * LANES + l`."""
    words = load_many(state, 0, 25, LANES)
    for number in range(24):
        words = keccak_round(words, ROUND_CONSTANTS[number])
    store_many(state, 0, words)


@njit(nogil=True)
def absorb_words(state, message, first, count):  # type: ignore[no-untyped-def]
    """Xors `count` words a lane of `message` (same layout as the state), from word `first`, into the rate."""
    for number in range(count):
        store(
            state,
            number * LANES,
            xor(load(state, number * LANES, LANES), load(message, (first + number) * LANES, LANES)),
        )


@njit(nogil=True)
def absorb_constant(state, number, constant):  # type: ignore[no-untyped-def]
    """Xors one constant into word `number` of every lane."""
    for lane in range(LANES):
        state[number * LANES + lane] ^= constant


@njit(nogil=True)
def hmac_key(password, pad, state):  # type: ignore[no-untyped-def]
    """State after absorbing the 72-byte key block xored with `pad` (a byte repeated over a word)."""
    state[:] = 0
    absorb_words(state, password, 0, RATE_WORDS)
    for number in range(RATE_WORDS):
        absorb_constant(state, number, pad)
    keccak_f(state)


@njit(nogil=True)
def hmac_finish(inner, outer_key, state):  # type: ignore[no-untyped-def]
    """The outer hash: `state` becomes H(key ^ opad || digest of `inner`), digest in its first 8 words."""
    state[:] = outer_key
    absorb_words(state, inner, 0, DIGEST_WORDS)
    # 64 bytes of message fill words 0..7; word 8 holds the padding: 0x01 … 0x80
    absorb_constant(state, 8, np.uint64(0x8000000000000001))
    keccak_f(state)
