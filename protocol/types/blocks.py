"""Blocks: what Hare's proposals come to, in the form in which it is executed and stored.

Protocol 03-encoding-and-types, sections 4.5 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec.declare import c32, c64, struct, vector
from protocol.crypto.hashing import hash20

from .ids import ATX_ID, TRANSACTION_ID, AtxId, BlockId, LayerId, TransactionId

MAX_REWARDS = 2350
MAX_TRANSACTIONS = 100_000


@dataclass(frozen=True, slots=True)
class RatNum:
    """A fraction, not reduced."""

    num: int
    denom: int

    codec = struct(num=c64, denom=c64)


@dataclass(frozen=True, slots=True)
class AnyReward:
    """A share of the layer's reward."""

    atx_id: AtxId
    weight: RatNum

    codec = struct(atx_id=ATX_ID, weight=RatNum.codec)


@dataclass(frozen=True, slots=True)
class InnerBlock:
    """A block: all of it is in the id, nobody signs it."""

    layer: LayerId
    tick_height: int
    rewards: Sequence[AnyReward]
    tx_ids: Sequence[TransactionId]

    codec = struct(
        layer=c32,
        tick_height=c64,
        rewards=vector(AnyReward.codec, MAX_REWARDS),
        tx_ids=vector(TRANSACTION_ID, MAX_TRANSACTIONS),
    )

    def id(self) -> BlockId:
        """The first 20 bytes of the hash of the encoding; computed each time."""
        return BlockId(hash20(self.codec.encode(self)))


Block = InnerBlock
"""What the specification calls a block has nothing around it."""
