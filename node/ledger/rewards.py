"""Rewards of a layer: subsidy and fees, shared among the smeshers of its block by exact rational weights.

Every reward is rounded down; what is left over, and everything in a layer without rewards, is burnt.
Protocol 07-vm-and-transactions, sections 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.errors import LayerRefused
from protocol.numbers.u64 import MASK
from protocol.types.blocks import RatNum
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.transactions import Reward


@dataclass(frozen=True, slots=True)
class CoinbaseReward:
    """What one smesher has earned of a layer, before it is paid."""

    smesher_id: NodeId
    coinbase: Address
    weight: RatNum


def in_order(rewards: Sequence[CoinbaseReward]) -> list[CoinbaseReward]:
    """Rewards as they are applied: coinbases ascending."""
    return sorted(rewards, key=lambda reward: reward.coinbase)


def check(rewards: Sequence[CoinbaseReward]) -> None:
    """Whether rewards can be paid. Raises LayerRefused: no_weight, duplicate_row.

    Blocks with such rewards are refused before; where one gets through, the reference stops.
    """
    smeshers = set()
    for reward in rewards:
        if reward.weight.denom == 0:
            raise LayerRefused(f"The weight of smesher {reward.smesher_id.hex()} has the denominator 0.", "no_weight")
        if reward.smesher_id in smeshers:
            raise LayerRefused(
                f"Smesher {reward.smesher_id.hex()} has two rewards in one layer, at most one is allowed.",
                "duplicate_row",
            )
        smeshers.add(reward.smesher_id)
    if rewards and not any(reward.weight.num for reward in rewards):
        raise LayerRefused("The weights of all rewards are 0.", "no_weight")


def distribute(layer: LayerId, rewards: Sequence[CoinbaseReward], subsidy: int, fees: int) -> list[Reward]:
    """What everyone gets, in the given order. Raises LayerRefused: no_weight, duplicate_row, overflow."""
    check(rewards)
    # all weights over one denominator: the greatest common divisor of a long and a short number is cheap
    common = math.lcm(*{reward.weight.denom for reward in rewards})
    weights = [reward.weight.num * (common // reward.weight.denom) for reward in rewards]
    whole = sum(weights)
    total = subsidy + fees & MASK
    paid = []
    for reward, weight in zip(rewards, weights):
        amount = total * weight // whole
        if amount > MASK:
            raise LayerRefused(f"The reward of smesher {reward.smesher_id.hex()} does not fit 64 bits.", "overflow")
        paid.append(Reward(layer, amount, subsidy * weight // whole, reward.coinbase, reward.smesher_id))
    return paid
