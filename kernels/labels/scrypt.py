"""Labels: scrypt-jane with ChaCha20/8 and Keccak-512, r = p = 1, many labels side by side.

One run computes `LANES` labels in lock step, one label a lane of four words; several runs are kept in
flight, and while one mixes, the memory fetches the rows that the others will read next. Scratch
memory is N * 128 bytes a label. `labels` is the only entry; the functions above it are the steps of
the algorithm by their names in the paper. Specified in protocol 01-post, sections 2 and 2.1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.labels.keccak import LANES, absorb_constant, absorb_words, hmac_finish, hmac_key, keccak_f
from kernels.vectors.simd import (
    add,
    lane_offsets,
    load_many,
    load_rows,
    prefetch_rows,
    rotate_words,
    rotl,
    row_offsets,
    store_many,
    store_rows,
    xor,
)

ROW_WORDS = 32
"""32-bit words of the ROMix state and of one row of scratch memory: 128 bytes."""

ROW_LANES = 4 * LANES
"""32-bit words of one row of all lanes."""

STATE_WORDS = LANES * ROW_WORDS
"""32-bit words of the states of one run."""

STAGGER_WORDS = 272
"""Words between the rows of neighbouring labels beyond N rows, so that equal row numbers do not share cache sets."""

ROWS_BETWEEN_STOPS = 4096
"""After so many rows ROMix looks whether it was told to stop (N = 2^20 takes seconds)."""

IPAD = np.uint64(0x3636363636363636)
OPAD = np.uint64(0x5C5C5C5C5C5C5C5C)
LAST_PAD = np.uint64(0x8000000000000000)


def scratch_words(scrypt_n: int, runs: int) -> int:
    """Length of the uint32 scratch array for `runs` runs in flight."""
    return runs * LANES * (scrypt_n * ROW_WORDS + STAGGER_WORDS)


@njit(inline="always")
def quarter_rounds(a, b, c, d):  # type: ignore[no-untyped-def]
    """Four ChaCha quarter rounds at once: a, b, c, d are rows (or diagonals) of four words."""
    a = add(a, b)
    d = rotl(xor(d, a), 16)
    c = add(c, d)
    b = rotl(xor(b, c), 12)
    a = add(a, b)
    d = rotl(xor(d, a), 8)
    c = add(c, d)
    b = rotl(xor(b, c), 7)
    return a, b, c, d


@njit(inline="always")
def chacha20_8(a, b, c, d):  # type: ignore[no-untyped-def]
    """The ChaCha core: 4 double rounds on 16 words as they are, then the input is added."""
    a_in, b_in, c_in, d_in = a, b, c, d
    for _ in range(4):
        a, b, c, d = quarter_rounds(a, b, c, d)
        a, b, c, d = quarter_rounds(a, rotate_words(b, 1), rotate_words(c, 2), rotate_words(d, 3))
        b, c, d = rotate_words(b, 3), rotate_words(c, 2), rotate_words(d, 1)
    return add(a, a_in), add(b, b_in), add(c, c_in), add(d, d_in)


@njit(inline="always")
def block_mix(x):  # type: ignore[no-untyped-def]
    """B0 = C(B0 ^ B1), then B1 = C(B1 ^ B0); `x` is the 8 rows of (B0, B1)."""
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    x0, x1, x2, x3 = chacha20_8(xor(x0, x4), xor(x1, x5), xor(x2, x6), xor(x3, x7))
    x4, x5, x6, x7 = chacha20_8(xor(x4, x0), xor(x5, x1), xor(x6, x2), xor(x7, x3))
    return x0, x1, x2, x3, x4, x5, x6, x7


@njit(inline="always")
def xor_rows(x, v):  # type: ignore[no-untyped-def]
    """X ^ V[j]."""
    x0, x1, x2, x3, x4, x5, x6, x7 = x
    v0, v1, v2, v3, v4, v5, v6, v7 = v
    return (
        xor(x0, v0),
        xor(x1, v1),
        xor(x2, v2),
        xor(x3, v3),
        xor(x4, v4),
        xor(x5, v5),
        xor(x6, v6),
        xor(x7, v7),
    )


@njit(nogil=True)
def fill(state, scratch, stride, rows, runs, stop):  # type: ignore[no-untyped-def]
    """First half of ROMix, run after run: V[i] = X, X = BlockMix(X)."""
    for run in range(runs):
        x = load_many(state, run * STATE_WORDS, 8, ROW_LANES)
        base = run * LANES * stride
        for block in range(0, rows, ROWS_BETWEEN_STOPS):
            if stop[0]:
                return
            for row in range(block, min(rows, block + ROWS_BETWEEN_STOPS)):
                store_rows(scratch, base + row * ROW_WORDS, stride, x)
                x = block_mix(x)
        store_many(state, run * STATE_WORDS, x)


@njit(nogil=True)
def look_up(state, scratch, stride, rows, runs, stop):  # type: ignore[no-untyped-def]
    """Second half of ROMix, the runs in turns: j = X[16] & (N-1), X = BlockMix(X ^ V[j])."""
    mask = np.int64(rows - 1)
    for block in range(0, rows, ROWS_BETWEEN_STOPS):
        if stop[0]:
            return
        for _ in range(block, min(rows, block + ROWS_BETWEEN_STOPS)):
            for run in range(runs):
                base = run * LANES * stride
                x = load_many(state, run * STATE_WORDS, 8, ROW_LANES)
                x = block_mix(xor_rows(x, load_rows(scratch, row_offsets(x[4], mask, base, stride))))
                store_many(state, run * STATE_WORDS, x)
                # this run comes again after the others have mixed: by then the rows are in the cache
                prefetch_rows(scratch, row_offsets(x[4], mask, base, stride))


@njit(nogil=True)
def expand(password, inner_key, outer_key, inner, outer, words):  # type: ignore[no-untyped-def]
    """X = PBKDF2(password, "", 128): 16 words a label, label after label; keeps the two keyed states."""
    hmac_key(password, IPAD, inner_key)
    hmac_key(password, OPAD, outer_key)
    for block in range(2):
        inner[:] = inner_key
        # the message is the block number as 4 bytes BE, then the padding 0x01 … 0x80
        absorb_constant(inner, 0, np.uint64((block + 1) << 24 | 1 << 32))
        absorb_constant(inner, 8, LAST_PAD)
        keccak_f(inner)
        hmac_finish(inner, outer_key, outer)
        for number in range(8):
            for lane in range(LANES):
                words[lane * 16 + 8 * block + number] = outer[number * LANES + lane]


@njit(nogil=True)
def compress(words, inner_key, outer_key, inner, outer, message):  # type: ignore[no-untyped-def]
    """PBKDF2(password, X, 32): the label is in the first 4 words of `outer`."""
    for number in range(16):
        for lane in range(LANES):
            message[number * LANES + lane] = words[lane * 16 + number]
    inner[:] = inner_key
    absorb_words(inner, message, 0, 9)
    keccak_f(inner)
    absorb_words(inner, message, 9, 7)
    # 56 bytes of X, the block number 00000001, the padding 0x01 … 0x80
    absorb_constant(inner, 7, np.uint64(1 << 24 | 1 << 32))
    absorb_constant(inner, 8, LAST_PAD)
    keccak_f(inner)
    hmac_finish(inner, outer_key, outer)


@njit(nogil=True, cache=True)
def labels(commitments, indices, out, scrypt_n, runs, scratch, stop):  # type: ignore[no-untyped-def]
    """Full 32-byte labels of any indices.

    commitments: uint64[1, 4] (one for all) or uint64[n, 4] (one each), the 32 bytes as LE words;
    indices: uint64[n]; out: uint64[n, 4]; scrypt_n: a power of two >= 2; runs: runs in flight;
    scratch: uint32[scratch_words(scrypt_n, runs)]; stop: uint8[1], set to nonzero by another thread
    to end early. Returns the number of leading labels that are done.
    """
    count = len(indices)
    shared = len(commitments) == 1
    stride = scrypt_n * ROW_WORDS + STAGGER_WORDS
    password = np.zeros(9 * LANES, np.uint64)
    message = np.empty(16 * LANES, np.uint64)
    words = np.empty(16 * LANES, np.uint64)
    rows = words.view(np.uint32)
    inner = np.empty(25 * LANES, np.uint64)
    outer = np.empty(25 * LANES, np.uint64)
    inner_keys = np.empty((runs, 25 * LANES), np.uint64)
    outer_keys = np.empty((runs, 25 * LANES), np.uint64)
    state = np.empty(runs * STATE_WORDS, np.uint32)
    offsets = lane_offsets(0, ROW_WORDS, LANES)
    for start in range(0, count, runs * LANES):
        # the last round may need fewer runs; lanes beyond the end repeat the last label
        used = min(runs, (count - start + LANES - 1) // LANES)
        for run in range(used):
            for lane in range(LANES):
                position = min(start + run * LANES + lane, count - 1)
                source = 0 if shared else position
                for number in range(4):
                    password[number * LANES + lane] = commitments[source, number]
                password[4 * LANES + lane] = indices[position]
            expand(password, inner_keys[run], outer_keys[run], inner, outer, words)
            store_many(state, run * STATE_WORDS, load_rows(rows, offsets))
        fill(state, scratch, stride, scrypt_n, used, stop)
        look_up(state, scratch, stride, scrypt_n, used, stop)
        if stop[0]:
            return start
        for run in range(used):
            store_rows(rows, 0, ROW_WORDS, load_many(state, run * STATE_WORDS, 8, ROW_LANES))
            compress(words, inner_keys[run], outer_keys[run], inner, outer, message)
            for lane in range(min(LANES, count - start - run * LANES)):
                for number in range(4):
                    out[start + run * LANES + lane, number] = outer[number * LANES + lane]
    return count
