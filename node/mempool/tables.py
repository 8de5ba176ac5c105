"""The rows of the mempool: transactions that came in, which of them wait, and which proposals and blocks hold them.

Protocol 07-vm-and-transactions, sections 7.1 to 7.5.
"""

from __future__ import annotations

from typing import Annotated

from node.store.keys import LAYER, compound, fixed, u8, u64
from node.store.table import MARKER, Table
from protocol.codec.declare import Record, record, up_to
from protocol.codec.declare import u64 as fixed_u64
from protocol.types.fetch import MAX_DATA_SIZE
from protocol.types.ids import Address, BlockId, LayerId, ProposalId, TransactionId
from protocol.types.transactions import TxHeader


@record
class StoredTransaction(Record):
    """A transaction as it came in."""

    raw: Annotated[bytes, up_to(MAX_DATA_SIZE)]
    """A block may hold bytes that are far too many for a transaction, and they must be kept all the same."""
    header: TxHeader | None
    """None: it came in a block, and was not valid then."""
    received: Annotated[int, fixed_u64]
    """Nanoseconds since 1970."""


TRANSACTIONS: Table[TransactionId, StoredTransaction] = Table(b"tx", "transactions", fixed(32), StoredTransaction.codec)
PENDING: Table[tuple[Address, int, int, TransactionId], None] = Table(
    b"tp", "pending transactions", compound(fixed(24), u64, u64, fixed(32)), MARKER
)
"""Those with a header that no layer has applied: principal, nonce, time of reception, id."""
IN_BLOCK, IN_PROPOSAL = 0, 1
"""What holds a transaction: blocks sort first, since they count more. The numbers are stored."""
HELD: Table[tuple[TransactionId, int, LayerId, BlockId | ProposalId], None] = Table(
    b"th", "transactions in blocks and proposals", compound(fixed(32), u8, LAYER, fixed(20)), MARKER
)
"""Transaction, what holds it, the layer of that, its id."""

TABLES = (TRANSACTIONS, PENDING, HELD)
