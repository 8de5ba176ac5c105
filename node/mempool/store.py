"""What the mempool keeps beside its cache: transactions with a header, what holds them, which of them are applied.

`MemoryStore` holds everything in dictionaries. Protocol 07-vm-and-transactions, sections 7.3 to 7.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from node.mempool.transaction import PoolTransaction
from protocol.types.ids import Address, BlockId, LayerId, ProposalId, TransactionId

NO_LAYER = LayerId(0)


class Store(Protocol):
    """Where transactions are kept. Every method that writes does so at once or not at all."""

    def has(self, id: TransactionId) -> bool:
        """Whether the transaction is known, with its header."""

    def add(self, transactions: Iterable[PoolTransaction]) -> None:
        """Keep transactions; those that are known stay as they are."""

    def pending(self, principal: Address, from_nonce: int) -> Sequence[PoolTransaction]:
        """Those of an account that no layer has applied, from a nonce on: nonces ascending, then by reception."""

    def principals(self) -> Iterable[Address]:
        """The accounts with pending transactions."""

    def link_proposal(self, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId]) -> None:
        """A proposal of a layer holds these transactions."""

    def link_block(self, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
        """A block of a layer holds these transactions."""

    def next_layer(self, id: TransactionId, after: LayerId) -> LayerId:
        """The next layer after one with a block that holds the transaction, else with a proposal; 0: none."""

    def set_applied(self, layer: LayerId, ids: Iterable[TransactionId]) -> None:
        """The layer was applied, and these transactions in it."""

    def revert(self, layer: LayerId) -> None:
        """What layers above have applied is pending again; includes stay."""

    def last_applied(self) -> LayerId:
        """The last layer that was applied."""


class MemoryStore:
    """A Store in dictionaries."""

    def __init__(self, last_applied: LayerId = NO_LAYER) -> None:
        self._known: set[TransactionId] = set()
        self._by_principal: dict[Address, list[PoolTransaction]] = {}
        self._in_blocks: dict[TransactionId, set[LayerId]] = {}
        self._in_proposals: dict[TransactionId, set[LayerId]] = {}
        self._applied: dict[TransactionId, LayerId] = {}
        self._last_applied = last_applied

    def has(self, id: TransactionId) -> bool:
        """As Store says."""
        return id in self._known

    def add(self, transactions: Iterable[PoolTransaction]) -> None:
        """As Store says."""
        for transaction in transactions:
            if transaction.id not in self._known:
                self._known.add(transaction.id)
                self._by_principal.setdefault(transaction.principal, []).append(transaction)

    def pending(self, principal: Address, from_nonce: int) -> Sequence[PoolTransaction]:
        """As Store says."""
        own = self._by_principal.get(principal, ())
        found = (one for one in own if one.nonce >= from_nonce and one.id not in self._applied)
        return sorted(found, key=lambda one: (one.nonce, one.received_ns))

    def principals(self) -> Iterable[Address]:
        """As Store says."""
        return [
            principal
            for principal, own in self._by_principal.items()
            if any(one.id not in self._applied for one in own)
        ]

    def link_proposal(self, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId]) -> None:
        """As Store says."""
        for id in ids:
            self._in_proposals.setdefault(id, set()).add(layer)

    def link_block(self, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
        """As Store says."""
        for id in ids:
            self._in_blocks.setdefault(id, set()).add(layer)

    def next_layer(self, id: TransactionId, after: LayerId) -> LayerId:
        """As Store says."""
        for included in (self._in_blocks, self._in_proposals):
            later = [layer for layer in included.get(id, ()) if layer > after]
            if later:
                return min(later)
        return NO_LAYER

    def set_applied(self, layer: LayerId, ids: Iterable[TransactionId]) -> None:
        """As Store says."""
        for id in ids:
            self._applied[id] = layer
        self._last_applied = layer

    def revert(self, layer: LayerId) -> None:
        """As Store says."""
        self._applied = {id: at for id, at in self._applied.items() if at <= layer}
        self._last_applied = min(layer, self._last_applied)

    def last_applied(self) -> LayerId:
        """As Store says."""
        return self._last_applied
