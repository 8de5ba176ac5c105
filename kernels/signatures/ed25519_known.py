"""Affine tables of known keys: what a verification then no longer has to compute.

A table holds the multiples 0 to 16 of -A and of [2^130](-A) with z = 1. With it a key needs no decoding, no table of
its own, and half of the doublings. Eight tables are made at a time, lane by lane, and scattered to their places.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from kernels.signatures.ed25519_encoding import decode_two, invert_all, read_keys
from kernels.signatures.ed25519_layout import (
    AFFINE_ROW,
    AFFINE_TABLE,
    HALF_BITS,
    POINT,
    S_ADDEND,
    S_FLAGS,
    S_NOWHERE,
    S_POINT,
    S_ROOTS,
    SCRATCH,
    TABLE_POINTS,
)
from kernels.signatures.ed25519_points import (
    add_for_addition,
    addend_of_sum_form,
    double_for_addition,
    double_times,
    identity_sum_form,
    negate_affine,
    sum_form_of_affine,
)
from kernels.signatures.field25519 import ELEMENT, LIMBS, PAIR, Field, copy_words, field_operation
from kernels.vectors import target
from kernels.vectors.lanes import LANES

target.keep_code_of(__name__)

KNOWN_KEY = 2 * AFFINE_TABLE
"""Words of a known key: the tables of both halves of the digits."""

_MULTIPLE = 5 * ELEMENT
"""y + x, y - x, 2dt, z, 1/z."""

_MULTIPLES = SCRATCH
_ENCODINGS = _MULTIPLES + 2 * TABLE_POINTS * _MULTIPLE
_AFFINE = _ENCODINGS + PAIR
_START = _AFFINE + PAIR
KNOWN_SCRATCH = _START + POINT
"""Words that `remember_eight` needs."""


@field_operation
def _normalise(field: Field, multiple: Any) -> None:
    """Reduced y + x, y - x and 2dt for z = 1."""
    inverse = field.element(multiple, 4)
    for part in range(3):
        field.store_element(field.reduce(field.multiply(field.element(multiple, part), inverse)), multiple, part)


@field_operation
def _projective(field: Field, target: Any, source: Any) -> None:
    """Sum form to projective: 2x, 2y, 2z."""
    total, difference, z = (field.exact(field.element(source, i)) for i in range(3))
    field.store_element(field.carry(field.minus(field.biased(total), difference)), target, 0)
    field.store_element(field.carry(field.plus(total, difference)), target, 1)
    field.store_element(field.carry(field.plus(z, z)), target, 2)


@njit(nogil=True)
def _fill(memory, multiples, point):  # type: ignore[no-untyped-def]
    """The multiples of a point in sum form, which is used up."""
    addend_of_sum_form(memory, S_ADDEND, point)
    identity_sum_form(memory, point)
    for at in range(multiples, multiples + TABLE_POINTS * _MULTIPLE, _MULTIPLE):
        addend_of_sum_form(memory, at, point)
        add_for_addition(memory, point, point, S_ADDEND)


@njit(nogil=True, cache=True)
def remember_eight(memory, key_words, known, starts, is_allowed):  # type: ignore[no-untyped-def]
    """Writes the tables of eight keys to known[starts[i]:]; is_allowed[i] says whether a node accepts such a key."""
    point, upper = S_POINT, _MULTIPLES + TABLE_POINTS * _MULTIPLE
    read_keys(memory, _ENCODINGS, key_words)
    read_keys(memory, _ENCODINGS + ELEMENT, key_words)
    decode_two(memory, _AFFINE, S_NOWHERE, _ENCODINGS, S_FLAGS, S_ROOTS)
    negate_affine(memory, _AFFINE, _AFFINE)
    sum_form_of_affine(memory, point, _AFFINE)
    copy_words(memory, _START, point, POINT)
    _fill(memory, _MULTIPLES, point)
    _projective(memory, point, _START)
    double_times(memory, point, HALF_BITS - 1)
    double_for_addition(memory, point, point)
    _fill(memory, upper, point)
    z = _MULTIPLES + 3 * ELEMENT
    invert_all(memory, z, z + ELEMENT, 2 * TABLE_POINTS, _MULTIPLE, S_ROOTS)
    for i in range(2 * TABLE_POINTS):
        multiple = _MULTIPLES + i * _MULTIPLE
        _normalise(memory, multiple)
        for lane in range(LANES):
            for limb in range(3 * LIMBS):
                known[starts[lane] + i * AFFINE_ROW + limb] = memory[multiple + limb * LANES + lane]
    for lane in range(LANES):
        flags = S_FLAGS + lane
        is_allowed[lane] = memory[flags] != 0 and memory[flags + LANES] != 0 and memory[flags + 2 * LANES] == 0
