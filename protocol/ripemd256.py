"""RIPEMD-256 in plain Python, for checking one proof of work at a time.

Two lines of sixty-four steps run over the same block and exchange one word after each round of sixteen. A
search over many nonces belongs to a compiled kernel; a server that checks one hash a submit is better off
without one in memory. Named by protocol 02-poet, section 7.2.
"""

from __future__ import annotations

import struct

from kernels.ripemd256_tables import (
    LEFT_CONSTANTS,
    LEFT_SHIFTS,
    LEFT_START,
    LEFT_WORDS,
    RIGHT_CONSTANTS,
    RIGHT_SHIFTS,
    RIGHT_START,
    RIGHT_WORDS,
)

MASK = 0xFFFFFFFF

LEFT_STEPS, RIGHT_STEPS = (
    tuple(tuple((w, s, 32 - s) for w, s in zip(words[r], shifts[r], strict=True)) for r in range(4))
    for words, shifts in ((LEFT_WORDS, LEFT_SHIFTS), (RIGHT_WORDS, RIGHT_SHIFTS))
)
"""For each round, its steps: message word, rotation to the left, the same to the right."""

Words = tuple[int, int, int, int]
Steps = tuple[tuple[int, int, int], ...]


def ripemd256(data: bytes) -> bytes:
    """The hash, 32 bytes."""
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", len(data) * 8)
    left, right = LEFT_START, RIGHT_START
    for start in range(0, len(padded), 64):
        left, right = _compress(left, right, struct.unpack_from("<16I", padded, start))
    return struct.pack("<8I", *left, *right)


def _compress(left: Words, right: Words, x: tuple[int, ...]) -> tuple[Words, Words]:
    a, b, c, d = left
    e, f, g, h = right
    a, b, c, d = _round_xor(a, b, c, d, x, LEFT_STEPS[0], LEFT_CONSTANTS[0])
    e, f, g, h = _round_choose_by_last(e, f, g, h, x, RIGHT_STEPS[0], RIGHT_CONSTANTS[0])
    a, e = e, a
    a, b, c, d = _round_choose(a, b, c, d, x, LEFT_STEPS[1], LEFT_CONSTANTS[1])
    e, f, g, h = _round_or_not(e, f, g, h, x, RIGHT_STEPS[1], RIGHT_CONSTANTS[1])
    b, f = f, b
    a, b, c, d = _round_or_not(a, b, c, d, x, LEFT_STEPS[2], LEFT_CONSTANTS[2])
    e, f, g, h = _round_choose(e, f, g, h, x, RIGHT_STEPS[2], RIGHT_CONSTANTS[2])
    c, g = g, c
    a, b, c, d = _round_choose_by_last(a, b, c, d, x, LEFT_STEPS[3], LEFT_CONSTANTS[3])
    e, f, g, h = _round_xor(e, f, g, h, x, RIGHT_STEPS[3], RIGHT_CONSTANTS[3])
    d, h = h, d
    return (
        ((left[0] + a) & MASK, (left[1] + b) & MASK, (left[2] + c) & MASK, (left[3] + d) & MASK),
        ((right[0] + e) & MASK, (right[1] + f) & MASK, (right[2] + g) & MASK, (right[3] + h) & MASK),
    )


# One function a round: the four differ in one expression, and a call a step would double their cost.


def _round_xor(a: int, b: int, c: int, d: int, x: tuple[int, ...], steps: Steps, k: int) -> Words:
    for word, shift, back in steps:
        t = (a + (b ^ c ^ d) + x[word] + k) & MASK
        a, d, c, b = d, c, b, (t << shift | t >> back) & MASK
    return a, b, c, d


def _round_choose(a: int, b: int, c: int, d: int, x: tuple[int, ...], steps: Steps, k: int) -> Words:
    for word, shift, back in steps:
        t = (a + (d ^ b & (c ^ d)) + x[word] + k) & MASK
        a, d, c, b = d, c, b, (t << shift | t >> back) & MASK
    return a, b, c, d


def _round_or_not(a: int, b: int, c: int, d: int, x: tuple[int, ...], steps: Steps, k: int) -> Words:
    for word, shift, back in steps:
        t = (a + ((b | c ^ MASK) ^ d) + x[word] + k) & MASK
        a, d, c, b = d, c, b, (t << shift | t >> back) & MASK
    return a, b, c, d


def _round_choose_by_last(a: int, b: int, c: int, d: int, x: tuple[int, ...], steps: Steps, k: int) -> Words:
    for word, shift, back in steps:
        t = (a + (c ^ d & (b ^ c)) + x[word] + k) & MASK
        a, d, c, b = d, c, b, (t << shift | t >> back) & MASK
    return a, b, c, d
