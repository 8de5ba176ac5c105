"""RIPEMD-256 in plain Python, for checking one proof of work at a time.

Two lines of sixty-four steps run over the same block and exchange one word after each round of sixteen. A
search over many nonces belongs to a compiled kernel; a server that checks one hash a submit is better off
without one in memory. Named by protocol 02-poet, section 7.2.
"""

from __future__ import annotations

import struct

MASK = 0xFFFFFFFF

LEFT_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
RIGHT_START = (0x76543210, 0xFEDCBA98, 0x89ABCDEF, 0x01234567)
LEFT_CONSTANTS = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC)
RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0)

LEFT_WORDS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8),
    (3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12),
    (1, 9, 11, 10, 0, 8, 12, 4, 13, 3, 7, 15, 14, 5, 6, 2),
)
RIGHT_WORDS = (
    (5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12),
    (6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8, 12, 4, 9, 1, 2),
    (15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13),
    (8, 6, 4, 1, 3, 11, 15, 0, 5, 12, 2, 13, 9, 7, 10, 14),
)
LEFT_SHIFTS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12),
    (11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5),
    (11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12),
)
RIGHT_SHIFTS = (
    (8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6),
    (9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11),
    (9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5),
    (15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8),
)

LEFT_STEPS, RIGHT_STEPS = (
    tuple(
        tuple((w, s, 32 - s) for w, s in zip(words[r], shifts[r], strict=True)) for r in range(4)
    )
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


def _round_choose_by_last(
    a: int, b: int, c: int, d: int, x: tuple[int, ...], steps: Steps, k: int
) -> Words:
    for word, shift, back in steps:
        t = (a + (c ^ d & (b ^ c)) + x[word] + k) & MASK
        a, d, c, b = d, c, b, (t << shift | t >> back) & MASK
    return a, b, c, d
