"""How many coins there are at a layer: the subsidy that a layer's smeshers share, and the release of vaulted coins.

Subsidies fall exponentially, so that 450 of 2,250 million smesh are out after ten years. They are computed in decimal
floating point of 34 digits, every operation rounded half to even, in the reference's order; nothing else gives the
network's numbers. Amounts are smidge: 10^9 are one smesh. Protocol 07-vm-and-transactions, section 5.
"""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_EVEN, Context, Decimal

SMESH = 10**9
"""Smidge."""
TOTAL_VAULTED = 150 * 10**6 * SMESH
TEN_YEAR_TARGET = 600 * 10**6 * SMESH
"""Of the issuance, vaults included."""
TOTAL_ISSUANCE = 2_400 * 10**6 * SMESH
TOTAL_SUBSIDY = TOTAL_ISSUANCE - TOTAL_VAULTED

YEAR = 105_120
"""Layers of five minutes."""
TEN_YEARS = 10 * YEAR + 1
VEST_START = YEAR
"""The first layer at which a genesis vault may release coins."""
VEST_END = 4 * YEAR
"""The layer from which a genesis vault holds nothing back."""

_LAYERS = 1 << 32
"""Layers are counted in 32 bits; the count wraps around."""
_DECIMAL = Context(prec=34, rounding=ROUND_HALF_EVEN, Emin=-6143, Emax=6144)
_ONE = Decimal(1)
_TOTAL = Decimal(TOTAL_SUBSIDY)

LOG_TWO = _DECIMAL.ln(Decimal(2))
FRACTION_LEFT = _DECIMAL.subtract(_ONE, _DECIMAL.divide(Decimal(TEN_YEAR_TARGET - TOTAL_VAULTED), _TOTAL))
"""Of all subsidies, what is left after ten years."""
HALF_LIFE = _DECIMAL.multiply(Decimal(-TEN_YEARS), _DECIMAL.divide(LOG_TWO, _DECIMAL.ln(FRACTION_LEFT)))
"""Layers until half of what is left is paid out."""
LAMBDA = _DECIMAL.divide(LOG_TWO, HALF_LIFE)
"""The rate of decay, per layer."""
_DECAY = LAMBDA.copy_negate()
"""Not -LAMBDA: an operator rounds by the context of the thread."""


@functools.lru_cache(maxsize=1024)
def accumulated_subsidy(layers: int) -> int:
    """Smidge of all subsidies up to and including that many layers after the first effective genesis."""
    count = (layers + 1) % _LAYERS
    left = _DECIMAL.exp(_DECIMAL.multiply(_DECAY, Decimal(count)))
    return int(_DECIMAL.multiply(_TOTAL, _DECIMAL.subtract(_ONE, left)))


def subsidy(layers: int) -> int:
    """Smidge that the layer so many layers after the first effective genesis pays out.

    At the last layer of all, 2^32 - 1, the count wraps around, and with it the difference, at 64 bits.
    """
    before = accumulated_subsidy(layers - 1) if layers else 0
    return (accumulated_subsidy(layers) - before) % (1 << 64)


def vested(layer: int, total: int, start: int, end: int) -> int:
    """Smidge of a vault's `total` that are free at a layer: none before start, all from end on, linear between."""
    if layer < start:
        return 0
    if layer >= end:
        return total
    return total * (layer - start) // (end - start)


VESTED_PER_LAYER = TOTAL_VAULTED // (VEST_END - VEST_START)
"""Smidge by which the circulating genesis coins grow with a layer; the last one takes the rest."""


def circulating_vaulted(layers: int) -> int:
    """Smidge of the genesis coins that count as issued so many layers after genesis.

    The supply as the economics model counts it, in whole steps a layer. What one vault may release is `vested`.
    """
    if layers >= VEST_END:
        return TOTAL_VAULTED
    return max(layers - VEST_START, 0) * VESTED_PER_LAYER
