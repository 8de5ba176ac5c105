"""Rewards of a layer: subsidy and fees, shared among the smeshers of its block by exact rational weights.

Every share is rounded down; what is left over, and everything in a layer without rewards, is burnt.
Protocol 07-vm-and-transactions, sections 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.errors import LayerRefused
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.transactions import Reward


@dataclass(frozen=True, slots=True)
class Share:
    """What one smesher has earned of a layer. Its weight is a fraction."""

    coinbase: Address
    smesher_id: NodeId
    numerator: int
    denominator: int


def in_order(shares: Sequence[Share]) -> list[Share]:
    """Shares as they are applied: coinbases ascending."""
    return sorted(shares, key=lambda share: share.coinbase)


def check(shares: Sequence[Share]) -> None:
    """Whether shares can be paid. Raises LayerRefused: no_weight, duplicate_row.

    Blocks with such rewards are refused before; where one gets through, the reference stops.
    """
    smeshers = set()
    for share in shares:
        if share.denominator == 0:
            raise LayerRefused(f"The weight of smesher {share.smesher_id.hex()} has the denominator 0.", "no_weight")
        if share.smesher_id in smeshers:
            raise LayerRefused(
                f"Smesher {share.smesher_id.hex()} has two rewards in one layer, at most one is allowed.",
                "duplicate_row",
            )
        smeshers.add(share.smesher_id)
    if shares and not any(share.numerator for share in shares):
        raise LayerRefused("The weights of all rewards are 0.", "no_weight")


def distribute(layer: LayerId, shares: Sequence[Share], subsidy: int, fees: int) -> list[Reward]:
    """What each share gets, in the given order. Raises LayerRefused: no_weight, duplicate_row, overflow."""
    check(shares)
    # all weights over one denominator: the greatest common divisor of a long and a short number is cheap
    common = math.lcm(*{share.denominator for share in shares})
    weights = [share.numerator * (common // share.denominator) for share in shares]
    whole = sum(weights)
    total = subsidy + fees & MASK
    rewards = []
    for share, weight in zip(shares, weights):
        amount = total * weight // whole
        if amount > MASK:
            raise LayerRefused(f"The reward of smesher {share.smesher_id.hex()} does not fit 64 bits.", "overflow")
        rewards.append(Reward(layer, amount, subsidy * weight // whole, share.coinbase, share.smesher_id))
    return rewards
