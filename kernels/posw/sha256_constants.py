"""The constants of SHA-256 and the functions on single words that fold them when code is made. FIPS 180-4."""

from __future__ import annotations

MASK = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _root_fraction(prime: int, degree: int) -> int:
    """The first 32 bits of the fraction of the square or cube root of a prime, in integers."""
    scaled = prime << (32 * degree)
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= scaled:
            low = middle
        else:
            high = middle - 1
    return low & MASK


INITIAL = [_root_fraction(prime, 2) for prime in _primes(8)]
"""The state before the first block, A to H."""

K = [_root_fraction(prime, 3) for prime in _primes(64)]
"""One constant a round."""

PADDING_32 = [0x80000000, 0, 0, 0, 0, 0, 0, 256]
"""The second half of the block of a 32-byte message."""


def rotate_right(word: int, count: int) -> int:
    """A 32-bit word rotated."""
    return (word >> count | word << (32 - count)) & MASK


def small_sigma_0(word: int) -> int:
    """σ0 of the message schedule."""
    return rotate_right(word, 7) ^ rotate_right(word, 18) ^ word >> 3
