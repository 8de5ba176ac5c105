"""Labels: scrypt-jane with ChaCha20/8 and Keccak-512, r = p = 1, many labels side by side.

One run computes several labels in lock step, one label a lane of four words, in as many registers as its `shape` has
places; several runs are kept in flight, and while one mixes, the memory fetches the rows that the others will read
next. Scratch memory is N * 128 bytes a label. `labels` is the only entry; the functions above it are the steps of the
algorithm by their names in the paper. Specified in protocol 01-post, sections 2 and 2.1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.labels.keccak import LANES, absorb_constant, absorb_words, hmac_finish, hmac_key, keccak_f
from kernels.vectors import target
from kernels.vectors.simd import (
    add_rows,
    double_round,
    joined,
    load_registers,
    load_rows,
    lower_half,
    offsets_of_lanes,
    prefetch_rows,
    row_offsets,
    store_many,
    store_rows,
    upper_half,
    xor_rows,
)

target.keep_code_of(__name__)

ROW_WORDS = 32
"""32-bit words of the ROMix state and of one row of scratch memory: 128 bytes."""

REGISTER_LANES = target.variant().registers // 128
"""Labels of one register."""

REGISTER_WORDS = 4 * REGISTER_LANES
"""32-bit words of one register."""

STAGGER_WORDS = 272
"""Words between the rows of neighbouring labels beyond N rows, so that equal row numbers do not share cache sets."""

ROWS_BETWEEN_STOPS = 4096
"""After so many rows ROMix looks whether it was told to stop (N = 2^20 takes seconds)."""

IPAD = np.uint64(0x3636363636363636)
OPAD = np.uint64(0x5C5C5C5C5C5C5C5C)
LAST_PAD = np.uint64(0x8000000000000000)


def scratch_words(scrypt_n: int, lanes: int) -> int:
    """Length of the uint32 scratch array for so many labels in flight."""
    return lanes * (scrypt_n * ROW_WORDS + STAGGER_WORDS)


@njit(inline="always")
def chacha20_8(rows):  # type: ignore[no-untyped-def]
    """The ChaCha core: 4 double rounds on 16 words as they are, then the input is added."""
    mixed = rows
    for _ in range(4):
        mixed = double_round(mixed)
    return add_rows(mixed, rows)


@njit(inline="always")
def block_mix(x):  # type: ignore[no-untyped-def]
    """B0 = C(B0 ^ B1), then B1 = C(B1 ^ B0); `x` is the 8 rows of (B0, B1)."""
    low, high = lower_half(x), upper_half(x)
    low = chacha20_8(xor_rows(low, high))
    high = chacha20_8(xor_rows(high, low))
    return joined(low, high)


@njit(nogil=True)
def fill(state, scratch, stride, rows, runs, stop, shape):  # type: ignore[no-untyped-def]
    """First half of ROMix, run after run: V[i] = X, X = BlockMix(X)."""
    lanes = len(shape) * REGISTER_LANES
    for run in range(runs):
        x = load_registers(state, run * lanes * ROW_WORDS, shape, REGISTER_WORDS)
        base = run * lanes * stride
        for block in range(0, rows, ROWS_BETWEEN_STOPS):
            if stop[0]:
                return
            for row in range(block, min(rows, block + ROWS_BETWEEN_STOPS)):
                store_rows(scratch, base + row * ROW_WORDS, stride, x)
                x = block_mix(x)
        store_many(state, run * lanes * ROW_WORDS, x)


@njit(nogil=True)
def look_up(state, scratch, stride, rows, runs, stop, shape):  # type: ignore[no-untyped-def]
    """Second half of ROMix, the runs in turns: j = X[16] & (N-1), X = BlockMix(X ^ V[j])."""
    mask = np.int64(rows - 1)
    lanes = len(shape) * REGISTER_LANES
    for block in range(0, rows, ROWS_BETWEEN_STOPS):
        if stop[0]:
            return
        for _ in range(block, min(rows, block + ROWS_BETWEEN_STOPS)):
            for run in range(runs):
                base = run * lanes * stride
                x = load_registers(state, run * lanes * ROW_WORDS, shape, REGISTER_WORDS)
                x = block_mix(xor_rows(x, load_rows(scratch, row_offsets(x, mask, base, stride), shape)))
                store_many(state, run * lanes * ROW_WORDS, x)
                # this run comes again after the others have mixed: by then the rows are in the cache
                prefetch_rows(scratch, row_offsets(x, mask, base, stride))


@njit(nogil=True)
def expand(password, inner_key, outer_key, inner, outer, words, first):  # type: ignore[no-untyped-def]
    """X = PBKDF2(password, "", 128): 16 words a label, from label `first` on; keeps the two keyed states."""
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
                words[(first + lane) * 16 + 8 * block + number] = outer[number * LANES + lane]


@njit(nogil=True)
def compress(words, first, inner_key, outer_key, inner, outer, message):  # type: ignore[no-untyped-def]
    """PBKDF2(password, X, 32) of the labels from `first` on: they are in the first 4 words of `outer`."""
    for number in range(16):
        for lane in range(LANES):
            message[number * LANES + lane] = words[(first + lane) * 16 + number]
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
def labels(commitments, indices, out, scrypt_n, runs, shape, scratch, stop):  # type: ignore[no-untyped-def]
    """Full 32-byte labels of any indices.

    commitments: uint64[1, 4] (one for all) or uint64[n, 4] (one each), the 32 bytes as LE words;
    indices: uint64[n]; out: uint64[n, 4]; scrypt_n: a power of two >= 2; runs: runs in flight; shape: a tuple with a
    zero for each register of a run; scratch: uint32[scratch_words(scrypt_n, labels in flight)]; stop: uint8[1], set to
    nonzero by another thread to end early. Returns the number of leading labels that are done.
    """
    count = len(indices)
    shared = len(commitments) == 1
    stride = scrypt_n * ROW_WORDS + STAGGER_WORDS
    lanes = len(shape) * REGISTER_LANES
    # Keccak has a number of lanes of its own: the labels of a run go through it in several parts, the last not full
    parts = (lanes + LANES - 1) // LANES
    password = np.zeros(9 * LANES, np.uint64)
    message = np.empty(16 * LANES, np.uint64)
    words = np.empty(16 * parts * LANES, np.uint64)
    rows = words.view(np.uint32)
    inner = np.empty(25 * LANES, np.uint64)
    outer = np.empty(25 * LANES, np.uint64)
    inner_keys = np.empty((runs * parts, 25 * LANES), np.uint64)
    outer_keys = np.empty((runs * parts, 25 * LANES), np.uint64)
    state = np.empty(runs * lanes * ROW_WORDS, np.uint32)
    offsets = offsets_of_lanes(shape, ROW_WORDS, REGISTER_LANES)
    for start in range(0, count, runs * lanes):
        # the last round may need fewer runs; lanes beyond the end repeat the last label
        used = min(runs, (count - start + lanes - 1) // lanes)
        for run in range(used):
            for part in range(parts):
                for lane in range(LANES):
                    position = min(start + run * lanes + part * LANES + lane, count - 1)
                    source = 0 if shared else position
                    for number in range(4):
                        password[number * LANES + lane] = commitments[source, number]
                    password[4 * LANES + lane] = indices[position]
                key = run * parts + part
                expand(password, inner_keys[key], outer_keys[key], inner, outer, words, part * LANES)
            store_many(state, run * lanes * ROW_WORDS, load_rows(rows, offsets, shape))
        fill(state, scratch, stride, scrypt_n, used, stop, shape)
        look_up(state, scratch, stride, scrypt_n, used, stop, shape)
        if stop[0]:
            return start
        for run in range(used):
            x = load_registers(state, run * lanes * ROW_WORDS, shape, REGISTER_WORDS)
            store_rows(rows, 0, ROW_WORDS, x)
            for part in range(parts):
                key = run * parts + part
                compress(words, part * LANES, inner_keys[key], outer_keys[key], inner, outer, message)
                first = start + run * lanes + part * LANES
                for lane in range(min(LANES, lanes - part * LANES, count - first)):
                    for number in range(4):
                        out[first + lane, number] = outer[number * LANES + lane]
    return count
