"""From a block to the layer that the virtual machine applies: order of layers, transactions by id, rewards by ATX.

Protocol 07-vm-and-transactions, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.machine import Vm
from node.ledger.rewards import Share
from protocol.types.blocks import AnyReward, InnerBlock
from protocol.types.ids import Address, AtxId, LayerId, NodeId, TransactionId
from protocol.types.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Earner:
    """Whom an ATX of the layer's epoch belongs to."""

    smesher_id: NodeId
    coinbase: Address


TransactionOf = Callable[[TransactionId], Transaction | None]
EarnerOf = Callable[[AtxId, LayerId], Earner | None]


class Executor:
    """Applies layers one after another. Transactions and ATXs are asked of functions."""

    def __init__(self, vm: Vm, transaction_of: TransactionOf, earner_of: EarnerOf) -> None:
        self._vm = vm
        self._transaction_of = transaction_of
        self._earner_of = earner_of

    def last_applied(self) -> LayerId:
        """The layer before the next one; the effective genesis where none was applied."""
        last = self._vm.store.last_applied()
        genesis = self._vm.parameters.first_layer
        return genesis if last is None else max(last, genesis)

    def apply(self, layer: LayerId, block: InnerBlock | None) -> LayerChanges:
        """Apply a layer's block, or that it has none.

        Raises LayerRefused, with nothing written: not_in_order, missing_transaction, missing_atx, and as `Vm.apply`.
        """
        self._check_order(layer)
        if block is None:
            return self._vm.apply(layer, ())
        return self._vm.apply(
            layer, self._transactions(block.tx_ids), self._shares(layer, block.rewards), block.id()
        )  # fmt: skip

    def apply_optimistically(
        self, layer: LayerId, tick_height: int, rewards: Sequence[AnyReward], ids: Sequence[TransactionId]
    ) -> tuple[InnerBlock, LayerChanges]:
        """Apply the transactions of a block to be, which then holds only those that were executed, in their order.

        Raises LayerRefused as `apply` does.
        """
        self._check_order(layer)
        changes = self._vm.execute(layer, self._transactions(ids), self._shares(layer, rewards))
        block = InnerBlock(layer, tick_height, tuple(rewards), tuple(executed.id for executed in changes.executed))
        changes = changes.of_block(block.id())
        self._vm.store.write(changes)
        return block, changes

    def _check_order(self, layer: LayerId) -> None:
        last = self.last_applied()
        if layer != last + 1:
            what = "was applied already" if layer <= last else f"cannot be applied before layer {last + 1}"
            raise LayerRefused(f"Layer {layer} {what}.", "not_in_order")

    def _transactions(self, ids: Iterable[TransactionId]) -> list[Transaction]:
        """In the order of the block, without those that an earlier layer has applied."""
        found = []
        for id in ids:
            transaction = self._transaction_of(id)
            if transaction is None:
                raise LayerRefused(f"The block holds transaction {id.hex()}, which is not here.", "missing_transaction")
            if self._vm.store.result(id) is None:
                found.append(transaction)
        return found

    def _shares(self, layer: LayerId, rewards: Iterable[AnyReward]) -> list[Share]:
        shares = []
        for reward in rewards:
            earner = self._earner_of(reward.atx_id, layer)
            if earner is None:
                raise LayerRefused(
                    f"The block rewards ATX {reward.atx_id.hex()}, which is not known in its epoch.", "missing_atx"
                )
            shares.append(Share(earner.coinbase, earner.smesher_id, reward.weight.num, reward.weight.denom))
        return shares
