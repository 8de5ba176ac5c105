"""Slots of proposals: how many a smesher has in an epoch. `vrf.slot_layer` says on which layer each of them falls.

Protocol 04b, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.eligibility.errors import EligibilityError
from protocol.numbers.u64 import MASK
from protocol.types.ids import EpochId

MASK32 = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class MinimalWeight:
    """From an epoch on, slots are counted as if the active set had at least this weight."""

    epoch: EpochId
    weight: int


def minimal_weight(entries: Sequence[MinimalWeight], epoch: EpochId) -> int:
    """What counts in an epoch; 0 before the first entry. The entries' epochs ascend."""
    found = 0
    for entry in entries:
        if entry.epoch <= epoch:
            found = entry.weight
    return found


def slot_count(weight: int, total: int, minimal: int, layer_size: int, layers_per_epoch: int) -> int:
    """Slots of a smesher in an epoch, at least one. The network multiplies in 64 bits and cuts the result to 32.

    Raises EligibilityError (zero_total_weight).
    """
    if total == 0:
        raise EligibilityError("The active set has no weight.", "zero_total_weight")
    product = weight * layer_size * layers_per_epoch & MASK
    return max(1, product // max(minimal, total)) & MASK32
