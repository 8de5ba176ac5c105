"""Scalars modulo the group order, eight side by side, and their signed digits.

A digit in memory is two vectors: where in a table the row of its magnitude begins, and the digit itself, of which the
sign is looked at. Protocol 03-encoding-and-types, section 8.
"""

from __future__ import annotations

from typing import Any

from kernels.signatures.ed25519_curve import ORDER
from kernels.signatures.ed25519_layout import (
    AFFINE_ROW,
    BASE_DIGITS,
    BASE_WINDOW,
    CHALLENGE_DIGITS,
    DIGIT,
    KEY_DIGITS,
    ROW,
    WINDOW,
)
from kernels.signatures.field25519 import LIMB_BITS, LIMBS, Field, field_operation, to_limbs
from kernels.vectors.lanes import LANES, LOW_52

REST = 2**8 * (ORDER - 2**252)
"""2^260 = -REST (mod L)."""

TOP_BITS = 252 - 4 * LIMB_BITS


def _carry_signed(field: Field, limbs: list[Any]) -> list[Any]:
    limbs = list(limbs)
    for i in range(len(limbs) - 1):
        limbs[i + 1] = field.add(limbs[i + 1], field.right_signed(limbs[i], LIMB_BITS))
        limbs[i] = field.keep(limbs[i], LOW_52)
    return limbs


def _multiply_by_constant(field: Field, limbs: list[Any], factor: int, count: int) -> list[Any]:
    """The lowest `count` columns of the product, not carried."""
    factors = to_limbs(factor, -(-factor.bit_length() // LIMB_BITS))
    columns = [field.constant(0)] * (len(limbs) + len(factors))
    for i, limb in enumerate(limbs):
        for j, part in enumerate(factors):
            columns[i + j] = field.multiply_low(columns[i + j], limb, field.constant(part))
            columns[i + j + 1] = field.multiply_high(columns[i + j + 1], limb, field.constant(part))
    return columns[:count]


@field_operation
def digest_scalar(field: Field, target: Any, state: Any) -> None:
    """A SHA-512 digest as a little-endian number modulo the group order.

    Twice what lies above 2^260 is folded down; of what is left a quotient by 2^252 is taken, which is one too many at
    most.
    """
    words = [field.byte_swap(field.load(state, i * LANES)) for i in range(8)]
    limbs = field.split_words(words, 10)
    product = _carry_signed(field, _multiply_by_constant(field, limbs[5:], REST, 8))
    second = _multiply_by_constant(field, product[5:], REST, 6)
    positive = to_limbs(2**8 * ORDER, 6)
    value = [
        field.sub(field.add(second[i], field.constant(positive[i])), field.sub(product[i], limbs[i])) for i in range(5)
    ]
    value = _carry_signed(field, [*value, field.add(second[5], field.constant(positive[5]))])
    quotient = field.either(field.right(value[4], TOP_BITS), field.left(value[5], LIMB_BITS - TOP_BITS))
    value = [*value[:4], field.keep(value[4], 2**TOP_BITS - 1)]
    product = _multiply_by_constant(field, [quotient], ORDER - 2**252, 4)
    value = _carry_signed(field, [*(field.sub(x, y) for x, y in zip(value, product)), *value[4:]])
    raised = _carry_signed(field, [field.add(x, field.constant(y)) for x, y in zip(value, to_limbs(ORDER))])
    field.store_element(field.choose_element(field.is_negative(value[4]), raised, value), target)


@field_operation
def is_reduced_scalar(field: Field, flag: Any, scalar: Any) -> None:
    """Whether a 256-bit number is below the group order."""
    order = to_limbs(ORDER)
    difference = [field.sub(limb, field.constant(order[i])) for i, limb in enumerate(field.element(scalar))]
    field.store(field.flag(field.is_negative(_carry_signed(field, difference)[4])), flag)


def _digits(field: Field, target: Any, scalar: Any, window: int, count: int, row: int, start: Any) -> None:
    """Writes the lowest `count` digits, lowest first; for tables with multiples `row` words apart, from `start`."""
    half = 2 ** (window - 1)
    offset = to_limbs(sum(half << (window * i) for i in range(count)))
    raised = [field.add(limb, field.constant(offset[i])) for i, limb in enumerate(field.element(scalar))]
    limbs = _carry_signed(field, raised)
    for i in range(count):
        limb, shift = divmod(i * window, LIMB_BITS)
        digit = field.right(limbs[limb], shift)
        if shift + window > LIMB_BITS and limb + 1 < LIMBS:
            digit = field.either(digit, field.left(limbs[limb + 1], LIMB_BITS - shift))
        digit = field.sub(field.keep(digit, 2 * half - 1), field.constant(half))
        begin = field.add(field.mul(field.magnitude(digit), field.constant(row)), start)
        field.store(begin, target, i * DIGIT)
        field.store(digit, target, i * DIGIT + LANES)


@field_operation
def key_digits(field: Field, target: Any, scalar: Any) -> None:
    """For the lanes' own tables."""
    _digits(field, target, scalar, WINDOW, KEY_DIGITS, LANES * ROW, field.lane_numbers(ROW))


@field_operation
def known_key_digits(field: Field, target: Any, scalar: Any, starts: Any) -> None:
    """For affine tables that begin `starts` words behind the first; one start a lane."""
    _digits(field, target, scalar, WINDOW, KEY_DIGITS, AFFINE_ROW, field.load(starts))


@field_operation
def base_digits(field: Field, target: Any, scalar: Any) -> None:
    """For the affine tables of the base point."""
    _digits(field, target, scalar, BASE_WINDOW, BASE_DIGITS, AFFINE_ROW, field.constant(0))


@field_operation
def challenge_digits(field: Field, target: Any, scalar: Any) -> None:
    """Of a 128-bit number, for the lanes' own tables."""
    _digits(field, target, scalar, WINDOW, CHALLENGE_DIGITS, LANES * ROW, field.lane_numbers(ROW))


@field_operation
def known_challenge_digits(field: Field, target: Any, scalar: Any, starts: Any) -> None:
    """Of a 128-bit number, for affine tables of known keys."""
    _digits(field, target, scalar, WINDOW, CHALLENGE_DIGITS, AFFINE_ROW, field.load(starts))
