"""Numbers in 72.56 fixed point, compiled: the same steps as in `protocol.numbers.fixed`, where each is explained.

A magnitude is two words of 64 bits, the highest bit of the first is the sign, and a flag says that a value did not fit,
so that the caller can let the plain code name the reason. Protocol 04b-beacon-eligibility-proposals, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.vectors import target

binding.initialize_native_asmparser()  # for the one instruction that has no name in LLVM

_I128 = ir.IntType(128)
_PAIR = types.UniTuple(types.uint64, 2)

_0, _1, _2 = np.uint64(0), np.uint64(1), np.uint64(2)
_8, _32, _56, _63, _64 = np.uint64(8), np.uint64(32), np.uint64(56), np.uint64(63), np.uint64(64)
_LOW32 = np.uint64(0xFFFFFFFF)
ONE = np.uint64(1 << 56)
_HALF = np.uint64(1 << 55)
SIGN = np.uint64(1 << 63)
MASK = np.uint64((1 << 63) - 1)
_LN2 = np.int64(0xB17217F7D1CF78)
_LOG2E = np.uint64(0x171547652B82FE0)
_UNIT = np.int64(1 << 56)


def _factorials() -> Any:
    terms, product = [], 1
    for j in range(2, 15):
        product *= j
        terms.append((1 << 56) // product)
    return np.array(terms, np.uint64)


_EXP_TERMS = _factorials()
_SMALL_FACTORIALS = np.array([1, 1, 2, 6, 24, 120, 720], np.uint64)
_GAMMA_SERIES = np.array(
    [
        0x6B3F8E4325F5A4,
        0x1555555555553B,
        -0xB60B60B58172,
        0x34033F319E71,
        -0x270197181FCE,
        0x36CF7499B5AB,
        -0x6AE2742E790F,
    ],
    np.int64,
)


def _halves(context: Any, builder: Any, product: Any, kind: Any) -> Any:
    low = builder.trunc(product, ir.IntType(64))
    high = builder.trunc(builder.lshr(product, ir.Constant(_I128, 64)), ir.IntType(64))
    return cgutils.pack_array(builder, [high, low])


@intrinsic
def _wide(context: Any, x: Any, y: Any) -> Any:
    """(high, low) of the product of two unsigned words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = (builder.zext(argument, _I128) for argument in arguments)
        return _halves(context, builder, builder.mul(a, b), signature.return_type)

    return _PAIR(types.uint64, types.uint64), generate


@intrinsic
def _wide_signed(context: Any, x: Any, y: Any) -> Any:
    """(high, low) of the product of two signed words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = (builder.sext(argument, _I128) for argument in arguments)
        return _halves(context, builder, builder.mul(a, b), signature.return_type)

    return _PAIR(types.int64, types.int64), generate


@intrinsic
def _leading_zeros(context: Any, x: Any) -> Any:
    """Leading zero bits of a word, 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def _divide_by_instruction(context: Any, high: Any, low: Any, divisor: Any) -> Any:
    """What `_divide_in_digits` gives, by the one instruction of x86 for it; LLVM alone would call a library."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.LiteralStructType([word, word]), [word, word, word])
        division = ir.InlineAsm(kind, "divq $4", "={ax},={dx},0,1,r,~{flags}", side_effect=False)
        high, low, divisor = arguments
        both = builder.call(division, [low, high, divisor])
        return cgutils.pack_array(builder, [builder.extract_value(both, 0), builder.extract_value(both, 1)])

    return _PAIR(types.uint64, types.uint64, types.uint64), generate


@njit(inline="never")
def _divide_in_digits(high: Any, low: Any, divisor: Any) -> Any:
    """(high:low) // divisor and the rest, for high < divisor: two digits of 32 bits (Knuth's algorithm D)."""
    shift = _leading_zeros(divisor)
    divisor = divisor << shift
    if shift:
        high = high << shift | low >> (_64 - shift)
        low = low << shift
    top, bottom = divisor >> _32, divisor & _LOW32
    first = high // top
    rest = high - first * top
    while first > _LOW32 or first * bottom > (rest << _32 | low >> _32):
        first -= _1
        rest += top
        if rest > _LOW32:
            break
    middle = (high << _32 | low >> _32) - first * divisor
    second = middle // top
    rest = middle - second * top
    while second > _LOW32 or second * bottom > (rest << _32 | low & _LOW32):
        second -= _1
        rest += top
        if rest > _LOW32:
            break
    rest = (middle << _32 | low & _LOW32) - second * divisor
    return first << _32 | second, rest >> shift


# every x86 has the instruction; one without wide vectors takes the path of other processors, which is tested so
_divide_word = _divide_by_instruction if target.has_feature("avx2") else _divide_in_digits


@njit(inline="never")
def _divide_by_word(high: Any, low: Any, divisor: Any) -> Any:
    """Quotient (two words) and rest of 128 bits by 64."""
    if high < divisor:
        quotient, rest = _divide_word(high, low, divisor)
        return _0, quotient, rest
    top = high // divisor
    quotient, rest = _divide_word(high - top * divisor, low, divisor)
    return top, quotient, rest


@njit(inline="never")
def _divide_wide(uh: Any, ul: Any, vh: Any, vl: Any) -> Any:
    """protocol.numbers.fixed._divide_wide: quotient and rest, two words each."""
    if vh == _0:
        qh, ql, rest = _divide_by_word(uh, ul, vl)
        return qh, ql, _0, rest
    shift = _leading_zeros(vh)
    divisor = vh << shift
    if shift:
        divisor |= vl >> (_64 - shift)
    qh, ql, _ = _divide_by_word(uh, ul, divisor)
    if shift:  # by 64 - shift bits to the right; what is left fits into one word
        quotient = qh << shift | ql >> (_64 - shift)
    else:
        quotient = qh
    if quotient:
        quotient -= _1
    ph, pl = _wide(quotient, vl)
    ph += quotient * vh
    rh = uh - ph - (_1 if ul < pl else _0)
    rl = ul - pl
    if rh > vh or (rh == vh and rl > vl):
        quotient += _1
        borrow = _1 if rl < vl else _0
        rl -= vl
        rh = rh - vh - borrow
    return _0, quotient, rh, rl


@njit(inline="never")
def _divide(uh: Any, ul: Any, vh: Any, vl: Any) -> Any:
    """protocol.numbers.fixed.divide_magnitudes: (high, low, fits)."""
    if uh == _0 or uh < np.uint64(1 << 7):
        qh, ql, _, _ = _divide_wide(uh << _56 | ul >> _8, ul << _56, vh, vl)
        return qh, ql, qh >> _63 == _0
    ah, al, rh, rl = _divide_wide(uh, ul, vh, vl)
    shift = min(_56, _leading_zeros(rh) - _1)
    if shift == _0:
        ch, cl = rh, rl
    else:
        ch, cl = rh << shift | rl >> (_64 - shift), rl << shift
    back = _56 - shift
    if back == _0:
        dh, dl = vh, vl
    else:
        dh, dl = vh >> back, vl >> back | vh << (_64 - back)
    if dh == _0 and dl == _0:
        return _0, _0, False
    bh, bl, _, _ = _divide_wide(ch, cl, dh, dl)
    if ah or al >> np.uint64(7 + 64 - 8):
        return _0, _0, False
    low = (al << _56) + bl
    high = (al >> _8) + bh + (_1 if low < bl else _0)
    return high, low, high >> _63 == _0


@njit(inline="always")
def _less(ah: Any, al: Any, bh: Any, bl: Any) -> Any:
    return ah < bh or (ah == bh and al < bl)


@njit(inline="never")
def add(xh: Any, xl: Any, yh: Any, yl: Any) -> Any:
    """protocol.numbers.fixed.add on raw words: (high, low, fits)."""
    sign = xh & SIGN
    ah, bh = xh & MASK, yh & MASK
    if sign == yh & SIGN:
        low = xl + yl
        high = ah + bh + (_1 if low < xl else _0)
        return high | sign, low, high >> _63 == _0
    if ah == bh and xl == yl:
        return _0, _0, True
    if _less(ah, xl, bh, yl):
        return (bh - ah - (_1 if yl < xl else _0)) | (yh & SIGN), yl - xl, True
    return (ah - bh - (_1 if xl < yl else _0)) | sign, xl - yl, True


@njit(inline="never")
def mul(xh: Any, xl: Any, yh: Any, yl: Any) -> Any:
    """protocol.numbers.fixed.mul on raw words: (high, low, fits)."""
    sign = (xh ^ yh) & SIGN
    ah, bh = xh & MASK, yh & MASK
    p0h, p0l = _wide(xl, yl)
    if ah | bh == _0:
        return sign | p0h >> _56, p0h << _8 | p0l >> _56, True
    p1h, p1l = _wide(ah, yl)
    p2h, p2l = _wide(xl, bh)
    p3h, p3l = _wide(ah, bh)
    w1 = p0h + p1l
    c = _1 if w1 < p0h else _0
    w1b = w1 + p2l
    c += _1 if w1b < w1 else _0
    w2 = p1h + p2h
    d = _1 if w2 < p1h else _0
    w2b = w2 + p3l
    d += _1 if w2b < w2 else _0
    w2c = w2b + c
    d += _1 if w2c < w2b else _0
    w3 = p3h + d
    # 256 bits w3 w2c w1b p0l, shifted right by 56
    low = p0l >> _56 | w1b << _8
    high = w1b >> _56 | w2c << _8
    fits = w3 == _0 and w2c >> _56 == _0 and high >> _63 == _0
    return high | sign, low, fits


@njit(inline="never")
def div(xh: Any, xl: Any, yh: Any, yl: Any) -> Any:
    """protocol.numbers.fixed.div on raw words: (high, low, fits)."""
    if yh & MASK == _0 and yl == _0:
        return _0, _0, False
    high, low, fits = _divide(xh & MASK, xl, yh & MASK, yl)
    return high | ((xh ^ yh) & SIGN), low, fits


@njit(inline="always")
def whole(value: Any) -> Any:
    """The raw word of a signed integer of 64 bits."""
    if value < 0:
        magnitude = np.uint64(0) - np.uint64(value)
        return magnitude >> _8 | SIGN, magnitude << _56
    return np.uint64(value) >> _8, np.uint64(value) << _56


@njit(inline="always")
def signed(value: Any) -> Any:
    """The raw word of a signed integer with 56 bits of fraction."""
    if value < 0:
        return SIGN, np.uint64(0) - np.uint64(value)
    return _0, np.uint64(value)


@njit(inline="never")
def _mul56(x: Any, y: Any) -> Any:
    """protocol.numbers.fixed._mul56: (product, fits)."""
    high, low = _wide_signed(np.int64(x), np.int64(y))
    low2 = low + _HALF
    if low2 < low:
        high += _1
    fits = (high >> _63 ^ high >> np.uint64(55)) & _1 == _0
    return np.int64(high << _8 | low2 >> _56), fits


@njit(inline="never")
def log(x: Any, width: Any) -> Any:
    """protocol.numbers.fixed.log_of_fraction (width 56) and log_of_integer (width 0), x > 0."""
    if x == _1 << np.uint64(width):
        return np.int64(0)
    length = np.int64(64) - np.int64(_leading_zeros(x))
    result = (length - width - 1) * _UNIT
    square = x << np.uint64(63 - length)
    bit = np.int64(_HALF)
    while bit:
        high, low = _wide(square, square)
        square = high << _2 | low >> np.uint64(62)
        if square >> _63:
            square >>= _1
            result += bit
        bit >>= 1
    return _mul56(result, _LN2)[0]


@njit(inline="never")
def log_gamma(x: Any) -> Any:
    """protocol.numbers.fixed.log_gamma for x >= 1: (high, low, fits)."""
    if x <= 2:
        return _0, _0, True
    if x < 8:
        high, low = signed(log(_SMALL_FACTORIALS[x - 1], 0))
        return high, low, True
    quotient = _UNIT // x
    z = quotient + 2 * (_UNIT - quotient * x) // x
    y, fits = _mul56(z, z)
    series = _GAMMA_SERIES[6]
    for k in range(5, 0, -1):
        product, good = _mul56(y, series)
        fits &= good
        series = _GAMMA_SERIES[k] + product
    product, good = _mul56(z, series)
    fits &= good
    tail = _GAMMA_SERIES[0] + product
    lh, ll = signed(log(np.uint64(x), 0) - _UNIT)
    high, low = whole(x)
    low_half = low - _HALF
    if low < _HALF:
        high -= _1
    ph, pl, good = mul(high, low_half, lh, ll)
    fits &= good
    th, tl = signed(tail)
    high, low, good = add(ph, pl, th, tl)
    return high, low, fits and good


@njit(inline="always")
def _scaled(x: Any, y: Any) -> Any:
    """x * y / 2^56 of two words, cut off; the result fits into one."""
    high, low = _wide(x, y)
    return high << _8 | low >> _56


@njit(inline="never")
def exp(xh: Any, xl: Any) -> Any:
    """protocol.numbers.fixed.exp: (high, low, fits)."""
    high = xh & MASK
    negative = xh & SIGN != _0
    if negative and (high << _8 | xl >> _56) > np.uint64(38):
        return _0, _0, True
    if high or xl >> _63:
        return _0, _0, False
    turns = _scaled(xl, _LOG2E) >> _56
    rest = xl - _scaled(turns << _56, np.uint64(_LN2))
    result, power = ONE + rest, rest
    for k in range(_EXP_TERMS.shape[0]):
        power = _scaled(power, rest)
        result += _scaled(power, _EXP_TERMS[k])
    if negative:
        qh, ql, fits = _divide(_0, ONE, _0, result)
        if turns == _0:
            return qh, ql, fits
        return _0, ql >> turns, fits  # the inverse of 1..2 fits into one word
    if turns > np.uint64(60):
        return _0, _0, False
    if turns == _0:
        return _0, result, True
    high = result >> (_64 - turns)
    return high, result << turns, high >> _63 == _0
