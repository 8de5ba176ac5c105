"""72.56 fixed point: laws of the arithmetic, the compiled tables against the plain code, refusals."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels import seats as kernel
from protocol.numbers import binomial, fixed

words = st.integers(0, 2**128 - 1)
magnitudes = st.integers(0, 127).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))


def exact(word: int) -> Fraction:
    value = Fraction(word & fixed.MAGNITUDE, fixed.ONE)
    return -value if word & fixed.SIGN else value


@given(words, words)
def test_sums_are_exact_or_refused(x: int, y: int) -> None:
    try:
        total = fixed.add(x, y)
    except fixed.FixedError as error:
        assert error.reason == "overflow"
        assert abs(exact(x) + exact(y)) * fixed.ONE > fixed.MAGNITUDE
    else:
        assert exact(total) == exact(x) + exact(y)


@given(magnitudes, magnitudes)
def test_products_are_cut_off(x: int, y: int) -> None:
    assume(x * y >> 56 <= fixed.MAGNITUDE)
    assert fixed.mul(x, y) == math.floor(exact(x) * exact(y) * fixed.ONE)
    assert fixed.mul(x, fixed.neg(y)) == fixed.neg(fixed.mul(x, y))


@given(magnitudes, magnitudes.filter(bool))
def test_quotients_are_at_most_a_unit_away(x: int, y: int) -> None:
    try:
        quotient = fixed.div(x, y)
    except fixed.FixedError:
        assert (x << 56) // y >= fixed.MAGNITUDE
    else:
        assert abs(quotient - (x << 56) // y) <= 1
        if y < 1 << 64 and x < 1 << 71:
            assert quotient == (x << 56) // y


@given(words)
def test_bytes_and_text_hold_the_whole_number(x: int) -> None:
    assert fixed.from_bytes(fixed.to_bytes(x)) == x
    assume((x & fixed.MAGNITUDE) >> 56 < 1 << 63)
    sign, rest = fixed.text(x)[0], fixed.text(x)[1:]
    integer, fraction = rest.removesuffix("/56").split("'")
    word = int(integer) << 56 | int(fraction, 16)
    assert (word | fixed.SIGN if sign == "-" else word) == x
    assert fixed.floor(x) <= exact(x) <= fixed.ceil(x)
    assert abs(exact(x) - fixed.round_half_away(x)) <= Fraction(1, 2)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-(2.0**70), max_value=2.0**70))
def test_a_float_with_a_short_fraction_survives(value: float) -> None:
    word = fixed.from_float(value)
    assert abs(exact(word)) <= abs(Fraction(value)) < abs(exact(word)) + Fraction(1, fixed.ONE)


def test_the_raw_order_puts_negative_numbers_on_top() -> None:
    assert fixed.less(fixed.from_int(5), fixed.from_int(-5))
    assert fixed.less(fixed.from_int(-5), fixed.from_int(-6))


@pytest.mark.parametrize(
    ("compute", "reason"),
    [
        (lambda: fixed.div(fixed.ONE, 0), "zero_division"),
        (lambda: fixed.from_int(1 << 71), "overflow"),
        (lambda: fixed.from_float(float("inf")), "overflow"),
        (lambda: fixed.from_bytes(bytes(15)), "length"),
        (lambda: fixed.fraction_from_bytes(bytes(7)), "length"),
        (lambda: fixed.log_gamma(0), "overflow"),
        (lambda: fixed.exp(fixed.from_int(1 << 62)), "overflow"),
        (lambda: binomial.binomial_cdf((1 << 30) + 1, fixed.HALF, 0), "overflow"),
        (lambda: binomial.compiled_cdf((1 << 30) + 1, fixed.HALF, 0), "overflow"),
        (lambda: binomial.eligibility_count((1 << 30) + 1, fixed.HALF, 5), "overflow"),
        (lambda: binomial.eligibility_counts([1, 2], fixed.HALF, [5]), "length"),
    ],
)
def test_what_does_not_fit_is_refused(compute, reason: str) -> None:
    with pytest.raises(fixed.FixedError) as caught:
        compute()
    assert caught.value.reason == reason


probabilities = st.integers(1, 56).flatmap(lambda bits: st.integers(1, (1 << bits) - 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), probabilities, st.data())
def test_compiled_and_plain_distribution_agree(n: int, p: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, n - 1))
    high, low, fits = kernel.binomial_cdf(n, np.uint64(p), x)
    try:
        plain = binomial.binomial_cdf(n, p, x)
    except fixed.FixedError:
        assert not fits
    else:
        assert fits
        assert int(high) << 64 | int(low) == binomial.compiled_cdf(n, p, x) == plain


@pytest.mark.parametrize(("n", "x"), [(5, -1), (5, 5), (5, 9), (0, 0)])
def test_outside_its_draws_the_compiled_distribution_is_the_plain_one(n: int, x: int) -> None:
    for p in (0, 1, fixed.HALF, fixed.ONE):
        assert binomial.compiled_cdf(n, p, x) == binomial.binomial_cdf(n, p, x)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, fixed.ONE - 1)), max_size=8),
    st.one_of(st.just(0), st.just(fixed.ONE), probabilities),
)
def test_many_counts_are_the_counts_one_by_one(smeshers: list[tuple[int, int]], p: int) -> None:
    counts = binomial.eligibility_counts([n for n, _ in smeshers], p, [draw for _, draw in smeshers])
    for (n, draw), count in zip(smeshers, counts, strict=True):
        assert binomial.binomial_cdf(n, p, count) > draw
        assert all(binomial.binomial_cdf(n, p, smaller) <= draw for smaller in range(count))


def test_the_distribution_is_the_real_one() -> None:
    n, p = 50, 0.3
    exact_sum = 0.0
    for x in range(n):
        exact_sum += math.comb(n, x) * p**x * (1 - p) ** (n - x)
        assert fixed.to_float(binomial.binomial_cdf(n, fixed.from_float(p), x)) == pytest.approx(exact_sum, abs=1e-12)
