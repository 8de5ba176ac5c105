"""Points of edwards25519, eight side by side: doubling, addition, tables of multiples.

Forms in memory. Affine: x, y. Projective: x, y, z. Sum form, ready for an addition: y + x, y - x, z, t. Addend: y + x,
y - x, 2dt, z. Tables hold addends as rows, the words of a lane one behind the other: rows of 24 words with the z where
each lane has a table of its own; rows of 16 words in affine tables (z = 1), which serve any lane. The formulas are
those of Hisil, Wong, Carter and Dawson for a = -1; they are complete, so no point is an exception.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from kernels.signatures.ed25519_curve import BASE, IDENTITY, D, P, Point
from kernels.signatures.ed25519_curve import add as add_points
from kernels.signatures.ed25519_layout import AFFINE_ROW, BASE_TABLE, HALF_BITS, ROW, TABLE_POINTS, WINDOW
from kernels.signatures.field25519 import BIAS, HALF_BIAS, LIMBS, TWICE_BIAS, Element, Field, field_operation, to_limbs
from kernels.vectors.lanes import LANES

TWICE_D = 2 * D % P

# ---- steps in registers ----


def _finish(field: Field, e: Element, f: Element, g: Element, h: Element, target: Any, for_addition: bool) -> None:
    if for_addition:
        x = field.multiply_wide(e, f)
        y = field.multiply_wide(g, h, BIAS)
        field.store_element(field.carry(field.plus(y, x)), target, 0)
        field.store_element(field.carry(field.minus(y, x)), target, 1)
        field.store_element(field.multiply(f, g), target, 2)
        field.store_element(field.multiply(e, h), target, 3)
    else:
        field.store_element(field.multiply(e, f), target, 0)
        field.store_element(field.multiply(g, h), target, 1)
        field.store_element(field.multiply(f, g), target, 2)


def _double(field: Field, target: Any, source: Any, for_addition: bool) -> None:
    x, y, z = (field.element(source, i) for i in range(3))
    xx = field.square_wide(x)
    yy = field.square_wide(y, BIAS)
    zz = field.square_wide(z, BIAS)
    total = field.square_wide(field.carry(field.plus(field.exact(x), field.exact(y))), TWICE_BIAS)
    g = field.minus(yy, xx)
    h = field.plus(yy, xx)
    e = field.carry(field.minus(total, h))
    f = field.carry(field.minus(field.plus(zz, zz), g))
    _finish(field, e, f, field.carry(g), field.carry(h), target, for_addition)


def _add(
    field: Field, target: Any, source: Any, addend: list[Element], for_addition: bool, is_negative: Any = None
) -> None:
    """addend: y + x, y - x, 2dt and z, or no z where it is one; subtracted in the lanes where is_negative holds."""
    total, difference = addend[:2]
    if is_negative is not None:
        total, difference = (
            field.choose_element(is_negative, difference, total),
            field.choose_element(is_negative, total, difference),
        )
    b = field.multiply_wide(field.element(source, 0), total, BIAS)
    a = field.multiply_wide(field.element(source, 1), difference)
    c = field.multiply_wide(field.element(source, 3), addend[2])
    z = field.element(source, 2)
    if len(addend) == 4:
        d = field.multiply_wide(z, addend[3], HALF_BIAS)
        d = field.plus(d, d)
    else:
        z = field.exact(z)
        d = field.biased(field.plus(z, z))
    e, h = field.carry(field.minus(b, a)), field.carry(field.plus(b, a))
    f, g = field.carry(field.minus(d, c)), field.carry(field.plus(d, c))
    if is_negative is not None:
        f, g = field.choose_element(is_negative, g, f), field.choose_element(is_negative, f, g)
    _finish(field, e, f, g, h, target, for_addition)


def _elements(words: list[Any], count: int) -> list[Element]:
    return [words[LIMBS * i : LIMBS * (i + 1)] for i in range(count)]


def _add_from_table(
    field: Field, target: Any, source: Any, table: Any, digit: Any, row: int, for_addition: bool
) -> None:
    """Adds the multiple for a digit as `ed25519_scalars` writes it."""
    addend = _elements(field.load_rows(table, digit, row), 4 if row == ROW else 3)
    _add(field, target, source, addend, for_addition, field.is_negative(field.load(digit, LANES)))


# ---- steps in memory: projective or sum form to projective, or to sum form where an addition follows ----


@field_operation
def double(field: Field, target: Any, source: Any) -> None:
    _double(field, target, source, False)


@field_operation
def double_for_addition(field: Field, target: Any, source: Any) -> None:
    _double(field, target, source, True)


@field_operation
def add_own(field: Field, target: Any, source: Any, table: Any, digit: Any) -> None:
    """Adds the digit's multiple from the lanes' own tables."""
    _add_from_table(field, target, source, table, digit, ROW, False)


@field_operation
def add_own_for_addition(field: Field, target: Any, source: Any, table: Any, digit: Any) -> None:
    _add_from_table(field, target, source, table, digit, ROW, True)


@field_operation
def add_affine(field: Field, target: Any, source: Any, table: Any, digit: Any) -> None:
    """Adds the digit's multiple from an affine table."""
    _add_from_table(field, target, source, table, digit, AFFINE_ROW, False)


@field_operation
def add_affine_for_addition(field: Field, target: Any, source: Any, table: Any, digit: Any) -> None:
    _add_from_table(field, target, source, table, digit, AFFINE_ROW, True)


@field_operation
def add(field: Field, target: Any, source: Any, addend: Any) -> None:
    _add(field, target, source, [field.element(addend, part) for part in range(4)], False)


@field_operation
def add_for_addition(field: Field, target: Any, source: Any, addend: Any) -> None:
    _add(field, target, source, [field.element(addend, part) for part in range(4)], True)


@field_operation
def prefetch_affine(field: Field, table: Any, digit: Any) -> None:
    """Asks the memory for what `add_affine` will read."""
    field.prefetch(table, field.load(digit), AFFINE_ROW)


@njit(nogil=True)
def double_times(memory, point, count):  # type: ignore[no-untyped-def]
    for _ in range(count):
        double(memory, point, point)


@njit(nogil=True)
def next_window(memory, point):  # type: ignore[no-untyped-def]
    """[2^WINDOW] of a projective point, in sum form."""
    double_times(memory, point, WINDOW - 1)
    double_for_addition(memory, point, point)


# ---- other forms ----


@field_operation
def negate_affine(field: Field, target: Any, source: Any) -> None:
    field.store_element(field.negate(field.element(source, 0)), target, 0)
    field.store_element(field.element(source, 1), target, 1)


@field_operation
def sum_form_of_affine(field: Field, target: Any, source: Any) -> None:
    x, y = (field.exact(field.element(source, i)) for i in range(2))
    field.store_element(field.carry(field.plus(y, x)), target, 0)
    field.store_element(field.carry(field.minus(field.biased(y), x)), target, 1)
    field.store_element(field.number(1), target, 2)
    field.store_element(field.multiply(x, y), target, 3)


@field_operation
def sum_form_of_projective(field: Field, target: Any, source: Any) -> None:
    """The same point with all coordinates multiplied by z, where t = xy is known."""
    x, y, z = (field.element(source, i) for i in range(3))
    xz, yz = field.multiply_wide(x, z), field.multiply_wide(y, z, BIAS)
    field.store_element(field.carry(field.plus(yz, xz)), target, 0)
    field.store_element(field.carry(field.minus(yz, xz)), target, 1)
    field.store_element(field.square(z), target, 2)
    field.store_element(field.multiply(x, y), target, 3)


@field_operation
def identity_sum_form(field: Field, target: Any) -> None:
    for part, value in enumerate((1, 1, 1, 0)):
        field.store_element(field.number(value), target, part)


@field_operation
def addend_of_sum_form(field: Field, target: Any, source: Any) -> None:
    product = field.multiply(field.element(source, 3), field.number(TWICE_D))
    field.store_element(field.element(source, 0), target, 0)
    field.store_element(field.element(source, 1), target, 1)
    field.store_element(product, target, 2)
    field.store_element(field.element(source, 2), target, 3)


@field_operation
def is_identity(field: Field, flag: Any, point: Any) -> None:
    """Of a projective point."""
    x, y, z = (field.reduce(field.element(point, i)) for i in range(3))
    field.store(field.flag(field.both(field.equals(x, field.number(0)), field.equals(y, z))), flag)


# ---- tables ----


@field_operation
def _store_identity(field: Field, rows: Any) -> None:
    words = [word for value in (1, 1, 0, 1) for word in field.number(value)]
    field.store_rows([*words, *field.number(0)[: ROW - len(words)]], rows, ROW)


@field_operation
def _store_multiple(field: Field, rows: Any, source: Any) -> None:
    """A point in sum form as rows of a table."""
    product = field.multiply(field.element(source, 3), field.number(TWICE_D))
    words = [*field.element(source, 0), *field.element(source, 1), *product, *field.element(source, 2)]
    field.store_rows([*words, *field.number(0)[: ROW - len(words)]], rows, ROW)


@njit(nogil=True)
def fill_table(memory, table, point, addend):  # type: ignore[no-untyped-def]
    """The table of a point in sum form, which is used up; `addend` is scratch."""
    addend_of_sum_form(memory, addend, point)
    _store_identity(memory, table)
    _store_multiple(memory, table + LANES * ROW, point)
    for i in range(2, TABLE_POINTS):
        add_for_addition(memory, point, point, addend)
        _store_multiple(memory, table + i * LANES * ROW, point)


def _affine_table(start: Point) -> list[int]:
    """The multiples of a point from 0 up to half a base window."""
    words: list[int] = []
    point = IDENTITY
    for _ in range(BASE_TABLE // AFFINE_ROW):
        x, y, z, _ = point
        inverse = pow(z, -1, P)
        x, y = x * inverse % P, y * inverse % P
        for value in (y + x, y - x, TWICE_D * x * y):
            words += to_limbs(value % P)
        words.append(0)
        point = add_points(point, start)
    return words


def base_tables() -> npt.NDArray[np.uint64]:
    """Affine tables of the base point, for the lower half of a scalar's digits and behind it for the upper one."""
    upper = BASE
    for _ in range(HALF_BITS):
        upper = add_points(upper, upper)
    return np.array(_affine_table(BASE) + _affine_table(upper), dtype=np.uint64)
