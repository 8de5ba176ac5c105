"""The field of integers modulo 2^255 - 19, eight elements side by side, one in each 64-bit lane.

An element is five limbs of 52 bits, so that the low and the high halves of the 52-bit multiply-add fall on limb
boundaries. "Wide" limbs hold up to 60 bits. "Carried" limbs hold 52 (the last 47 and a little); above bit 52 they keep
what was carried on to the next, which the multiplier ignores and `exact` clears. Only `reduced` elements can be
compared. In memory an element is five vectors one behind the other; a pair is two neighbouring elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import njit

from kernels.signatures.ed25519_curve import P
from kernels.vectors.lanes import LANES, LOW_52, Lanes, lane_operation

LIMBS = 5
LIMB_BITS = 52
TOP_BITS = 255 - 4 * LIMB_BITS
TOP_MASK = 2**TOP_BITS - 1
FOLD = 19 << (LIMBS * LIMB_BITS - 255)
"""2^260 = FOLD (mod p): what a limb five places up weighs."""

ELEMENT = LIMBS * LANES
"""64-bit words of one field element in eight lanes."""

PAIR = 2 * ELEMENT

Element = list[Any]
"""Five LLVM vectors."""


def to_limbs(value: int, count: int = LIMBS) -> list[int]:
    """The lowest `count` limbs of a number."""
    return [value >> (LIMB_BITS * i) & LOW_52 for i in range(count)]


def positive_zero(weight: int) -> list[int]:
    """Limbs of a multiple of p, each at least `weight`: added before a subtraction they keep every limb positive."""
    total = sum(weight << (LIMB_BITS * i) for i in range(LIMBS))
    return [weight + limb for limb in to_limbs(-total % P)]


HALF_BIAS = positive_zero(2**56)
BIAS = [2 * limb for limb in HALF_BIAS]
"""More than any product: what is subtracted from a biased element leaves no limb negative."""
TWICE_BIAS = [4 * limb for limb in HALF_BIAS]


class Field(Lanes):
    """Writes LLVM code for field elements."""

    def element(self, place: Any, index: int = 0) -> Element:
        """The element that lies `index` elements behind a place in memory."""
        return [self.load(place, index * ELEMENT + i * LANES) for i in range(LIMBS)]

    def store_element(self, limbs: Element, place: Any, index: int = 0) -> None:
        for i, limb in enumerate(limbs):
            self.store(limb, place, index * ELEMENT + i * LANES)

    def number(self, value: int) -> Element:
        """The same element in all lanes."""
        return [self.constant(limb) for limb in to_limbs(value)]

    def exact(self, a: Element) -> Element:
        """Carried limbs without what was carried on."""
        return [*(self.keep(limb, LOW_52) for limb in a[:4]), a[4]]

    def plus(self, a: Element, b: Element) -> Element:
        return [self.add(x, y) for x, y in zip(a, b)]

    def minus(self, a: Element, b: Element) -> Element:
        """Limb by limb; a must be biased unless no limb of b is larger."""
        return [self.sub(x, y) for x, y in zip(a, b)]

    def biased(self, a: Element) -> Element:
        return self.plus(a, [self.constant(limb) for limb in BIAS])

    def carry(self, wide: Element) -> Element:
        """Wide limbs (not negative) to carried limbs below 2^255 + 2^216."""
        limbs = list(wide)
        limbs[0] = self.multiply_low(limbs[0], self.right(limbs[4], TOP_BITS), self.constant(19))
        limbs[4] = self.keep(limbs[4], TOP_MASK)
        for i in range(4):
            limbs[i + 1] = self.add(limbs[i + 1], self.right(limbs[i], LIMB_BITS))
        return limbs

    def multiply_wide(self, a: Element, b: Element, start: Sequence[int] = (0,) * LIMBS) -> Element:
        """The product of carried elements, plus the limbs `start`."""
        columns = [self.constant(value) for value in start] + [self.constant(0)] * 5
        for i in range(LIMBS):
            for j in range(LIMBS):
                columns[i + j] = self.multiply_low(columns[i + j], a[i], b[j])
                columns[i + j + 1] = self.multiply_high(columns[i + j + 1], a[i], b[j])
        return self._fold(columns)

    def square_wide(self, a: Element, start: Sequence[int] = (0,) * LIMBS) -> Element:
        """The square of a carried element, plus the even limbs `start`."""
        columns = [self.constant(value // 2) for value in start] + [self.constant(0)] * 5
        for i in range(LIMBS):
            for j in range(i + 1, LIMBS):
                columns[i + j] = self.multiply_low(columns[i + j], a[i], a[j])
                columns[i + j + 1] = self.multiply_high(columns[i + j + 1], a[i], a[j])
        columns = [self.add(column, column) for column in columns]
        for i in range(LIMBS):
            columns[2 * i] = self.multiply_low(columns[2 * i], a[i], a[i])
            columns[2 * i + 1] = self.multiply_high(columns[2 * i + 1], a[i], a[i])
        return self._fold(columns)

    def _fold(self, columns: list[Any]) -> Element:
        for i in range(5, 9):
            columns[i + 1] = self.add(columns[i + 1], self.right(columns[i], LIMB_BITS))
        for i in range(5):
            columns[i] = self.multiply_low(columns[i], columns[i + 5], self.constant(FOLD))
        for i in range(4):
            columns[i + 1] = self.multiply_high(columns[i + 1], columns[i + 5], self.constant(FOLD))
        return columns[:5]

    def multiply(self, a: Element, b: Element) -> Element:
        return self.carry(self.multiply_wide(a, b))

    def square(self, a: Element) -> Element:
        return self.carry(self.square_wide(a))

    def negate(self, a: Element) -> Element:
        return self.carry(self.minus([self.constant(limb) for limb in BIAS], self.exact(a)))

    def reduce(self, a: Element) -> Element:
        """The one representative below p, from carried limbs."""
        limbs = self.exact(a)
        probe = self.add(limbs[0], self.constant(19))
        for limb in limbs[1:]:
            probe = self.add(limb, self.right(probe, LIMB_BITS))
        limbs[0] = self.multiply_low(limbs[0], self.right(probe, TOP_BITS), self.constant(19))
        for i in range(4):
            limbs[i + 1] = self.add(limbs[i + 1], self.right(limbs[i], LIMB_BITS))
        limbs = self.exact(limbs)
        limbs[4] = self.keep(limbs[4], TOP_MASK)
        return limbs

    def equals(self, a: Element, b: Element) -> Any:
        """Whether two reduced elements are equal."""
        difference = self.xor(a[0], b[0])
        for x, y in zip(a[1:], b[1:]):
            difference = self.either(difference, self.xor(x, y))
        return self.is_equal(difference, self.constant(0))

    def vanishes(self, wide: Element) -> Any:
        """Whether an element of wide limbs is zero."""
        return self.equals(self.reduce(self.carry(wide)), self.number(0))

    def choose_element(self, condition: Any, when_true: Element, when_false: Element) -> Element:
        return [self.choose(condition, x, y) for x, y in zip(when_true, when_false)]

    def split_words(self, words: Sequence[Any], count: int = LIMBS) -> list[Any]:
        """Vectors of consecutive 64-bit words, lowest first, to `count` limbs."""
        limbs = []
        for i in range(count):
            word, shift = divmod(i * LIMB_BITS, 64)
            if word >= len(words):
                limbs.append(self.constant(0))
                continue
            limb = self.right(words[word], shift) if shift else words[word]
            if shift > 64 - LIMB_BITS and word + 1 < len(words):
                limb = self.either(limb, self.left(words[word + 1], 64 - shift))
            limbs.append(self.keep(limb, LOW_52))
        return limbs


def field_operation(body: Any) -> Any:
    """Makes `body(field, *places)` callable from numba as `operation(memory, *places)`; see `lane_operation`."""
    return lane_operation(body, Field)


# ---- in memory ----


@field_operation
def multiply(field: Field, target: Any, a: Any, b: Any) -> None:
    field.store_element(field.multiply(field.element(a), field.element(b)), target)


@field_operation
def square_two(field: Field, target: Any, source: Any) -> None:
    """A pair at once: one element alone would wait for its own results."""
    elements = [field.element(source, i) for i in range(2)]
    for i, value in enumerate(elements):
        field.store_element(field.square(value), target, i)


@field_operation
def multiply_two(field: Field, target: Any, a: Any, b: Any) -> None:
    for i in range(2):
        field.store_element(field.multiply(field.element(a, i), field.element(b, i)), target, i)


@njit(nogil=True)
def square_times(memory, target, source, count):  # type: ignore[no-untyped-def]
    square_two(memory, target, source)
    for _ in range(count - 1):
        square_two(memory, target, target)


@njit(nogil=True)
def power_250(memory, z, result, scratch):  # type: ignore[no-untyped-def]
    """Of a pair: result = z^(2^250 - 1) and scratch = z^11; scratch has room for three pairs."""
    z11, t, u = scratch, scratch + PAIR, scratch + 2 * PAIR
    square_times(memory, t, z, 1)
    square_times(memory, u, t, 2)
    multiply_two(memory, u, u, z)
    multiply_two(memory, z11, u, t)
    square_times(memory, t, z11, 1)
    multiply_two(memory, result, t, u)  # 2^5 - 1
    square_times(memory, t, result, 5)
    multiply_two(memory, result, t, result)  # 2^10 - 1
    square_times(memory, t, result, 10)
    multiply_two(memory, u, t, result)  # 2^20 - 1
    square_times(memory, t, u, 20)
    multiply_two(memory, t, t, u)  # 2^40 - 1
    square_times(memory, t, t, 10)
    multiply_two(memory, result, t, result)  # 2^50 - 1
    square_times(memory, t, result, 50)
    multiply_two(memory, u, t, result)  # 2^100 - 1
    square_times(memory, t, u, 100)
    multiply_two(memory, t, t, u)  # 2^200 - 1
    square_times(memory, t, t, 50)
    multiply_two(memory, result, t, result)  # 2^250 - 1


@njit(nogil=True)
def raise_for_root(memory, scratch):  # type: ignore[no-untyped-def]
    """The fourth pair of scratch to the power (p-5)/8, into the fifth; the three behind it are used."""
    z, result = scratch + 3 * PAIR, scratch + 4 * PAIR
    power_250(memory, z, result, scratch + 5 * PAIR)
    square_times(memory, result, result, 2)
    multiply_two(memory, result, result, z)


@njit(nogil=True)
def invert_two(memory, target, source, scratch):  # type: ignore[no-untyped-def]
    """Of a pair: target = 1/source, and 0 for 0; scratch has room for four pairs."""
    power_250(memory, source, scratch, scratch + PAIR)
    square_times(memory, scratch, scratch, 5)
    multiply_two(memory, target, scratch, scratch + PAIR)


ROOT_SCRATCH = 8 * PAIR
"""Words that `raise_for_root` and what calls it need."""


@njit(nogil=True)
def copy_words(memory, target, source, count):  # type: ignore[no-untyped-def]
    for i in range(count):
        memory[target + i] = memory[source + i]
