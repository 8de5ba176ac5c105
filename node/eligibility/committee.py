"""Seats of a committee: how many a smesher has in a round, drawn by its proof.

The proof is a number between 0 and 1; the seats are where it falls in the binomial distribution of the smesher's
weight. Counts of many smeshers are computed at once. Protocol 04b, section 2, and 05-consensus, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from node.eligibility.errors import EligibilityError
from protocol.numbers import binomial, fixed
from protocol.types.ids import VrfSignature

MAX_UNITS = 1 << 30
"""Of a smesher's weight, where the distribution is still defined."""

COUNT_MASK = 0xFFFF
"""A count is sent in 16 bits."""


@dataclass(frozen=True, slots=True)
class Stake:
    """One smesher and its draw."""

    weight: int
    proof: VrfSignature


@dataclass(frozen=True, slots=True)
class Scale:
    """How weights enter the distribution."""

    probability: int
    """Of one unit to have a seat, raw 72.56."""
    factor: int
    """What a weight is multiplied with: more than 1 where there are more seats than weight."""


@lru_cache(maxsize=64)  # one total weight an epoch, and few sizes of committees
def scale(committee: int, total: int) -> Scale:
    """The distribution of a committee over a total weight.

    Raises EligibilityError: zero_committee_size, zero_total_weight.
    """
    if committee < 1:
        raise EligibilityError(f"The committee has {committee} seats, expected at least 1.", "zero_committee_size")
    if total <= 0:
        raise EligibilityError("The active set has no weight.", "zero_total_weight")
    factor = committee if committee > total else 1
    return Scale(fixed.ratio(committee, total * factor), factor)


def draw(proof: VrfSignature) -> int:
    """A proof as a fraction, raw 72.56."""
    return fixed.fraction_from_bytes(proof)


def counts(committee: int, total: int, stakes: Sequence[Stake]) -> list[int]:
    """Seats of many smeshers, 0 for one whose weight is beyond what the distribution is defined for.

    Raises EligibilityError as `scale`.
    """
    by = scale(committee, total)
    units = [stake.weight * by.factor for stake in stakes]
    judged = [position for position, n in enumerate(units) if n <= MAX_UNITS]
    found = binomial.eligibility_counts(
        [units[position] for position in judged], by.probability, [draw(stakes[position].proof) for position in judged]
    )
    result = [0] * len(stakes)
    for position, count in zip(judged, found, strict=True):
        result[position] = count & COUNT_MASK
    return result


def prepare() -> None:
    """Have compiled what counts seats, where an earlier run has not left it: some seconds, for which no message should
    wait."""
    stake = Stake(1, VrfSignature(bytes(80)))
    counts(1, 2, [stake])
    is_count(1, 2, stake, 1)


def is_count(committee: int, total: int, stake: Stake, claimed: int) -> bool:
    """Whether a smesher has exactly so many seats.

    Raises EligibilityError: as `scale`, and weight_exceeds_maximum.
    """
    by = scale(committee, total)
    units = stake.weight * by.factor
    if units > MAX_UNITS:
        raise EligibilityError(
            f"The weight of the smesher comes to {units} units, expected at most {MAX_UNITS}.", "weight_exceeds_maximum"
        )
    at = draw(stake.proof)
    lower, upper = _cdf(units, by.probability, claimed - 1), _cdf(units, by.probability, claimed)
    return lower <= at < upper


@lru_cache(maxsize=1 << 14)  # who has seats in one round has them in others, with the same weight
def _cdf(units: int, probability: int, count: int) -> int:
    return binomial.compiled_cdf(units, probability, count)
