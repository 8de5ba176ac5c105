"""72.56 fixed-point numbers, bit for bit as every node computes them: arithmetic, logarithm, exponent.

A number is one raw word of 128 bits: a sign above 127 bits of magnitude, of which 56 are the fraction. Weights,
thresholds and committee sizes are computed with it, and all nodes must agree on the last bit, so the roundings of the
network's library are kept, also where they are a unit off (`_divide_wide`) and where a comparison ignores what the
sign means (`less`). Numbers are plain integers here: a weight sum in the tortoise is millions of additions.
Protocol 04b-beacon-eligibility-proposals, section 3, and 06-tortoise, section 3.
"""

from __future__ import annotations

import math
from functools import lru_cache

from protocol.errors import ProtocolError

FRACTION_BITS = 56
SIGN = 1 << 127
MAGNITUDE = SIGN - 1
ONE = 1 << FRACTION_BITS
HALF = ONE >> 1

_LN2 = 0xB17217F7D1CF78
_LOG2E = 0x171547652B82FE0
_EXP_UNDERFLOW = 38
"""exp(-39) and below are zero with 56 bits of fraction (the integer part decides)."""
_EXP_TERMS = tuple(ONE // math.factorial(j) for j in range(2, 15))
_GAMMA_SERIES = (
    0x6B3F8E4325F5A4,
    0x1555555555553B,
    -0xB60B60B58172,
    0x34033F319E71,
    -0x270197181FCE,
    0x36CF7499B5AB,
    -0x6AE2742E790F,
)
"""Coefficients of the series for the logarithm of the gamma function, in powers of 1/x."""


class FixedError(ProtocolError):
    """A result that does not fit, or a division by zero. reason: overflow, zero_division."""


def overflow(what: str) -> FixedError:
    """The error of a result that does not fit."""
    return FixedError(f"{what} does not fit into a fixed-point number of 127 bits.", "overflow")


def _word(negative: bool, magnitude: int) -> int:
    if magnitude > MAGNITUDE:
        raise overflow("a result")
    return magnitude | SIGN if negative else magnitude


def from_int(value: int) -> int:
    """The number of a signed integer. Raises FixedError (overflow)."""
    return _word(value < 0, abs(value) << FRACTION_BITS)


def from_float(value: float) -> int:
    """The number of a float, what does not fit into the fraction cut off. Raises FixedError (overflow)."""
    if not math.isfinite(value):
        raise overflow(str(value))
    mantissa, exponent = math.frexp(abs(value))
    scaled = int(mantissa * (1 << 53))
    shift = exponent - 53 + FRACTION_BITS
    return _word(value < 0, scaled << shift if shift >= 0 else scaled >> -shift)


def from_bytes(data: bytes) -> int:
    """The number of its 16 bytes, little-endian. Raises FixedError (reason length)."""
    if len(data) != 16:
        raise FixedError(f"{len(data)} bytes, a fixed-point number has 16.", "length")
    return int.from_bytes(data, "little")


def to_bytes(value: int) -> bytes:
    """The 16 bytes of a number, little-endian."""
    return value.to_bytes(16, "little")


def fraction_from_bytes(data: bytes) -> int:
    """The number in [0, 1) of which the first seven bytes are the fraction, little-endian.

    How an eligibility proof becomes a draw. Raises FixedError (reason length) below 8 bytes.
    """
    if len(data) < 8:
        raise FixedError(f"{len(data)} bytes, a fraction is taken from 8.", "length")
    return int.from_bytes(data[:8], "little") & (ONE - 1)


def to_float(value: int) -> float:
    """The float next to it, towards zero."""
    magnitude = value & MAGNITUDE
    surplus = max(0, magnitude.bit_length() - 53)
    result = math.ldexp(magnitude >> surplus, surplus - FRACTION_BITS)
    return -result if value & SIGN else result


def _integer(negative: bool, magnitude: int) -> int:
    if magnitude >> 63:
        raise overflow("an integer part")
    return -magnitude if negative else magnitude


def floor(value: int) -> int:
    """The largest integer not above. Raises FixedError (overflow) where it needs more than 64 bits."""
    negative, magnitude = value >= SIGN, value & MAGNITUDE
    return _integer(negative, magnitude + (ONE - 1) * negative >> FRACTION_BITS)


def ceil(value: int) -> int:
    """The smallest integer not below. Raises FixedError (overflow)."""
    negative, magnitude = value >= SIGN, value & MAGNITUDE
    return _integer(negative, magnitude + (ONE - 1) * (not negative) >> FRACTION_BITS)


def round_half_away(value: int) -> int:
    """The nearest integer, halves away from zero. Raises FixedError (overflow)."""
    return _integer(value >= SIGN, (value & MAGNITUDE) + HALF >> FRACTION_BITS)


def text(value: int) -> str:
    """The library's own text: sign, integer, fourteen hex digits of the fraction. Raises FixedError (overflow)."""
    magnitude = value & MAGNITUDE
    integer = _integer(False, magnitude >> FRACTION_BITS)
    return f"{'-' if value & SIGN else '+'}{integer}'{magnitude & (ONE - 1):014x}/{FRACTION_BITS}"


def neg(value: int) -> int:
    """The other sign; zero has two signs."""
    return value ^ SIGN


def absolute(value: int) -> int:
    """Without the sign."""
    return value & MAGNITUDE


def less(x: int, y: int) -> bool:
    """The library's order, which is that of the raw words: a negative number is above every positive one."""
    return x < y


def add(x: int, y: int) -> int:
    """x + y. Raises FixedError (overflow)."""
    if (x ^ y) & SIGN == 0:
        return _word(x >= SIGN, (x & MAGNITUDE) + (y & MAGNITUDE))
    difference = (x & MAGNITUDE) - (y & MAGNITUDE)
    if difference == 0:
        return 0
    return _word((x if difference > 0 else y) >= SIGN, abs(difference))


def sub(x: int, y: int) -> int:
    """x - y. Raises FixedError (overflow)."""
    return add(x, y ^ SIGN)


def mul(x: int, y: int) -> int:
    """x * y, the magnitude cut off. Raises FixedError (overflow)."""
    return _word((x ^ y) >= SIGN, (x & MAGNITUDE) * (y & MAGNITUDE) >> FRACTION_BITS)


def div(x: int, y: int) -> int:
    """x / y as the library rounds it. Raises FixedError (zero_division, overflow)."""
    if y & MAGNITUDE == 0:
        raise FixedError("division by zero.", "zero_division")
    return _word((x ^ y) >= SIGN, divide_magnitudes(x & MAGNITUDE, y & MAGNITUDE))


def ratio(numerator: int, denominator: int) -> int:
    """The quotient of two integers, signed. Raises FixedError (zero_division, overflow)."""
    return div(from_int(numerator), from_int(denominator))


def _divide_wide(u: int, v: int) -> tuple[int, int]:
    """Quotient and remainder of two magnitudes; a quotient that leaves no remainder may be one too small.

    For divisors beyond 64 bits the estimate is one low, and it is not raised where the remainder equals the divisor.
    Thresholds are strict, so a node that rounds better would disagree.
    """
    if v < 1 << 64:
        return divmod(u, v)
    shift = 64 - (v >> 64).bit_length()
    quotient = u // (v << shift >> 64) >> (64 - shift)
    if quotient:
        quotient -= 1
    remainder = u - v * quotient
    if remainder > v:
        quotient += 1
        remainder -= v
    return quotient, remainder


def divide_magnitudes(u: int, v: int) -> int:
    """floor(u * 2^56 / v) of two magnitudes, v > 0, with the library's deviations."""
    if u < 1 << 71:
        return _divide_wide(u << FRACTION_BITS, v)[0]
    whole, rest = _divide_wide(u, v)
    shift = min(FRACTION_BITS, 63 - (rest >> 64).bit_length())
    return (whole << FRACTION_BITS) + _divide_wide(rest << shift, v >> (FRACTION_BITS - shift))[0]


def _mul56(x: int, y: int) -> int:
    """x * y / 2^56 of two signed integers of 64 bits, rounded. Raises FixedError (overflow)."""
    product = x * y + HALF
    high = product >> 64
    if (high >> 63 ^ high >> 55) & 1:
        raise overflow("a product")
    return product >> FRACTION_BITS


def _div56(x: int, y: int) -> int:
    quotient, rest = divmod(abs(x) << FRACTION_BITS, abs(y))
    quotient += 2 * rest // abs(y)
    return -quotient if (x < 0) != (y < 0) else quotient


def _log2(x: int, width: int) -> int:
    """The binary logarithm of x / 2^width in signed 8.56. Raises FixedError (overflow) for x < 1."""
    if x < 1:
        raise overflow("the logarithm of a number below the smallest")
    if x == 1 << width:
        return 0
    length = x.bit_length()
    result = (length - width - 1) << FRACTION_BITS
    square, bit = x << (63 - length), HALF
    while bit:
        square = square * square >> 62
        if square >> 63:
            square >>= 1
            result += bit
        bit >>= 1
    return result


@lru_cache(maxsize=4096)
def log_of_fraction(x: int) -> int:
    """The natural logarithm of the number whose raw word is x, signed 8.56. Raises FixedError (overflow) for 0."""
    return _mul56(_log2(x, FRACTION_BITS), _LN2)


@lru_cache(maxsize=1 << 16)
def log_of_integer(x: int) -> int:
    """The natural logarithm of an integer, signed 8.56. Raises FixedError (overflow) below 1."""
    return _mul56(_log2(x, 0), _LN2)


def from_signed(value: int) -> int:
    """The raw word of a signed integer with 56 bits of fraction."""
    return -value | SIGN if value < 0 else value


@lru_cache(maxsize=1 << 16)
def log_gamma(x: int) -> int:
    """The logarithm of (x - 1)! as a raw word. Raises FixedError (overflow) below 1."""
    if x < 1:
        raise overflow("the logarithm of the gamma function below 1")
    if x <= 2:
        return 0
    if x < 8:
        return log_of_integer(math.factorial(x - 1))
    z = _div56(1, x)
    y = _mul56(z, z)
    g = _GAMMA_SERIES
    series = g[6]
    for coefficient in (g[5], g[4], g[3], g[2], g[1]):
        series = coefficient + _mul56(y, series)
    tail = g[0] + _mul56(z, series)
    return add(mul((x << FRACTION_BITS) - HALF, from_signed(log_of_integer(x) - ONE)), from_signed(tail))


def exp(x: int) -> int:
    """e to the power of x. Raises FixedError (overflow)."""
    magnitude = x & MAGNITUDE
    if x & SIGN and magnitude >> FRACTION_BITS > _EXP_UNDERFLOW:
        return 0
    if magnitude >> 63:
        raise overflow("a power of e")
    turns = (magnitude * _LOG2E >> FRACTION_BITS) & ~(ONE - 1)
    rest = magnitude - (turns * _LN2 >> FRACTION_BITS)
    turns >>= FRACTION_BITS
    result, power = ONE + rest, rest
    for term in _EXP_TERMS:
        power = power * rest >> FRACTION_BITS
        result += power * term >> FRACTION_BITS
    if x & SIGN:
        return divide_magnitudes(ONE, result) >> turns
    return _word(False, result << turns)
