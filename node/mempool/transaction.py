"""A transaction as the mempool sees it: who pays, what at most, and since when it is known.

Protocol 07-vm-and-transactions, sections 3.2 and 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.crypto.hashing import hash32
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, TransactionId
from protocol.types.transactions import Transaction


@dataclass(frozen=True, slots=True)
class PoolTransaction:
    """The bytes, the header's figures, and the time of reception."""

    id: TransactionId
    principal: Address
    nonce: int
    max_gas: int
    gas_price: int
    """Smidge for one unit of gas."""
    max_spend: int
    """Smidge beside the fee."""
    received_ns: int
    """Nanoseconds since 1970."""

    raw: bytes

    @classmethod
    def of(cls, transaction: Transaction, received_ns: int) -> PoolTransaction:
        """A verified transaction. Raises ValueError for one without a header."""
        header = transaction.header
        if header is None:
            raise ValueError("only a transaction with a header can wait")
        return cls(
            id=transaction.raw.id,
            principal=header.principal,
            nonce=header.nonce,
            max_gas=header.max_gas,
            gas_price=header.gas_price,
            max_spend=header.max_spend,
            received_ns=received_ns,
            raw=transaction.raw.raw,
        )

    @property
    def fee(self) -> int:
        """Smidge; wraps around at 64 bits."""
        return self.max_gas * self.gas_price & MASK

    @property
    def spending(self) -> int:
        """Smidge: fee and amount; wraps around at 64 bits."""
        return self.fee + self.max_spend & MASK

    def is_better_than(self, other: PoolTransaction, seed: bytes | None = None) -> bool:
        """Whether it is preferred to another one of the same principal and nonce.

        The higher fee wins. Equal fees: with the seed of a block the smaller hash of seed and id, else the earlier one.
        """
        if self.fee != other.fee:
            return self.fee > other.fee
        if seed is not None:
            return hash32(seed, self.id) < hash32(seed, other.id)
        return self.received_ns < other.received_ns
