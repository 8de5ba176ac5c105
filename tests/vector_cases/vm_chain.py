"""A whole small chain replayed by the virtual machine (chain/devnet_a.json), and checkpoints that its node wrote."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from node.checkpoint import files as checkpoint
from node.checkpoint import ledger as from_checkpoint
from node.ledger import state
from node.ledger.errors import ParseError
from node.ledger.parameters import VmParameters
from node.ledger.vm import Vm
from node.mempool import transactions
from node.mempool.pool import Mempool
from node.mesh.executor import Applied, Executor
from protocol.types import address
from protocol.types.blocks import InnerBlock
from protocol.types.ids import Address, AtxId, LayerId, NodeId
from protocol.types.transactions import RawTx, Transaction, TransactionResult, TxHeader
from tests.support.node_stores import Kept
from tests.support.vm_world import Machine
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, load, vectors
from tests.vector_cases.vm_support import account, differing

_USED = ("meta", "atxs", "blocks", "layers", "transactions", "transaction_addresses", "rewards", "accounts")
_NO_BLOCK = "00" * 20


@dataclass(frozen=True, slots=True)
class Atx:
    """Whom an ATX belongs to."""

    smesher_id: NodeId
    coinbase: Address


class Chain:
    """The ledger of a chain, layer by layer."""

    def __init__(self, document: dict[str, Any]) -> None:
        meta = document["meta"]
        self.document = document
        genesis = LayerId(meta["effective_genesis"])
        kept = Kept()
        vm = Vm(VmParameters(bytes.fromhex(meta["genesis_id"]), meta["hrp"], genesis))
        self.machine = Machine(vm, kept)
        balances = {address.from_text(text, meta["hrp"]): int(sum) for text, sum in meta["genesis_accounts"].items()}
        kept.unit(lambda rows: vm.apply_genesis(rows, balances))
        for one in document["transactions"]:
            unverified = Transaction(RawTx.of(bytes.fromhex(one["encoded"])))
            assert unverified.raw.id.hex() == one["id"]
            kept.unit(lambda rows, unverified=unverified: transactions.put(rows, unverified, 0))
        atxs = {
            AtxId(bytes.fromhex(one["id"])): Atx(
                NodeId(bytes.fromhex(one["smesher"])), Address(bytes.fromhex(one["coinbase"]))
            )
            for one in document["atxs"]
        }
        self.pool = Mempool()
        self._executor = Executor(vm, self.pool, lambda atx, layer: atxs.get(atx))
        self._blocks = {one["id"]: bytes.fromhex(one["encoded"]) for one in document["blocks"]}

    def replay(self) -> None:
        """Apply every layer that the node has applied, each signature verified; raises AssertionError."""
        results = {
            one["id"]: one for one in self.document["transactions"] if one["result_encoded"] is not None
        }  # fmt: skip
        for row in self.document["layers"]:
            if row["state_hash"] is None:
                continue
            layer, id = LayerId(row["layer"]), row["applied_block"]
            block = None if id in (None, _NO_BLOCK) else InnerBlock.codec.decode(self._blocks[id])
            assert block is None or block.id().hex() == id
            changes = self._apply(layer, block).changes
            differing(changes.state_hash.hex(), row["state_hash"], f"state_hash of layer {layer}")
            for executed, (tx_id, result) in zip(changes.executed, changes.results()):
                expected = results.pop(tx_id.hex())
                encoded = TransactionResult.codec.encode(result).hex()
                differing(encoded, expected["result_encoded"], f"result of {tx_id.hex()}")
                header = TxHeader.codec.encode(executed.header).hex()
                differing(header, expected["header_encoded"], f"header of {tx_id.hex()}")
        assert not results, f"{len(results)} transactions with a result were not executed"

    def _apply(self, layer: LayerId, block: InnerBlock | None) -> Applied:
        with self.machine.kept.view() as view:
            applied = self._executor.apply(view, layer, block)
            self.machine.kept.write(applied.rows)
        return applied

    def rows_agree(self) -> None:
        """All versions of accounts and all rewards are those of the node's database."""
        latest: dict[str, dict[str, Any]] = {}
        for row in self.document["accounts"]:
            one = account({**row, "layer": row["layer_updated"]})
            differing(self.machine.account(one.address, one.layer), one, f"account at layer {one.layer}")
            latest[row["address"]] = row
        assert {one.address.hex() for one in self.machine.accounts()} == set(latest)
        found = {
            (one.layer, one.smesher_id.hex(), one.coinbase.hex(), str(one.total_reward), str(one.layer_reward))
            for one in self.machine.rewards()
        }
        expected = {
            (row["layer"], row["smesher"], row["coinbase"], row["total_reward"], row["layer_reward"])
            for row in self.document["rewards"]
        }
        assert found == expected, f"{len(found ^ expected)} rewards differ"


@cache
def _replayed(path: Path) -> Chain:
    chain = Chain(load(path))
    chain.replay()
    return chain


@vectors("chain/devnet_*.json")
def chain(document: Any, context: Context) -> Iterator[Any]:
    for section in document:
        if section not in _USED:
            yield Later(section)
    replayed: list[Chain] = []

    def replay() -> None:
        one = Chain(document)
        one.replay()
        replayed.append(one)

    def rows() -> None:
        replayed[0].rows_agree()

    def signatures() -> None:
        one = Chain(document)
        for row in document["transactions"]:
            try:
                parsed = one.machine.parse(bytes.fromhex(row["encoded"]))
            except ParseError:
                continue
            assert one.machine.verify(parsed)

    yield Case("replay", replay)
    yield Case("accounts and rewards", rows)
    yield Case("self-spawns are signed", signatures)


def _chain_of(document: dict[str, Any], context: Context) -> Chain:
    """The chain whose ATXs a checkpoint lists."""
    (first, *_) = document["data"]["atxs"]
    id = base64.b64decode(first["id"]).hex()
    for path in sorted((context.root / "chain").glob("devnet_*.json*")):
        if ".json" in path.suffixes and any(row["id"] == id for row in load(path)["atxs"]):
            return _replayed(path)
    raise NotUnderstood("no chain below chain/ holds the ATXs of this checkpoint")


@vectors("api/checkpoint_devnet_*.json", variants=False)
def checkpoints(document: Any, context: Context) -> Iterator[Any]:
    def read() -> None:
        found = checkpoint.parse(json.dumps(document))
        chain = _chain_of(document, context)
        differing(f"snapshot-{found.layer}", document["data"]["id"], "layer")
        at_layer = list(chain.machine.accounts(found.layer))
        plain = [(one.address, one.next_nonce, one.balance, one.template, one.state) for one in at_layer]
        differing(
            [(one.address, one.next_nonce, one.balance, one.template, one.state) for one in found.accounts],
            plain,
            "accounts",
        )
        known = {row["id"]: row for row in chain.document["atxs"]}
        for atx in found.atxs:
            row = known[atx.id.hex()]
            differing(
                (atx.epoch, atx.smesher_id.hex(), atx.coinbase.hex(), atx.num_units, str(atx.base_tick_height)),
                (
                    row["publish_epoch"],
                    row["smesher"],
                    row["coinbase"],
                    row["effective_num_units"],
                    row["base_tick_height"],
                ),
                f"ATX {atx.id.hex()}",
            )
            assert sum(atx.units.values()) == atx.num_units and str(atx.tick_count) == row["tick_count"]

    def written() -> None:
        file = (json.dumps(document, separators=(",", ":")) + "\n").encode()
        asked = re.search(r'"num_atxs":([0-9]+)', document["command"])
        assert asked is not None
        assert checkpoint.write(checkpoint.parse(file), int(asked[1])) == file
        chain = _chain_of(document, context)
        found = checkpoint.parse(file)
        again = chain.machine.kept.read(
            lambda view: from_checkpoint.snapshot(view, found.layer, found.atxs, found.marriages)
        )
        assert checkpoint.write(again, int(asked[1])) == file, "the ledger's own snapshot differs"

    def restored() -> None:
        kept = Kept()
        found = checkpoint.parse(json.dumps(document))
        genesis = kept.unit(lambda rows: from_checkpoint.restore(rows, found, LayerId(found.layer + 1)))
        assert genesis == found.layer
        begun = kept.read(lambda view: list(state.accounts(view)))
        assert begun == [replace(one, layer=found.layer) for one in found.accounts]

    yield Case("read", read)
    yield Case("written", written)
    yield Case("restored", restored)
