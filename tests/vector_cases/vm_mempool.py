"""Vectors of the mempool, vm/mempool.json, and of the order in a block, consensus/block_tx_order.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.ledger import state, tables
from node.ledger.errors import LayerRefused
from node.ledger.parameters import VmParameters
from node.ledger.state_hash import EMPTY
from node.ledger.vm import Vm
from node.mempool import selection, transactions
from node.mempool.account import MAX_NONCES, MAX_PER_NONCE, UNTAGGED
from node.mempool.errors import MempoolError
from node.mempool.pool import Mempool
from node.mempool.shuffle import shuffle
from node.mempool.transaction import PoolTransaction
from node.store.keys import ONLY
from node.store.view import Rows
from protocol.crypto.hashing import hash_of_list
from protocol.types.ids import (
    EMPTY_ADDRESS,
    Address,
    BlockId,
    LayerId,
    ProposalId,
    TransactionId,
    as_hash32,
)
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TransactionResult, TxHeader
from tests.support.node_stores import Kept
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.vm_support import differing

_EMPTY_BLOCK = "00" * 20


def _transaction(case: dict[str, Any]) -> Transaction:
    header = TxHeader(
        principal=Address(bytes.fromhex(case["principal"])),
        template=EMPTY_ADDRESS,
        method=0,
        nonce=int(case["nonce"]),
        layer_limits=LayerLimits(),
        max_gas=int(case["max_gas"]),
        gas_price=int(case["gas_price"]),
        max_spend=int(case["max_spend"]),
    )
    id = TransactionId(bytes.fromhex(case["id"]))
    return Transaction(RawTx(id, bytes.fromhex(case.get("raw", ""))), header)


def _received(case: dict[str, Any]) -> int:
    return int(case.get("received", 0))


def _pooled(case: dict[str, Any]) -> PoolTransaction:
    return PoolTransaction.of(_transaction(case), _received(case))


def _ids(texts: list[str] | None) -> list[TransactionId]:
    return [TransactionId(bytes.fromhex(text)) for text in texts or ()]


class _Replay:
    """One sequence: a pool over its rows, and a ledger that answers what the vectors say.

    The reference's layer tags, and what follows from them, differ from ours on purpose, by two rules. It stops tagging
    at the first id of a list that is no candidate; ours goes on. After a revert it looks for proposals and blocks
    beyond the layer that was the last one before, and loses those of the reverted layers; ours finds them again.
    """

    def __init__(self, accounts: list[dict[str, str]]) -> None:
        self.kept = Kept()
        self.vm = Vm(VmParameters(bytes(20), "sm", LayerId(0)))
        self.pool = Mempool()
        self.links: dict[TransactionId, set[int]] = {}
        """The layers of the proposals and blocks that hold a transaction."""
        self.missed: set[TransactionId] = set()
        """What the reference has not tagged although it was linked."""
        self.is_reverted = False
        self.differing: set[TransactionId] = set()
        """Candidates whose tags were not the recorded ones after the last step."""
        self.kept.unit(lambda rows: self._set(rows, accounts))

    def _set(self, rows: Rows, accounts: list[dict[str, str]]) -> None:
        for entry in accounts:
            address = Address(bytes.fromhex(entry["address"]))
            account = Account(LayerId(0), address, int(entry["nonce"]), int(entry["balance"]))
            rows.put(tables.ACCOUNTS, address, account)

    def step(self, step: dict[str, Any]) -> None:
        """Do it, and compare everything that the vectors say."""
        if "state" in step:
            self.kept.unit(lambda rows: self._set(rows, step["state"]))
        try:
            self.kept.unit(lambda rows: getattr(self, f"_{step['op']}")(rows, step))
        except MempoolError as error:
            assert error.reason == step.get("error_class"), f"refused: {error}"
        except LayerRefused as error:
            assert f"layer_{error.reason}" == step.get("error_class"), f"refused: {error}"
        else:
            assert not step.get("error_class"), f"not refused, expected {step.get('error_class')}"
        if step["op"] == "add":
            id = TransactionId(bytes.fromhex(step["tx"]["id"]))
            stored = self.kept.read(lambda view: transactions.has(view, id))
            differing((self.pool.has(id), stored), (step["in_cache"], step["in_db"]), "in_cache, in_db")
        self.differing = set()
        for expected in step.get("after") or ():
            differing(self._account(expected), expected, "after")

    def _account(self, expected: dict[str, Any]) -> dict[str, Any]:
        """What the vectors say of an account, with the reference's tags where they differ on purpose."""
        address = Address(bytes.fromhex(expected["address"]))
        nonce, balance = self.kept.read(lambda view: self.pool.projection(view, address))
        account = self.pool.account(address)
        found: dict[str, Any] = {
            "address": expected["address"],
            "projected_nonce": str(nonce),
            "projected_balance": str(balance),
            "cached": account is not None,
        }
        if account is None:
            return found
        recorded = {one["id"]: one["layer"] for one in expected.get("candidates") or ()}
        tags = [
            self._tag(one.transaction.id, one.layer, recorded.get(one.transaction.id.hex()))
            for one in account.candidates
        ]
        waiting = self.pool.waiting().get(address)
        if tags != [one.layer for one in account.candidates]:
            first = tags.index(UNTAGGED) if UNTAGGED in tags else len(tags)
            waiting = [one.transaction for one in account.candidates[first:]] or None
        found |= {
            "start_nonce": str(account.start_nonce),
            "start_balance": str(account.start_balance),
            "more_in_db": account.more_in_store,
            "candidates": [
                {
                    "nonce": str(one.nonce),
                    "id": one.transaction.id.hex(),
                    "post_balance": str(one.post_balance),
                    "layer": tag,
                }
                for one, tag in zip(account.candidates, tags)
            ]
            or None,
            "mempool": None if waiting is None else [one.id.hex() for one in waiting],
        }
        return found

    def _tag(self, id: TransactionId, ours: int, recorded: int | None) -> int:
        """The reference's tag where one of the two rules explains that it is another one than ours."""
        if recorded is None or recorded == ours or not (id in self.missed or self.is_reverted):
            return ours
        assert ours in self.links.get(id, ()), f"{id.hex()} is tagged with layer {ours}, which does not hold it"
        assert recorded == UNTAGGED or ours < recorded, f"layer {ours} comes behind {recorded}"
        self.differing.add(id)
        return recorded

    def _add(self, rows: Rows, step: dict[str, Any]) -> None:
        self.pool.add(rows, _transaction(step["tx"]), _received(step["tx"]))

    def _db_add(self, rows: Rows, step: dict[str, Any]) -> None:
        transactions.put(rows, _transaction(step["tx"]), _received(step["tx"]))

    def _link_proposal(self, rows: Rows, step: dict[str, Any]) -> None:
        ids = self._linked(step)
        self.pool.link_proposal(rows, LayerId(step["layer"]), ProposalId(bytes.fromhex(step["proposal"])), ids)

    def _link_block(self, rows: Rows, step: dict[str, Any]) -> None:
        ids = self._linked(step)
        self.pool.link_block(rows, LayerId(step["layer"]), BlockId(bytes.fromhex(step["block"])), ids)

    def _linked(self, step: dict[str, Any]) -> list[TransactionId]:
        ids = _ids(step["ids"])
        for id in ids:
            self.links.setdefault(id, set()).add(step["layer"])
        first_unknown = next((place for place, id in enumerate(ids) if not self.pool.has(id)), len(ids))
        self.missed.update(ids[first_unknown:])
        return ids

    def _apply_layer(self, rows: Rows, step: dict[str, Any]) -> None:
        layer = LayerId(step["layer"])
        self.vm.require_next(rows, layer)
        executed = [_pooled(one) for one in step["executed"] or ()]
        block = BlockId(bytes.fromhex(step["block"]))
        for one in executed:
            rows.put(tables.RESULTS, one.id, TransactionResult(0, "", 0, 0, block, layer))
        rows.put(tables.LAYERS, layer, tables.AppliedLayer(EMPTY, block, (), tuple(one.id for one in executed)))
        rows.put(tables.LAST_APPLIED, ONLY, layer)
        if step["block"] == _EMPTY_BLOCK:
            self.pool.apply_empty_layer(rows, layer)
        else:
            ineffective = [_pooled(one) for one in step["ineffective_with_header"] or ()]
            self.pool.apply_layer(rows, layer, executed, ineffective)

    def _revert(self, rows: Rows, step: dict[str, Any]) -> None:
        self.is_reverted = True
        self.pool.revert(rows, state.revert(rows, LayerId(step["layer"])))

    def _restart_rebuild_from_db(self, rows: Rows, step: dict[str, Any]) -> None:
        self.pool = Mempool()
        self.pool.start(rows)

    def _select(self, rows: Rows, step: dict[str, Any]) -> None:
        if self.differing:
            return  # what is selected follows from the tags
        popped = selection.best_first(self.pool.waiting(), int(step["gas_limit"]))
        differing([one.id for one in popped], _ids(step["popped"]), "popped")


@vectors("vm/mempool.json", variants=False)
def mempool(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("params", "sequences"))
    if document["params"] != {"max_txs_per_account": MAX_NONCES, "max_txs_per_nonce": MAX_PER_NONCE}:
        raise NotUnderstood(f"parameters {document['params']}")
    for sequence in document["sequences"]:

        def check(sequence: dict[str, Any] = sequence) -> None:
            replay = _Replay(sequence["state"])
            for position, step in enumerate(sequence["steps"]):
                try:
                    replay.step(step)
                except AssertionError as error:
                    raise AssertionError(f"step {position} ({step['op']}): {error}") from None

        yield Case(sequence["name"], check)


@vectors("consensus/block_tx_order.json", variants=False)
def block_order(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("cases", "shuffle_of_sorted_distinct_accounts", "proposal_list_hashes"))
    for case in document["cases"]:

        def check(case: dict[str, Any] = case) -> None:
            given = [_pooled(one) for one in case["transactions"]]
            layers = [LayerId(one["applied_layer"]) for one in case["transactions"]]
            order = selection.for_block(zip(given, layers), bytes.fromhex(case["seed"]), int(case["gas_limit"]))
            differing([given.index(one) for one in order], case["order"] or [], "order")

        yield Case(f"cases {case['name']}", check)
    for position, case in enumerate(document["shuffle_of_sorted_distinct_accounts"]):

        def permutation(case: dict[str, Any] = case) -> None:
            places = list(range(case["n"]))
            shuffle(places, bytes.fromhex(case["seed"]))
            differing(places, case["permutation"], "permutation")

        yield Case(f"shuffle[{position}]", permutation)
    for position, case in enumerate(document["proposal_list_hashes"]):

        def seed(case: dict[str, Any] = case) -> None:
            ids = [ProposalId(bytes.fromhex(text)) for text in case["ids"] or ()]
            assert selection.block_seed(ids).hex() == case["hash_sorted"]
            assert hash_of_list(as_hash32(id) for id in ids).hex() == case["hash_given_order"]

        yield Case(f"proposal_list_hashes[{position}]", seed)
