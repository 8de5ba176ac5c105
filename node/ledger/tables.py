"""The rows of the ledger.

Each version of an account stands once: the newest one under the address alone, the ones before it by the layer that
made them. A layer's row lists what the layer has changed, so that it can be undone, and so that transactions are found
in the order of layers. The last applied layer is one row, for the ledger and for everybody who keeps step with it.
Protocol 07-vm-and-transactions, section 4.

| who asks for | walks |
|---|---|
| transactions of an account | `PAID_BY` and `TOUCHED`, which have no entry in common |
| transactions in the order of layers | `LAYERS` |
| rewards of a smesher, of a coinbase | `REWARDS_BY_SMESHER`, `REWARDS_BY_COINBASE` |
| accounts, the last ones that changed first | `BY_CHANGE` |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from node.ledger.rows import AccountRow, ResultRow
from node.store.keys import LAYER, compound, fixed, u32_descending
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
BY_CHANGE = ACCOUNTS.index(b"lc", "accounts by last change", u32_descending, lambda address, account: (account.layer,))
"""The latest layer first; accounts of one layer ascending."""
EARLIER: Table[tuple[Address, LayerId], Account] = Table(
    b"le", "earlier versions of accounts", compound(fixed(24), LAYER), AccountRow()
)
"""By address and the layer that made the version."""
REWARDS: Table[tuple[LayerId, NodeId], Reward] = Table(b"lr", "rewards", compound(LAYER, fixed(32)), Reward.codec)
"""By layer and smesher."""
REWARDS_BY_SMESHER = REWARDS.key_index(
    b"ln", "rewards by smesher", compound(fixed(32), LAYER), lambda key: ((key[1], key[0]),)
)
REWARDS_BY_COINBASE = REWARDS.index(
    b"lb", "rewards by coinbase", compound(fixed(24), LAYER), lambda key, reward: ((reward.coinbase, key[0]),)
)
RESULTS: Table[TransactionId, TransactionResult] = Table(b"lt", "transaction results", fixed(32), ResultRow())
"""Of every transaction that was executed."""
PAID_BY = RESULTS.index(
    b"lp",
    "applied transactions by principal",
    compound(fixed(24), LAYER),
    lambda id, result: [(address, result.layer) for address in result.addresses[:1]],
)
TOUCHED = RESULTS.index(
    b"lx",
    "applied transactions by other accounts",
    compound(fixed(24), LAYER),
    lambda id, result: [(address, result.layer) for address in result.addresses[1:]],
)
"""The accounts behind the first one, which is the principal."""
LAYERS: Table[LayerId, AppliedLayer] = Table(b"ll", "applied layers", LAYER, AppliedLayer.codec)
LAST_APPLIED: Table[bytes, LayerId] = Table(b"ls", "last applied layer", fixed(0), codec_of(LayerId))
"""One row, of the key `ONLY`."""

TABLES = (ACCOUNTS, EARLIER, REWARDS, RESULTS, LAYERS, LAST_APPLIED)
