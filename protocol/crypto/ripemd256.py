"""RIPEMD-256 in plain Python, one message or many side by side, for checking proofs of work.

Two lines of sixty-four steps run over the same block and exchange one word after each round of sixteen. Of many
messages every word is one long integer with 64 bits for each message, of which 32 are used: a step costs little more
than for one. A search over many nonces belongs to a compiled kernel; a server that checks submits is better off
without one in memory. Named by protocol 02-poet, section 7.2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

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

MASK = 0xFFFFFFFF
BLOCK = struct.Struct("<16I")
DIGEST = struct.Struct("<8I")

LEFT_STEPS, RIGHT_STEPS = (
    tuple(tuple((w, s, 32 - s) for w, s in zip(words[r], shifts[r], strict=True)) for r in range(4))
    for words, shifts in ((LEFT_WORDS, LEFT_SHIFTS), (RIGHT_WORDS, RIGHT_SHIFTS))
)
"""For each round, its steps: message word, rotation to the left, the same to the right."""

Words = Sequence[int]
Four = tuple[int, int, int, int]
Steps = tuple[tuple[int, int, int], ...]


def ripemd256(data: bytes) -> bytes:
    """The hash, 32 bytes."""
    return ripemd256_many([data])[0]


def ripemd256_many(messages: Sequence[bytes]) -> list[bytes]:
    """The hashes of messages of one length. Raises ValueError where the lengths differ."""
    if not messages:
        return []
    length, count = len(messages[0]), len(messages)
    if any(len(message) != length for message in messages):
        raise ValueError("messages that are hashed side by side must have one length")
    padding = b"\x80" + bytes((55 - length) % 64) + struct.pack("<Q", length * 8)
    padded = [message + padding for message in messages]
    lanes = struct.Struct(f"<{count}Q")
    ones = int.from_bytes(lanes.pack(*[1] * count), "little")
    """One in every lane: a word times this is the word in every lane."""
    left: Words = [word * ones for word in LEFT_START]
    right: Words = [word * ones for word in RIGHT_START]
    for at in range(0, len(padded[0]), 64):
        rows = [BLOCK.unpack_from(message, at) for message in padded]
        x = [int.from_bytes(lanes.pack(*column), "little") for column in zip(*rows)]
        left, right = _compress(left, right, x, ones)
    columns = [lanes.unpack(word.to_bytes(lanes.size, "little")) for word in (*left, *right)]
    return [DIGEST.pack(*row) for row in zip(*columns)]


def _compress(left: Words, right: Words, x: Words, ones: int) -> tuple[Words, Words]:
    a, b, c, d = left
    e, f, g, h = right
    mask = MASK * ones
    first, second = ([constant * ones for constant in constants] for constants in (LEFT_CONSTANTS, RIGHT_CONSTANTS))
    a, b, c, d = _round_xor(a, b, c, d, x, LEFT_STEPS[0], first[0], mask)
    e, f, g, h = _round_choose_by_last(e, f, g, h, x, RIGHT_STEPS[0], second[0], mask)
    a, e = e, a
    a, b, c, d = _round_choose(a, b, c, d, x, LEFT_STEPS[1], first[1], mask)
    e, f, g, h = _round_or_not(e, f, g, h, x, RIGHT_STEPS[1], second[1], mask)
    b, f = f, b
    a, b, c, d = _round_or_not(a, b, c, d, x, LEFT_STEPS[2], first[2], mask)
    e, f, g, h = _round_choose(e, f, g, h, x, RIGHT_STEPS[2], second[2], mask)
    c, g = g, c
    a, b, c, d = _round_choose_by_last(a, b, c, d, x, LEFT_STEPS[3], first[3], mask)
    e, f, g, h = _round_xor(e, f, g, h, x, RIGHT_STEPS[3], second[3], mask)
    d, h = h, d
    return (
        [(old + new) & mask for old, new in zip(left, (a, b, c, d))],
        [(old + new) & mask for old, new in zip(right, (e, f, g, h))],
    )


# One function a round: the four differ in one expression, and a call a step would double their cost.


def _round_xor(a: int, b: int, c: int, d: int, x: Words, steps: Steps, k: int, mask: int) -> Four:
    for word, shift, back in steps:
        t = (a + (b ^ c ^ d) + x[word] + k) & mask
        a, d, c, b = d, c, b, (t << shift | t >> back) & mask
    return a, b, c, d


def _round_choose(a: int, b: int, c: int, d: int, x: Words, steps: Steps, k: int, mask: int) -> Four:
    for word, shift, back in steps:
        t = (a + (d ^ b & (c ^ d)) + x[word] + k) & mask
        a, d, c, b = d, c, b, (t << shift | t >> back) & mask
    return a, b, c, d


def _round_or_not(a: int, b: int, c: int, d: int, x: Words, steps: Steps, k: int, mask: int) -> Four:
    for word, shift, back in steps:
        t = (a + ((b | c ^ mask) ^ d) + x[word] + k) & mask
        a, d, c, b = d, c, b, (t << shift | t >> back) & mask
    return a, b, c, d


def _round_choose_by_last(a: int, b: int, c: int, d: int, x: Words, steps: Steps, k: int, mask: int) -> Four:
    for word, shift, back in steps:
        t = (a + (c ^ d & (b ^ c)) + x[word] + k) & mask
        a, d, c, b = d, c, b, (t << shift | t >> back) & mask
    return a, b, c, d
