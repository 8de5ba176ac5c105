"""Vectors of the mempool, vm/mempool.json, and of the order in a block, consensus/block_tx_order.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.mempool import selection
from node.mempool.account import MAX_NONCES, MAX_PER_NONCE
from node.mempool.errors import MempoolError
from node.mempool.pool import Mempool
from node.mempool.shuffle import shuffle
from node.mempool.store import MemoryStore
from node.mempool.transaction import PoolTransaction
from protocol.crypto.hashing import hash_of_list
from protocol.types.ids import Address, BlockId, LayerId, ProposalId, TransactionId, as_hash32
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.vm_support import differing

_EMPTY_BLOCK = "00" * 20


def _transaction(case: dict[str, Any]) -> PoolTransaction:
    return PoolTransaction(
        TransactionId(bytes.fromhex(case["id"])),
        Address(bytes.fromhex(case["principal"])),
        int(case["nonce"]),
        int(case["max_gas"]),
        int(case["gas_price"]),
        int(case["max_spend"]),
        int(case.get("received", 0)),
        bytes.fromhex(case.get("raw", "")),
    )


def _ids(texts: list[str] | None) -> list[TransactionId]:
    return [TransactionId(bytes.fromhex(text)) for text in texts or ()]


class _Replay:
    """One sequence: a pool over a store, and the ledger's answers."""

    def __init__(self, state: list[dict[str, str]]) -> None:
        self.ledger: dict[bytes, tuple[int, int]] = {}
        self._set(state)
        self.store = MemoryStore()
        self.pool = Mempool(self.store, lambda address: self.ledger.get(address, (0, 0)))

    def _set(self, state: list[dict[str, str]]) -> None:
        for entry in state:
            self.ledger[bytes.fromhex(entry["address"])] = int(entry["nonce"]), int(entry["balance"])

    def step(self, step: dict[str, Any]) -> None:
        """Do it, and compare everything that the vectors say."""
        if "state" in step:
            self._set(step["state"])
        try:
            getattr(self, f"_{step['op']}")(step)
        except MempoolError as error:
            assert error.reason == step.get("error_class"), f"refused: {error}"
        else:
            assert not step.get("error_class"), f"not refused, expected {step.get('error_class')}"
        if step["op"] == "add":
            id = TransactionId(bytes.fromhex(step["tx"]["id"]))
            differing((self.pool.has(id), self.store.has(id)), (step["in_cache"], step["in_db"]), "in_cache, in_db")
        for expected in step.get("after") or ():
            differing(self._account(expected["address"]), expected, "after")

    def _account(self, text: str) -> dict[str, Any]:
        address = Address(bytes.fromhex(text))
        nonce, balance = self.pool.projection(address)
        account = self.pool.account(address)
        found: dict[str, Any] = {
            "address": text,
            "projected_nonce": str(nonce),
            "projected_balance": str(balance),
            "cached": account is not None,
        }
        if account is not None:
            waiting = self.pool.waiting().get(address)
            found |= {
                "start_nonce": str(account.start_nonce),
                "start_balance": str(account.start_balance),
                "more_in_db": account.more_in_store,
                "candidates": [
                    {
                        "nonce": str(one.nonce),
                        "id": one.transaction.id.hex(),
                        "post_balance": str(one.post_balance),
                        "layer": one.layer,
                    }
                    for one in account.candidates
                ]
                or None,
                "mempool": None if waiting is None else [one.id.hex() for one in waiting],
            }
        return found

    def _add(self, step: dict[str, Any]) -> None:
        self.pool.add(_transaction(step["tx"]))

    def _db_add(self, step: dict[str, Any]) -> None:
        self.store.add([_transaction(step["tx"])])

    def _link_proposal(self, step: dict[str, Any]) -> None:
        proposal = ProposalId(bytes.fromhex(step["proposal"]))
        self.pool.link_proposal(LayerId(step["layer"]), proposal, _ids(step["ids"]), as_reference=True)

    def _link_block(self, step: dict[str, Any]) -> None:
        block = BlockId(bytes.fromhex(step["block"]))
        self.pool.link_block(LayerId(step["layer"]), block, _ids(step["ids"]), as_reference=True)

    def _apply_layer(self, step: dict[str, Any]) -> None:
        layer = LayerId(step["layer"])
        if step["block"] == _EMPTY_BLOCK:
            self.pool.apply_empty_layer(layer)
            return
        executed = [_transaction(one) for one in step["executed"] or ()]
        ineffective = [_transaction(one) for one in step["ineffective_with_header"] or ()]
        self.pool.apply_layer(layer, executed, ineffective)

    def _revert(self, step: dict[str, Any]) -> None:
        self.pool.revert(LayerId(step["layer"]), as_reference=True)

    def _restart_rebuild_from_db(self, step: dict[str, Any]) -> None:
        self.pool = Mempool(self.store, lambda address: self.ledger.get(address, (0, 0)))
        self.pool.rebuild()

    def _select(self, step: dict[str, Any]) -> None:
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
            given = [_transaction(one) for one in case["transactions"]]
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
