"""The rows of the mempool: transactions that came in, which of them wait, and which proposals and blocks hold them.

Transactions are written by hand in fixed places: clients ask for a hundred of them at once. Protocol
07-vm-and-transactions, sections 7.1 to 7.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError

from node.store.keys import LAYER, compound, fixed, u8, u64
from node.store.table import MARKER, Table
from protocol.types.ids import Address, BlockId, LayerId, ProposalId, TransactionId
from protocol.types.transactions import LayerLimits, TxHeader

_UNPARSED = Struct("<Q?")
"""Time of reception, whether a header follows; the rest are the signed bytes."""
_PARSED = Struct("<Q?24s24sBQIIQQQ")
"""The same with a header: principal, template, method, nonce, layer limits, most gas, price of gas, most that is
spent."""


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction as it came in."""

    raw: bytes
    """A block may hold bytes that are far too many for a transaction, and they must be kept all the same."""
    header: TxHeader | None
    """None: it came in a block, and was not valid then."""
    received: int
    """Nanoseconds since 1970."""


class TransactionRow:
    """Transactions as rows."""

    def encode(self, value: StoredTransaction, /) -> bytes:
        """The row of a transaction. Raises ValueError for numbers that do not fit."""
        header = value.header
        try:
            if header is None:
                return _UNPARSED.pack(value.received, False) + value.raw
            limits = header.layer_limits
            head = _PARSED.pack(
                value.received,
                True,
                header.principal,
                header.template,
                header.method,
                header.nonce,
                limits.min,
                limits.max,
                header.max_gas,
                header.gas_price,
                header.max_spend,
            )
        except StructError as error:
            raise ValueError(f"a transaction of {len(value.raw)} bytes does not fit its row: {error}") from None
        return head + value.raw

    def decode(self, data: bytes, /) -> StoredTransaction:
        """The transaction of a row. Raises ValueError."""
        if len(data) < _UNPARSED.size:
            raise ValueError(f"the row has {len(data)} bytes, expected {_UNPARSED.size} or more")
        received, is_parsed = _UNPARSED.unpack_from(data)
        if not is_parsed:
            return StoredTransaction(data[_UNPARSED.size :], None, received)
        if len(data) < _PARSED.size:
            raise ValueError(f"the row has {len(data)} bytes, expected {_PARSED.size} or more")
        _, _, principal, template, method, nonce, first, last, *amounts = _PARSED.unpack_from(data)
        limits = _ALWAYS if first == last == 0 else LayerLimits(first, last)
        header = TxHeader(principal, template, method, nonce, limits, *amounts)
        return StoredTransaction(data[_PARSED.size :], header, received)


_ALWAYS = LayerLimits()

TRANSACTIONS: Table[TransactionId, StoredTransaction] = Table(b"tx", "transactions", fixed(32), TransactionRow())
UNAPPLIED: Table[TransactionId, None] = Table(b"tu", "transactions that no layer has applied", fixed(32), MARKER)
"""With a header or without."""
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

TABLES = (TRANSACTIONS, UNAPPLIED, PENDING, HELD)
