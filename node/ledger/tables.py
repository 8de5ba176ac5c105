"""The rows of the ledger.

Each version of an account stands once: the newest one under the address alone, the ones before it by the layer that
made them. A layer's row lists what the layer has changed, so that it can be undone. The last applied layer is one row,
for the ledger and for everybody who keeps step with it. Protocol 07-vm-and-transactions, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from node.ledger.rows import AccountRow, ResultRow
from node.store.keys import LAYER, compound, fixed
from node.store.table import Table
from protocol.codec.declare import Record, codec_of, record, up_to
from protocol.types.ids import (
    Address,
    BlockId,
    Hash32,
    LayerId,
    NodeId,
    TransactionId,
)
from protocol.types.transactions import Account, Reward, TransactionResult

MAX_CHANGED = 1 << 24
"""Accounts or transactions of one layer in its row: far above what a block can hold."""


@record
class AppliedLayer(Record):
    """What was applied in a layer, and what that has changed."""

    state_hash: Hash32
    block: BlockId
    """Zeros where the layer has no block."""
    accounts: Annotated[Sequence[Address], up_to(MAX_CHANGED)]
    """In the order of the state hash."""
    transactions: Annotated[Sequence[TransactionId], up_to(MAX_CHANGED)]
    """Those that were executed, in their order."""


ACCOUNTS: Table[Address, Account] = Table(b"la", "accounts", fixed(24), AccountRow())
"""The newest version, by address."""
EARLIER: Table[tuple[Address, LayerId], Account] = Table(
    b"le", "earlier versions of accounts", compound(fixed(24), LAYER), AccountRow()
)
"""By address and the layer that made the version."""
REWARDS: Table[tuple[LayerId, NodeId], Reward] = Table(b"lr", "rewards", compound(LAYER, fixed(32)), Reward.codec)
"""By layer and smesher."""
RESULTS: Table[TransactionId, TransactionResult] = Table(b"lt", "transaction results", fixed(32), ResultRow())
"""Of every transaction that was executed."""
LAYERS: Table[LayerId, AppliedLayer] = Table(b"ll", "applied layers", LAYER, AppliedLayer.codec)
LAST_APPLIED: Table[bytes, LayerId] = Table(b"ls", "last applied layer", fixed(0), codec_of(LayerId))
"""One row, of the key `ONLY`."""

TABLES = (ACCOUNTS, EARLIER, REWARDS, RESULTS, LAYERS, LAST_APPLIED)
