"""The shuffle on which all nodes agree: Fisher-Yates by MT19937 in its form of 64 bits, seeded by an array.

Protocol 07-vm-and-transactions, section 8.2, step 5.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Any

from protocol.numbers.u64 import MASK

_SIZE = 312
_MIDDLE = 156
_MATRIX = 0xB5026F5AA96619E9
_UPPER = 0xFFFFFFFF80000000
_LOWER = 0x7FFFFFFF


class MersenneTwister:
    """MT19937-64: the generator of Nishimura and Matsumoto."""

    def __init__(self, key: Sequence[int]) -> None:
        """key: words of 64 bits."""
        words = [19650218]
        for place in range(1, _SIZE):
            last = words[-1]
            words.append((6364136223846793005 * (last ^ last >> 62) + place) & MASK)
        at, key_at = 1, 0
        for _ in range(max(_SIZE, len(key))):
            last = words[at - 1]
            words[at] = (words[at] ^ (last ^ last >> 62) * 3935559000370003845) + key[key_at] + key_at & MASK
            at, key_at = self._next(words, at), (key_at + 1) % len(key)
        for _ in range(_SIZE - 1):
            last = words[at - 1]
            words[at] = (words[at] ^ (last ^ last >> 62) * 2862933555777941757) - at & MASK
            at = self._next(words, at)
        words[0] = 1 << 63
        self._words = words
        self._at = _SIZE

    @staticmethod
    def _next(words: list[int], at: int) -> int:
        if at + 1 < _SIZE:
            return at + 1
        words[0] = words[_SIZE - 1]
        return 1

    def next64(self) -> int:
        """The next 64 bits."""
        if self._at == _SIZE:
            self._twist()
        word = self._words[self._at]
        self._at += 1
        word ^= word >> 29 & 0x5555555555555555
        word ^= word << 17 & 0x71D67FFFEDA60000
        word ^= word << 37 & 0xFFF7EEE000000000
        return word ^ word >> 43

    def next32(self) -> int:
        """The upper half of the next 63 bits."""
        return (self.next64() & MASK >> 1) >> 31

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1, for a bound below 2^31, all alike."""
        product = self.next32() * bound
        if product & 0xFFFFFFFF < bound:
            unfair = ((1 << 32) - bound) % bound
            while product & 0xFFFFFFFF < unfair:
                product = self.next32() * bound
        return product >> 32

    def _twist(self) -> None:
        words = self._words
        for at in range(_SIZE):
            mixed = words[at] & _UPPER | words[(at + 1) % _SIZE] & _LOWER
            words[at] = words[(at + _MIDDLE) % _SIZE] ^ mixed >> 1 ^ (_MATRIX if mixed & 1 else 0)
        self._at = 0


def shuffle(items: MutableSequence[Any], seed: bytes) -> None:
    """Put items into an order that the seed, a multiple of 8 bytes, decides. Raises ValueError for another seed."""
    if not seed or len(seed) % 8:
        raise ValueError(f"a seed is a multiple of 8 bytes, this one has {len(seed)}")
    twister = MersenneTwister([int.from_bytes(seed[at : at + 8], "little") for at in range(0, len(seed), 8)])
    for last in range(len(items) - 1, 0, -1):
        other = twister.below(last + 1)
        items[last], items[other] = items[other], items[last]
