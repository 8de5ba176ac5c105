"""Binomial tables in 72.56 fixed point, compiled: how many committee seats each of many smeshers holds.

The same steps as in `protocol.numbers.binomial`, where each of them is explained, on the numbers of `fixed_words`. A
layer asks for a thousand smeshers at once, most of them with one of a few unit counts, and each count needs one table.
Protocol 04b-beacon-eligibility-proposals, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from kernels.fixed_words import MASK, ONE, SIGN, add, div, exp, log, log_gamma, mul, signed, whole
from kernels.vectors import target

target.keep_code_of(__name__)

_0, _1 = np.uint64(0), np.uint64(1)
_EPSILON = np.uint64(720)
_MAX_SHAPE = 1 << 30


@njit(inline="never")
def _inverse(xh: Any, xl: Any) -> Any:
    if xh & MASK == _0 and xl == _0:
        return div(_0, ONE, _0, _1)
    return div(_0, ONE, xh, xl)


@njit(inline="never")
def _step(kh: Any, kl: Any, ch: Any, cl: Any, dh: Any, dl: Any) -> Any:
    """One coefficient of the continued fraction: the new c and d, and whether all fitted."""
    ph, pl, fits = mul(kh, kl, dh, dl)
    sh, sl, good = add(ph, pl, _0, ONE)
    fits &= good
    dh, dl, good = _inverse(sh, sl)
    fits &= good
    qh, ql, good = div(kh, kl, ch, cl)
    fits &= good
    ch, cl, good = add(qh, ql, _0, ONE)
    fits &= good
    if ch & MASK == _0 and cl == _0:
        ch, cl = _0, _1
    return ch, cl, dh, dl, fits


@njit(inline="never")
def _continued_fraction(xh: Any, xl: Any, a: Any, b: Any) -> Any:
    """protocol.numbers.binomial._continued_fraction: (high, low, fits)."""
    wh, wl = whole(a + b)
    ph, pl, fits = mul(xh, xl, wh, wl)
    wh, wl = whole(a + 1)
    qh, ql, good = div(ph, pl, wh, wl)
    fits &= good
    sh, sl, good = add(_0, ONE, qh ^ SIGN, ql)
    fits &= good
    dh, dl, good = _inverse(sh, sl)
    fits &= good
    hh, hl = dh, dl
    ch, cl = _0, ONE
    for m in range(1, 300):
        wh, wl = whole(m * (b - m))
        ph, pl, good = mul(xh, xl, wh, wl)
        fits &= good
        wh, wl = whole((a + 2 * m - 1) * (a + 2 * m))
        kh, kl, good = div(ph, pl, wh, wl)
        fits &= good
        ch, cl, dh, dl, good = _step(kh, kl, ch, cl, dh, dl)
        fits &= good
        hh, hl, good = mul(hh, hl, dh, dl)
        fits &= good
        hh, hl, good = mul(hh, hl, ch, cl)
        fits &= good
        wh, wl = whole(-(a + m) * (a + b + m))
        ph, pl, good = mul(wh, wl, xh, xl)
        fits &= good
        wh, wl = whole((a + 2 * m) * (a + 2 * m + 1))
        kh, kl, good = div(ph, pl, wh, wl)
        fits &= good
        ch, cl, dh, dl, good = _step(kh, kl, ch, cl, dh, dl)
        fits &= good
        eh, el, good = mul(dh, dl, ch, cl)
        fits &= good
        hh, hl, good = mul(hh, hl, eh, el)
        fits &= good
        if not fits:
            return _0, _0, False
        # raw order: a value below one gives a negative difference, which compares large
        if eh == _0 and el >= ONE and el - ONE < _EPSILON:
            break
    return hh, hl, True


@njit(inline="never")
def _cdf(n: Any, p: Any, x: Any) -> Any:
    """protocol.numbers.binomial.binomial_cdf for 0 <= x < n and p in (0, 1): (high, low, fits)."""
    a, b = n - x, x + 1
    if a > _MAX_SHAPE or b > _MAX_SHAPE:
        return _0, _0, False
    fraction = ONE - p
    high, low, fits = log_gamma(a + b)
    sh, sl, good = log_gamma(a)
    high, low, good2 = add(high, low, sh ^ SIGN, sl)
    fits = fits and good and good2
    sh, sl, good = log_gamma(b)
    high, low, good2 = add(high, low, sh ^ SIGN, sl)
    fits = fits and good and good2
    lh, ll = signed(log(fraction, 56))
    wh, wl = whole(a)
    ph, pl, good = mul(lh, ll, wh, wl)
    high, low, good2 = add(high, low, ph, pl)
    fits = fits and good and good2
    lh, ll = signed(log(p, 56))
    wh, wl = whole(b)
    ph, pl, good = mul(lh, ll, wh, wl)
    high, low, good2 = add(high, low, ph, pl)
    fits = fits and good and good2
    if not fits:
        return _0, _0, False
    scale_high, scale_low, fits = exp(high, low)
    nh, nl = whole(a + 1)
    wh, wl = whole(a + b + 2)
    bh, bl, good = div(nh, nl, wh, wl)
    turned = bh == _0 and fraction > bl
    c, d = (b, a) if turned else (a, b)
    at = p if turned else fraction
    rh, rl = _0, _0
    if scale_high or scale_low:
        ch, cl, good2 = _continued_fraction(_0, at, c, d)
        ph, pl, good3 = mul(scale_high, scale_low, ch, cl)
        wh, wl = whole(c)
        rh, rl, good4 = div(ph, pl, wh, wl)
        fits = fits and good2 and good3 and good4
    if turned:
        rh, rl, good2 = add(_0, ONE, rh ^ SIGN, rl)
        fits = fits and good2
    return rh, rl, fits and good


@njit(nogil=True, cache=True)
def binomial_cdf(n: Any, p: Any, x: Any) -> Any:
    """The CDF as (high, low, fits): n int64 draws, p the raw fraction, 0 <= x < n."""
    return _cdf(np.int64(n), np.uint64(p), np.int64(x))


@njit(nogil=True, cache=True)
def eligibility_counts(units: Any, p: Any, draws: Any, counts: Any) -> Any:
    """For each smesher the smallest x with CDF(units, p, x) > draw.

    units: int64, ascending, with the draws (uint64 raw fractions) of equal units ascending too; p: the raw
    probability, between 0 and 1, both excluded; counts: int64, written. Returns how many were written: less than all
    where a value did not fit, and the rest is the caller's to compute.
    """
    x = np.int64(0)
    previous = np.int64(-1)
    high, low = _0, _0
    for k in range(units.shape[0]):
        n = units[k]
        if n != previous:
            previous = n
            x = np.int64(0)
            if n > 0:
                high, low, fits = _cdf(n, p, x)
                if not fits:
                    return k
        # what a smaller draw passed over, a larger one passes over too
        while x < n and not (high != _0 or low > draws[k]):
            x += 1
            if x < n:
                high, low, fits = _cdf(n, p, x)
                if not fits:
                    return k
        counts[k] = x
    return units.shape[0]
