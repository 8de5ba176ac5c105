"""Blocks: what Hare's proposals come to, in the form in which it is executed and stored.

Protocol 03-encoding-and-types, sections 4.5 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.declare import Record, c64, record, up_to
from protocol.codec.sharing import once
from protocol.crypto.hashing import hash20

from .ids import AtxId, BlockId, LayerId, TransactionId

MAX_REWARDS = 2350
MAX_TRANSACTIONS = 100_000


@record
class RatNum(Record):
    """A fraction, not reduced."""

    num: Annotated[int, c64]
    """Above the line."""
    denom: Annotated[int, c64]
    """Below the line; a block with a zero here is not valid."""


@record
class AnyReward(Record):
    """A share of the layer's reward."""

    atx_id: AtxId
    """Whose coinbase receives it."""
    weight: RatNum
    """The share, in proportion to those of the others."""


@record
class InnerBlock(Record):
    """A block: all of it is in the id, nobody signs it."""

    layer: LayerId
    """The layer that it is the block of."""
    tick_height: Annotated[int, c64]
    """The greatest tick height among the proposals' activations."""
    rewards: Annotated[Sequence[AnyReward], up_to(MAX_REWARDS)]
    """One for each activation, in ascending order of the ids."""
    tx_ids: Annotated[Sequence[TransactionId], up_to(MAX_TRANSACTIONS)]
    """Transactions in the order of their execution."""

    @once
    def id(self) -> BlockId:
        """The first 20 bytes of the hash of the encoding; computed each time."""
        return BlockId(hash20(self.codec.encode(self)))


Block = InnerBlock
"""What the specification calls a block has nothing around it."""
