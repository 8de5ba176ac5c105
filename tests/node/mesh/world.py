"""A small node: ledger, mempool and executor over one store."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.layer import LayerChanges
from node.ledger.vm import Vm
from node.mempool import transactions as stored
from node.mempool.pool import Mempool
from node.mesh.executor import Executor
from node.store.store import Backend
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.ids import Address, AtxId, BlockId, LayerId, NodeId, ProposalId, TransactionId
from protocol.types.transactions import Transaction
from tests.support import vm_world as world
from tests.support.node_stores import Kept
from tests.support.vm_world import FIRST, Machine, machine, transactions

W1, W2 = world.wallet(1), world.wallet(2)
COINBASE = Address(bytes(4) + b"\x77" * 20)
ATX = AtxId(b"\x22" * 32)
SMESHER = NodeId(b"\x11" * 32)
REWARDS = (AnyReward(ATX, RatNum(7, 3)),)
BEFORE = LayerId(FIRST - 1)


@dataclass(frozen=True, slots=True)
class Atx:
    """Whom an ATX belongs to."""

    smesher_id: NodeId = SMESHER
    coinbase: Address = COINBASE


class Node:
    """Ledger, mempool and executor over one store, begun from its rows."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.kept = machine.kept
        self.pool = Mempool()
        self.kept.read(self.pool.start)
        self.executor = Executor(machine.vm, self.pool, lambda atx, layer: Atx() if atx == ATX else None)

    @classmethod
    def with_transactions(cls, *raws: bytes) -> Node:
        """A new one whose store knows these, as if they had come in a block."""
        node = cls(machine([W1.spawned(10**9)]))
        for place, one in enumerate(transactions(raws)):
            node.kept.unit(lambda rows, one=one, place=place: stored.put(rows, one, place))  # type: ignore[misc]
        return node

    @classmethod
    def on(cls, vm: Vm, backend: Backend) -> Node:
        """One that starts again on what another one has left."""
        return cls(Machine(vm, Kept(backend)))

    def submit(self, raw: bytes) -> TransactionId:
        """Into the mempool, as if it had been checked."""
        transaction = Transaction(world.transaction(raw).raw, self.machine.parse(raw).header)
        assert self.kept.unit(lambda rows: self.pool.add(rows, transaction, 5))
        return transaction.raw.id

    def link_proposal(self, layer: int, *ids: TransactionId) -> None:
        self.kept.unit(lambda rows: self.pool.link_proposal(rows, LayerId(layer), ProposalId(bytes(20)), ids))

    def link_block(self, layer: int, block: BlockId, *ids: TransactionId) -> None:
        self.kept.unit(lambda rows: self.pool.link_block(rows, LayerId(layer), block, ids))

    def apply(self, layer: int, block: InnerBlock | None) -> LayerChanges:
        with self.kept.view() as view:
            applied = self.executor.apply(view, LayerId(layer), block)
            self.kept.write(applied.rows)
        return applied.changes

    def revert(self, layer: int) -> None:
        with self.kept.view() as view:
            self.kept.write(self.executor.revert(view, LayerId(layer)))

    def waiting(self) -> list[TransactionId]:
        return [one.id for own in self.pool.waiting().values() for one in own]


def block(layer: int, *ids: TransactionId) -> InnerBlock:
    return InnerBlock(LayerId(layer), 9, REWARDS, ids)
