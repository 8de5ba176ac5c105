"""Which blocks of peers are taken. Tick height, weights and order of transactions are not looked at: a block counts
because it is certified or voted for. Protocol 05-consensus, section 8.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.blocks.errors import BlockRefused
from protocol.types.blocks import AnyReward, InnerBlock
from protocol.types.ids import BlockId, LayerId, as_hash32


def decoded(data: bytes, expected: bytes | None, genesis: LayerId) -> tuple[BlockId, InnerBlock]:
    """The block in bytes that were asked for by its id, padded to 32 bytes; genesis: the last layer without blocks.

    Raises CodecError; BlockRefused: wrong_hash, before_genesis, and as `check_rewards`.
    """
    block = InnerBlock.codec.decode(data)
    id = block.id()
    if expected is not None and as_hash32(id) != expected:
        raise BlockRefused(f"The block has the id {id.hex()}, expected {expected.hex()}.", "wrong_hash")
    if block.layer <= genesis:
        raise BlockRefused(f"The block is of layer {block.layer}, expected one after {genesis}.", "before_genesis")
    check_rewards(block.rewards)
    return id, block


def check_rewards(rewards: Sequence[AnyReward]) -> None:
    """Raises BlockRefused (no_rewards, zero_weight, duplicate_reward) for rewards that no block has."""
    if not rewards:
        raise BlockRefused("The block rewards nobody.", "no_rewards")
    seen = set()
    for reward in rewards:
        if reward.weight.num == 0 or reward.weight.denom == 0:
            raise BlockRefused(f"The block gives ATX {reward.atx_id.hex()} a weight of zero.", "zero_weight")
        if reward.atx_id in seen:
            raise BlockRefused(f"The block rewards ATX {reward.atx_id.hex()} twice.", "duplicate_reward")
        seen.add(reward.atx_id)
