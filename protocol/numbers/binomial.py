"""The binomial distribution in 72.56 fixed point, and how many seats of a committee a draw gives.

Eligibility for Hare, the certifier and the beacon's committees: all nodes must agree on the last bit, so the steps of
the network's library are kept. Protocol 04b-beacon-eligibility-proposals, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.numbers.fixed import (
    MAGNITUDE,
    ONE,
    FixedError,
    add,
    div,
    exp,
    from_int,
    from_signed,
    log_gamma,
    log_of_fraction,
    mul,
    overflow,
    sub,
)

_EPSILON = 720
"""Where the continued fraction stops: 1e-14."""
_MAX_TERMS = 300
_MAX_SHAPE = 1 << 30
"""The largest n - x and x + 1 for which the CDF is defined."""


def _wrapped(value: int) -> int:
    """An integer as the library holds it, in 64 signed bits, as a raw word."""
    return from_int((value + (1 << 63)) % (1 << 64) - (1 << 63))


def _nonzero(value: int) -> int:
    return value if value & MAGNITUDE else 1


def _inverse(value: int) -> int:
    return div(ONE, _nonzero(value))


def _continued_fraction(x: int, a: int, b: int) -> int:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c = ONE
    d = _inverse(sub(ONE, div(mul(x, _wrapped(a + b)), _wrapped(a + 1))))
    h = d
    for m in range(1, _MAX_TERMS):
        k = div(mul(x, _wrapped(m * (b - m))), _wrapped((a + 2 * m - 1) * (a + 2 * m)))
        d = _inverse(add(mul(k, d), ONE))
        c = _nonzero(add(div(k, c), ONE))
        h = mul(mul(h, d), c)
        k = div(mul(_wrapped(-(a + m) * (a + b + m)), x), _wrapped((a + 2 * m) * (a + 2 * m + 1)))
        d = _inverse(add(mul(k, d), ONE))
        c = _nonzero(add(div(k, c), ONE))
        e = mul(d, c)
        h = mul(h, e)
        # the raw order: below one the difference is negative, thus large, and the loop goes on
        if sub(e, ONE) < _EPSILON:
            break
    return h


def _incomplete_beta(x: int, a: int, b: int) -> int:
    """The regularized incomplete beta function for integers a and b."""
    if a > _MAX_SHAPE or b > _MAX_SHAPE or x > ONE:
        raise overflow("the binomial distribution of these arguments")
    if x in (0, ONE):
        scale = 0
    else:
        logarithm = sub(sub(log_gamma(a + b), log_gamma(a)), log_gamma(b))
        logarithm = add(logarithm, mul(from_signed(log_of_fraction(x)), from_int(a)))
        logarithm = add(logarithm, mul(from_signed(log_of_fraction(ONE - x)), from_int(b)))
        scale = exp(logarithm)

    def part(x: int, a: int, b: int) -> int:
        return div(mul(scale, _continued_fraction(x, a, b)), from_int(a)) if scale else 0

    if x > div(from_int(a + 1), from_int(a + b + 2)):
        return sub(ONE, part(ONE - x, b, a))
    return part(x, a, b)


def binomial_cdf(n: int, p: int, x: int) -> int:
    """The probability of at most x successes in n draws, each with probability p (a raw word).

    Raises FixedError (overflow) where the network's library gives up: more than 2^30 draws, p above 1, and a few
    arguments inside for which an intermediate value does not fit.
    """
    if x < 0:
        return 0
    if x >= n:
        return ONE
    return _incomplete_beta(sub(ONE, p), n - x, x + 1)


def compiled_cdf(n: int, p: int, x: int) -> int:
    """The same, compiled, where a single one is wanted often. Raises FixedError as binomial_cdf."""
    if 0 <= x < n <= _MAX_SHAPE and 0 < p < ONE:
        import numpy as np

        from kernels import seats as kernel

        high, low, fits = kernel.binomial_cdf(n, np.uint64(p), x)
        if fits:
            return int(high) << 64 | int(low)
    # what did not fit into the compiled words is left to the plain code, which says why
    return binomial_cdf(n, p, x)


def eligibility_count(n: int, p: int, draw: int) -> int:
    """The smallest x for which binomial_cdf(n, p, x) is above draw: how many seats a smesher of n units holds.

    Raises FixedError as binomial_cdf.
    """
    return eligibility_counts([n], p, [draw])[0]


def eligibility_counts(units: Sequence[int], p: int, draws: Sequence[int]) -> list[int]:
    """`eligibility_count` of many smeshers at once, compiled: equal unit counts share one table.

    units: space units of each smesher; p: raw probability of one unit; draws: raw fractions of their VRF outputs.
    Raises FixedError as binomial_cdf, and (reason length) where units and draws differ in number.
    """
    if len(units) != len(draws):
        raise FixedError(f"{len(units)} unit counts and {len(draws)} draws.", "length")
    if not 0 < p < ONE:
        return [_plain_count(n, p, draw) for n, draw in zip(units, draws)]

    import numpy as np

    from kernels import seats as kernel

    order = sorted(range(len(units)), key=lambda position: (units[position], draws[position]))
    counts = np.empty(len(units), np.int64)
    done = kernel.eligibility_counts(
        np.array([units[position] for position in order], np.int64),
        np.uint64(p),
        np.array([draws[position] for position in order], np.uint64),
        counts,
    )
    result = [0] * len(units)
    for place, position in enumerate(order):
        # what did not fit into the compiled words is left to the plain code, which says why
        result[position] = int(counts[place]) if place < done else _plain_count(units[position], p, draws[position])
    return result


def _plain_count(n: int, p: int, draw: int) -> int:
    seats = 0
    while not binomial_cdf(n, p, seats) > draw:
        seats += 1
    return seats
