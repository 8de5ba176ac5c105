"""scrypt-jane one label at a time, in plain integers, for any r and p that are powers of two.

Written to be read beside the specification and to share nothing with the vector code, so that one can
check the other: every batch of the fast path has its last label recomputed here. It is also the path
for r or p other than 1 (no network uses them) and for machines whose memory holds a single label.
Specified in protocol 01-post, section 2.1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from kernels.labels.keccak import ROTATIONS, ROUND_CONSTANTS
from kernels.vectors import target

target.keep_code_of(__name__)

RATE = 72
"""Bytes that Keccak[c=1024] absorbs between permutations; also the block size of HMAC and the password's length."""

_ROTATIONS = np.array(ROTATIONS, dtype=np.uint64)


@njit(nogil=True)
def _keccak_f(a):  # type: ignore[no-untyped-def]
    """The permutation on uint64[25], word (x, y) at x + 5 y."""
    b = np.empty(25, np.uint64)
    c = np.empty(5, np.uint64)
    for constant in ROUND_CONSTANTS:
        for x in range(5):
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]
        for x in range(5):
            after = c[(x + 1) % 5]
            d = c[(x + 4) % 5] ^ (after << np.uint64(1) | after >> np.uint64(63))
            for y in range(5):
                a[x + 5 * y] ^= d
        for x in range(5):
            for y in range(5):
                word, count = a[x + 5 * y], _ROTATIONS[x + 5 * y]
                b[y + 5 * ((2 * x + 3 * y) % 5)] = word << count | word >> ((np.uint64(64) - count) & np.uint64(63))
        for y in range(0, 25, 5):
            for x in range(5):
                a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5])
        a[0] ^= constant


@njit(nogil=True)
def _absorb(state, at, data):  # type: ignore[no-untyped-def]
    """Xors bytes into the rate from byte `at`, permuting when it is full; returns the next position."""
    view = state.view(np.uint8)
    for byte in data:
        view[at] ^= byte
        at += 1
        if at == RATE:
            _keccak_f(state)
            at = 0
    return at


@njit(nogil=True)
def _finish(state, at):  # type: ignore[no-untyped-def]
    """Pads 0x01 … 0x80 and permutes; the digest is in the first 64 bytes of the state."""
    view = state.view(np.uint8)
    view[at] ^= 0x01
    view[RATE - 1] ^= 0x80
    _keccak_f(state)


@njit(nogil=True)
def _pbkdf2(password, salt, out):  # type: ignore[no-untyped-def]
    """PBKDF2-HMAC with one iteration; the password is exactly one block, so it is the key as it is."""
    counter = np.zeros(4, np.uint8)
    inner = np.empty(25, np.uint64)
    outer = np.empty(25, np.uint64)
    for block in range((len(out) + 63) // 64):
        for byte in range(4):
            counter[byte] = (block + 1) >> (24 - 8 * byte) & 0xFF
        inner[:] = 0
        at = _absorb(inner, 0, password ^ np.uint8(0x36))
        at = _absorb(inner, at, salt)
        at = _absorb(inner, at, counter)
        _finish(inner, at)
        outer[:] = 0
        at = _absorb(outer, 0, password ^ np.uint8(0x5C))
        at = _absorb(outer, at, inner.view(np.uint8)[:64])
        _finish(outer, at)
        size = min(64, len(out) - 64 * block)
        out[64 * block : 64 * block + size] = outer.view(np.uint8)[:size]


@njit(nogil=True)
def _rotl(value, count):  # type: ignore[no-untyped-def]
    return np.uint32(value << np.uint32(count) | value >> np.uint32(32 - count))


@njit(nogil=True)
def _quarter_round(x, a, b, c, d):  # type: ignore[no-untyped-def]
    x[a] += x[b]
    x[d] = _rotl(x[d] ^ x[a], 16)
    x[c] += x[d]
    x[b] = _rotl(x[b] ^ x[c], 12)
    x[a] += x[b]
    x[d] = _rotl(x[d] ^ x[a], 8)
    x[c] += x[d]
    x[b] = _rotl(x[b] ^ x[c], 7)


@njit(nogil=True)
def _chacha20_8(x, work):  # type: ignore[no-untyped-def]
    work[:] = x
    for _ in range(4):
        for column in range(4):
            _quarter_round(work, column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            _quarter_round(work, diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    x += work


@njit(nogil=True)
def _block_mix(blocks, r, out):  # type: ignore[no-untyped-def]
    """Blocks of 16 words; the even results come first, then the odd ones (no reordering for r = 1)."""
    x = blocks[16 * (2 * r - 1) : 32 * r].copy()
    work = np.empty(16, np.uint32)
    for block in range(2 * r):
        x ^= blocks[16 * block : 16 * block + 16]
        _chacha20_8(x, work)
        place = block // 2 + (block % 2) * r
        out[16 * place : 16 * place + 16] = x
    blocks[:] = out


@njit(nogil=True)
def _ro_mix(x, n, r, scratch):  # type: ignore[no-untyped-def]
    size = 32 * r
    out = np.empty(size, np.uint32)
    for row in range(n):
        scratch[row * size : (row + 1) * size] = x
        _block_mix(x, r, out)
    for _ in range(n):
        row = np.int64(x[16 * (2 * r - 1)]) & (n - 1)
        x ^= scratch[row * size : (row + 1) * size]
        _block_mix(x, r, out)


@njit(nogil=True, cache=True)
def _label(password, n, r, p, scratch, out):  # type: ignore[no-untyped-def]
    salt = np.empty(0, np.uint8)
    x = np.empty(128 * r * p, np.uint8)
    _pbkdf2(password, salt, x)
    words = x.view(np.uint32)
    for part in range(p):
        _ro_mix(words[32 * r * part : 32 * r * (part + 1)], n, r, scratch)
    _pbkdf2(password, x, out)


def label32(
    commitment: bytes,
    index: int,
    scrypt_n: int,
    r: int = 1,
    p: int = 1,
    scratch: npt.NDArray[np.uint32] | None = None,
) -> bytes:
    """The full 32-byte label `index`.

    `scratch` may be given to be used again: uint32, at least 32 * r * scrypt_n elements.
    Needs 128 * r * scrypt_n bytes of memory.
    """
    password = commitment + index.to_bytes(8, "little") + bytes(32)
    out = np.empty(32, np.uint8)
    if scratch is None:
        scratch = np.empty(32 * r * scrypt_n, np.uint32)
    _label(np.frombuffer(password, np.uint8), scrypt_n, r, p, scratch, out)
    return out.tobytes()
