"""Encodings of points of edwards25519, eight side by side: read, decode, compare, write.

Decoding needs a square root, which is a power of 252 squarings: two are always taken together. A batch of results is
encoded with one inversion for all. RFC 8032, sections 5.1.2 and 5.1.3; protocol 03-encoding-and-types, section 8.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from kernels.signatures.ed25519_curve import SMALL_ORDER_Y, SQRT_MINUS_ONE, D
from kernels.signatures.ed25519_layout import BYTES_ROW, POINT_FLAGS, S_FLAGS, S_NOWHERE, S_ROOTS
from kernels.signatures.field25519 import (
    BIAS,
    ELEMENT,
    LIMB_BITS,
    PAIR,
    TOP_BITS,
    TOP_MASK,
    Element,
    Field,
    copy_words,
    field_operation,
    invert_two,
    multiply,
    raise_for_root,
)
from kernels.vectors.lanes import LANES


def _read(field: Field, target: Any, source: Any, stride: int, words: int = 4) -> None:
    indices = field.lane_numbers(stride)
    found = [field.gather(field.at(source, i), indices) for i in range(words)]
    field.store_element(field.split_words(found), target)


@field_operation
def read_keys(field: Field, target: Any, keys: Any) -> None:
    """The 256-bit numbers of eight keys that lie one behind the other."""
    _read(field, target, keys, 4)


@field_operation
def read_signature_halves(field: Field, target: Any, signatures: Any) -> None:
    """R of eight signatures; or S, if the array begins there."""
    _read(field, target, signatures, 8)


@field_operation
def read_proof_points(field: Field, target: Any, proofs: Any) -> None:
    """Gamma of eight VRF proofs; or s, if the array begins there."""
    _read(field, target, proofs, 10)


@field_operation
def read_proof_challenge(field: Field, target: Any, proofs: Any) -> None:
    """The 128-bit challenges of eight VRF proofs, if the array begins there."""
    _read(field, target, proofs, 10, 2)


@field_operation
def _prepare_root(field: Field, scratch: Any, encoding: Any) -> None:
    """For y of two encodings: u = y^2 - 1, v = dy^2 + 1, uv^3 and uv^7 into the first four pairs of scratch."""
    for i in range(2):
        limbs = field.element(encoding, i)
        y = [*limbs[:4], field.keep(limbs[4], TOP_MASK)]
        yy = field.square_wide(y, BIAS)
        one = field.number(1)
        u = field.carry(field.minus(yy, one))
        v = field.carry(field.plus(field.multiply_wide(field.carry(yy), field.number(D)), one))
        v3 = field.multiply(field.square(v), v)
        uv3 = field.multiply(u, v3)
        uv7 = field.multiply(uv3, field.multiply(v3, v))
        for place, value in enumerate((u, v, uv3, uv7)):
            field.store_element(value, scratch, 2 * place + i)


@field_operation
def _finish_root(field: Field, point: Any, flags: Any, scratch: Any, power: Any, encoding: Any) -> None:
    """power = (uv^7)^((p-5)/8): the affine point, or the identity where there is none; and its flags."""
    limbs = field.element(encoding)
    sign = field.right(limbs[4], TOP_BITS)
    stated = [*limbs[:4], field.keep(limbs[4], TOP_MASK)]
    y = field.reduce(stated)
    canonical = field.equals(y, stated)
    u, v, uv3 = (field.element(scratch, 2 * place) for place in range(3))
    x = field.multiply(uv3, field.element(power))
    vxx = field.multiply_wide(v, field.square(x), BIAS)
    u = field.exact(u)
    is_root, is_turned = field.vanishes(field.minus(vxx, u)), field.vanishes(field.plus(vxx, u))
    decodes = field.either(is_root, is_turned)
    x = field.choose_element(is_root, x, field.multiply(x, field.number(SQRT_MINUS_ONE)))
    x = field.reduce(x)
    has_wrong_sign = field.invert(field.is_equal(field.keep(x[0], 1), sign))
    is_zero = field.equals(x, field.number(0))
    canonical = field.both(canonical, field.invert(field.both(is_zero, has_wrong_sign)))
    x = field.choose_element(has_wrong_sign, field.negate(x), x)
    small = field.is_equal(field.constant(0), field.constant(1))
    for value in sorted(SMALL_ORDER_Y):
        small = field.either(small, field.equals(y, field.number(value)))
    field.store_element(field.choose_element(decodes, x, field.number(0)), point, 0)
    field.store_element(field.choose_element(decodes, y, field.number(1)), point, 1)
    for i, condition in enumerate((decodes, canonical, small)):
        field.store(field.flag(condition), flags, i * LANES)


@njit(nogil=True)
def decode_two(memory, first, second, encodings, flags, scratch):  # type: ignore[no-untyped-def]
    """Affine points and, one behind the other, flags of two neighbouring encodings; ROOT_SCRATCH words of scratch."""
    _prepare_root(memory, scratch, encodings)
    raise_for_root(memory, scratch)
    result = scratch + 4 * PAIR
    _finish_root(memory, first, flags, scratch, result, encodings)
    _finish_root(memory, second, flags + POINT_FLAGS, scratch + ELEMENT, result + ELEMENT, encodings + ELEMENT)


@njit(nogil=True)
def decode_all(memory, encodings, count, points, flags, stride):  # type: ignore[no-untyped-def]
    """Affine points and flags of `count` neighbouring encodings, to places that are `stride` words apart."""
    for i in range(0, count, 2):
        following = points + (i + 1) * stride if i + 1 < count else S_NOWHERE
        decode_two(memory, points + i * stride, following, encodings + i * ELEMENT, S_FLAGS, S_ROOTS)
        copy_words(memory, flags + i * stride, S_FLAGS, POINT_FLAGS)
        if i + 1 < count:
            copy_words(memory, flags + (i + 1) * stride, S_FLAGS + POINT_FLAGS, POINT_FLAGS)


@njit(nogil=True)
def invert_all(memory, z, inverse, count, stride, scratch):  # type: ignore[no-untyped-def]
    """Puts 1/z of `count` elements z, `stride` words apart, into those that begin at `inverse`: one inversion for all.

    No z may be 0. ROOT_SCRATCH words of scratch.
    """
    last = (count - 1) * stride
    copy_words(memory, inverse, z, ELEMENT)
    for at in range(stride, last + 1, stride):
        multiply(memory, inverse + at, inverse + at - stride, z + at)
    rest = scratch + 6 * PAIR
    copy_words(memory, rest, inverse + last, ELEMENT)
    invert_two(memory, rest, rest, scratch)
    for at in range(last, 0, -stride):
        multiply(memory, inverse + at, rest, inverse + at - stride)
        multiply(memory, rest, rest, z + at)
    copy_words(memory, inverse, rest, ELEMENT)


def _encoding(field: Field, record: Any) -> Element:
    """The limbs of the encoding of a record."""
    x, y, _, reciprocal = (field.element(record, i) for i in range(4))
    x, y = field.reduce(field.multiply(x, reciprocal)), field.reduce(field.multiply(y, reciprocal))
    return [*y[:4], field.either(y[4], field.left(field.keep(x[0], 1), TOP_BITS))]


@field_operation
def compare_encoding(field: Field, flag: Any, record: Any, encoding: Any) -> None:
    field.store(field.flag(field.equals(_encoding(field, record), field.element(encoding))), flag)


@field_operation
def encode(field: Field, rows: Any, record: Any) -> None:
    """The encodings of a record, a row of BYTES_ROW words a lane, of which the first four hold the 32 bytes."""
    limbs = _encoding(field, record)
    words = []
    for i in range(4):
        low, high = field.right(limbs[i], 12 * i), field.left(limbs[i + 1], LIMB_BITS - 12 * i)
        words.append(field.either(low, high))
    field.store_rows([*words, *[field.constant(0)] * 4], rows, BYTES_ROW)
