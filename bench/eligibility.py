"""Seats of a committee: a thousand smeshers with fifty distinct unit counts, in one call, against the plain code.

The plain code computes the same distribution with Python's integers. Protocol 04b, section 3.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median

from bench.settings import Settings, beside
from protocol.numbers import binomial, fixed

SMESHERS, DISTINCT = 1000, 50
COMMITTEE, TOTAL_UNITS = 50, 10**6
ASKED_US = 3.0
"""For each smesher."""
PLAIN = 40
"""Smeshers that the plain code counts; more would take long and say the same."""


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Microseconds of CPU time a smesher; `show` prints them as they come."""
    dice = random.Random(1)
    counts = dice.sample(range(4, 1000), DISTINCT)
    units = dice.choices(counts, k=SMESHERS)
    draws = [dice.randrange(fixed.ONE) for _ in units]
    probability = fixed.ratio(COMMITTEE, TOTAL_UNITS)
    binomial.eligibility_counts(units, probability, draws)
    compiled, plain = [], []
    for _ in range(settings.rounds * 2):
        start = time.thread_time()
        binomial.eligibility_counts(units, probability, draws)
        compiled.append((time.thread_time() - start) / SMESHERS * 1e6)
        start = time.thread_time()
        for n, draw in list(zip(units, draws, strict=True))[:PLAIN]:
            seats = 0
            while not binomial.binomial_cdf(n, probability, seats) > draw:
                seats += 1
        plain.append((time.thread_time() - start) / PLAIN * 1e6)
    ours, baseline = median(compiled), median(plain)
    show(
        f"binomial count, {SMESHERS} smeshers with {DISTINCT} distinct unit counts: each in "
        f"{beside(ours, ASKED_US, 'µs')}; the plain code {baseline:,.0f} µs, {baseline / ours:,.0f} × as long"
    )
    return {"count_us": ours, "asked_us": ASKED_US, "plain_us": baseline}
