"""Applying and reverting layers: ledger and mempool in one unit, with one last applied layer.

What a unit writes is in the rows that come back; nothing is written here. Protocol 07-vm-and-transactions, sections 4.1
and 7.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.rewards import CoinbaseReward
from node.ledger.vm import Vm
from node.mempool import transactions
from node.mempool.pool import Mempool
from node.mempool.tables import StoredTransaction
from node.mempool.transaction import PoolTransaction
from node.store.view import Rows, View
from protocol.types.blocks import AnyReward, InnerBlock
from protocol.types.ids import EMPTY_BLOCK_ID, Address, AtxId, LayerId, NodeId, TransactionId
from protocol.types.transactions import RawTx, Transaction


class RewardedAtx(Protocol):
    """What a reward needs to know of an ATX."""

    @property
    def smesher_id(self) -> NodeId:
        """Whose it is."""

    @property
    def coinbase(self) -> Address:
        """Who is paid."""


AtxOf = Callable[[AtxId, LayerId], RewardedAtx | None]
"""An ATX of the epoch of a layer; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a layer changes, and all rows of the unit."""

    changes: LayerChanges
    rows: Rows


class Executor:
    """Applies layers one after another."""

    def __init__(self, vm: Vm, pool: Mempool, atx_of: AtxOf) -> None:
        self._vm = vm
        self._pool = pool
        self._atx_of = atx_of

    def apply(self, view: View, layer: LayerId, block: InnerBlock | None) -> Applied:
        """Apply a layer's block, or that it has none.

        Raises LayerRefused, with nothing changed: not_in_order, missing_transaction, missing_atx, and as `Vm.execute`;
        StoreFault.
        """
        self._vm.require_next(view, layer)
        if block is None:
            return self._put(view, self._vm.execute(view, layer, ()), {})
        stored = self._stored(view, block.tx_ids)
        rewards = self._rewards(layer, block.rewards)
        changes = self._vm.execute(view, layer, _transactions(stored), rewards, block.id())
        return self._put(view, changes, stored)

    def apply_optimistically(
        self, view: View, layer: LayerId, tick_height: int, rewards: Sequence[AnyReward], ids: Sequence[TransactionId]
    ) -> tuple[InnerBlock, Applied]:
        """Apply the transactions of a block to be, which then holds only those that were executed, in their order.

        Raises as `apply` does.
        """
        self._vm.require_next(view, layer)
        stored = self._stored(view, ids)
        changes = self._vm.execute(view, layer, _transactions(stored), self._rewards(layer, rewards))
        block = InnerBlock(layer, tick_height, tuple(rewards), tuple(executed.id for executed in changes.executed))
        return block, self._put(view, changes.of_block(block.id()), stored)

    def revert(self, view: View, layer: LayerId) -> Rows:
        """The rows that make `layer` the last one that was applied. Raises StoreFault."""
        rows = Rows(view)
        self._pool.revert(rows, self._vm.revert(rows, layer))
        return rows

    def _put(self, view: View, changes: LayerChanges, stored: dict[TransactionId, StoredTransaction]) -> Applied:
        rows = Rows(view)
        state.put_layer(rows, changes)
        if changes.block == EMPTY_BLOCK_ID:
            self._pool.apply_empty_layer(rows, changes.layer)
            return Applied(changes, rows)
        executed = [
            PoolTransaction.of_header(one.id, one.parsed.raw, one.header, stored[one.id].received)
            for one in changes.executed
        ]
        ineffective = [
            PoolTransaction.of_header(one.id, stored[one.id].raw, one.header, stored[one.id].received)
            for one in changes.ineffective
            if one.header is not None
        ]
        self._pool.apply_layer(rows, changes.layer, executed, ineffective)
        return Applied(changes, rows)

    def _stored(self, view: View, ids: Iterable[TransactionId]) -> dict[TransactionId, StoredTransaction]:
        """In the order of the block, without those that an earlier layer has applied."""
        found = {}
        for id in ids:
            transaction = transactions.get(view, id)
            if transaction is None:
                raise LayerRefused(f"The block holds transaction {id.hex()}, which is not here.", "missing_transaction")
            if state.result(view, id) is None:
                found[id] = transaction
        return found

    def _rewards(self, layer: LayerId, rewards: Iterable[AnyReward]) -> list[CoinbaseReward]:
        found = []
        for reward in rewards:
            atx = self._atx_of(reward.atx_id, layer)
            if atx is None:
                raise LayerRefused(
                    f"The block rewards ATX {reward.atx_id.hex()}, which is not known in its epoch.", "missing_atx"
                )
            found.append(CoinbaseReward(atx.smesher_id, atx.coinbase, reward.weight))
        return found


def _transactions(stored: dict[TransactionId, StoredTransaction]) -> list[Transaction]:
    return [Transaction(RawTx(id, one.raw), one.header) for id, one in stored.items()]
