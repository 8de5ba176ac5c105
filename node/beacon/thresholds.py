"""Who may propose, and how much weight decides a vote, with the roundings on which all nodes agree.

The network computes with floats of a 64-bit mantissa, each step rounded to the nearest, ties to even. Here such a float
is an exact fraction that fits one. Protocol 04b, section 1.4 and 1.6.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

MANTISSA_BITS = 64
VRF_BITS = 640
WORKING_BITS = 320
"""Of the power of two before it is rounded: far more than the 64 bits that remain."""


def _rounded(value: Fraction) -> Fraction:
    """The nearest number with a mantissa of 64 bits, of two the even one."""
    if value == 0:
        return value
    magnitude = abs(value)
    shift = magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - MANTISSA_BITS
    unit = Fraction(2) ** shift
    if magnitude / unit >= 1 << MANTISSA_BITS:
        unit *= 2
    found = round(magnitude / unit) * unit  # round() of a fraction takes ties to even
    return found if value > 0 else -found


@lru_cache(maxsize=1)
def _ln2() -> int:
    """The natural logarithm of 2, as an integer of WORKING_BITS bits of fraction."""
    total, power, term = 0, 1 << (WORKING_BITS + 32), 1
    while power:
        power >>= 1
        total += power // term
        term += 1
    return total >> 32


def _power_of_two(exponent: Fraction) -> Fraction:
    """2 to a negative exponent, rounded."""
    whole = -(-exponent.numerator // exponent.denominator)  # towards zero: the exponent is not positive
    one = 1 << WORKING_BITS
    x = (exponent - whole).numerator * one // (exponent - whole).denominator * _ln2() >> WORKING_BITS
    total = term = one
    divisor = 1
    while term not in (0, -1):
        term = (term * x >> WORKING_BITS) // divisor
        total += term
        divisor += 1
    return _rounded(Fraction(total, one) * Fraction(2) ** whole)


@lru_cache(maxsize=64)
def proposal_threshold(kappa: int, q: Fraction, atxs: int) -> int:
    """A smesher may propose where its proof, read as a number of 640 bits, is below this. atxs: how many there are."""
    if atxs == 0:
        return 0
    exponent = _rounded(-Fraction(kappa) / ((1 - q) * atxs))
    fraction = _rounded(1 - _power_of_two(exponent))
    return int(fraction * (1 << VRF_BITS))


def voting_threshold(theta: Fraction, epoch_weight: int) -> int:
    """The margin from which on a vote is decided."""
    return int(_rounded(_rounded(theta) * epoch_weight))
