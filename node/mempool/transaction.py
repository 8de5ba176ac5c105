"""A transaction as the mempool sees it: who pays, what at most, and since when it is known.

Protocol 07-vm-and-transactions, sections 3.2 and 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.crypto.hashing import hash32
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, TransactionId
from protocol.types.transactions import Transaction, TxHeader


@dataclass(frozen=True, slots=True)
class PoolTransaction:
    """The bytes, the header with what follows from it, and the time of reception."""

    id: TransactionId
    raw: bytes
    header: TxHeader
    received: int
    """Nanoseconds since 1970."""
    principal: Address
    nonce: int
    max_gas: int
    fee: int
    """Smidge; wraps around at 64 bits."""
    spending: int
    """Smidge: fee and amount; wraps around at 64 bits."""

    @classmethod
    def of(cls, transaction: Transaction, received: int) -> PoolTransaction:
        """A verified transaction. Raises ValueError for one without a header."""
        header = transaction.header
        if header is None:
            raise ValueError("only a transaction with a header can wait")
        return cls.of_header(transaction.raw.id, transaction.raw.raw, header, received)

    @classmethod
    def of_header(cls, id: TransactionId, raw: bytes, header: TxHeader, received: int) -> PoolTransaction:
        """A verified transaction by its parts."""
        fee = header.max_gas * header.gas_price & MASK
        return cls(
            id=id,
            raw=raw,
            header=header,
            received=received,
            principal=header.principal,
            nonce=header.nonce,
            max_gas=header.max_gas,
            fee=fee,
            spending=fee + header.max_spend & MASK,
        )

    def is_better_than(self, other: PoolTransaction, seed: bytes | None = None) -> bool:
        """Whether it is preferred to another one of the same principal and nonce.

        The higher fee wins. Equal fees: with the seed of a block the smaller hash of seed and id, else the earlier one.
        """
        if self.fee != other.fee:
            return self.fee > other.fee
        if seed is not None:
            return hash32(seed, self.id) < hash32(seed, other.id)
        return self.received < other.received
