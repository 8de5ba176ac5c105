"""Transactions as clients handed them in: api/transaction_submits.json, one after the other to one node.

Before the transactions of a layer come, the ledger is that of the layer before, from the recorded chain; what waits is
what was taken until then. Both generations of services are answered alike, but for an empty transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from node.ledger.tables import ACCOUNTS, EARLIER, LAST_APPLIED, RESULTS
from node.mempool import transactions
from node.mempool.tables import TRANSACTIONS
from node.runtime.facts import Facts
from node.store.keys import ONLY
from node.store.view import Rows
from protocol.pb.spacemesh.v1 import tx_types_pb2
from protocol.types.ids import Address, LayerId, TransactionId
from protocol.types.transactions import Account, TransactionResult
from tests.support.served_v1 import ServedNode, shown
from tests.vector_cases.api_served_support import Call, chains, config_of, same_text
from tests.vector_cases.harness import Case, Context, Later, not_understood, vectors

SUBMIT = ("spacemesh.v1.TransactionService", "SubmitTransaction")


@vectors("api/transaction_submits.json", variants=False)
def submits(document: Any, context: Context) -> Iterator[Case | Later]:
    """All of them, in their order."""
    found = [one for one in chains(context) if one["meta"]["genesis_id"] == document["meta"]["genesis_id"]]
    with_results = [one for one in found if "result_encoded" in one["transactions"][0]]
    config = next((one for one in found if "config" in one), None)
    if not with_results or config is None:
        yield not_understood("submits", "no chain/devnet_*.json has the ledger and the configuration of this network")
        return
    with asyncio.Runner() as runner:
        node = ServedNode(config_of({}, config), runner, context.temporary("node"))
        ledger = Ledger(node, with_results[0])
        for place, one in enumerate(document["transcripts"]):
            layer = int(one["note"].split()[1])
            name = f"served[{place}]: {one['name']}"
            yield Case(name, lambda one=one, layer=layer: _check(ledger, one, layer))


def _check(ledger: Ledger, one: Call, layer: int) -> None:
    ledger.advance(layer)
    is_v1 = one["service"] == SUBMIT[0]
    answered = ledger.node.answer(*SUBMIT, bytes.fromhex(one["request_hex"]))
    assert answered.status == one["code"], f"{answered.status.name} {answered.text}, expected {one.get('message')}"
    if one["code"]:
        if is_v1 or any(bytes.fromhex(one["request_hex"])):
            same_text(answered.text, one["message"])
    elif is_v1:
        assert [shown(message) for message in answered.messages] == [one["response"]]
    else:
        (message,) = answered.messages
        assert message.txstate.id.id.hex() == one["txid"]
        assert message.txstate.state == tx_types_pb2.TransactionState.TRANSACTION_STATE_MEMPOOL


class Ledger:
    """The rows of a chain's ledger, layer by layer. Mutable."""

    def __init__(self, node: ServedNode, chain: Any) -> None:
        self.node = node
        self._chain = chain
        self._layer = -1

    def advance(self, layer: int) -> None:
        """The state of the layer before is there, and the node has taken up what waits."""
        if layer == self._layer:
            return
        first, self._layer = self._layer, layer
        backend = self.node.backend
        backend.write(lambda rows: self._put(rows, first, layer))
        backend.at_layer(layer)
        backend.told = Facts(True, True, LayerId(layer), LayerId(layer - 1), LayerId(layer - 1), LayerId(layer - 1))
        backend.start_again()

    def _put(self, rows: Rows, first: int, end: int) -> None:
        """What the layers from one on, below another, have changed."""
        for row in self._chain["accounts"]:
            if first <= row["layer_updated"] < end:
                template = None if row["template"] is None else Address(bytes.fromhex(row["template"]))
                account = Account(
                    LayerId(row["layer_updated"]),
                    Address(bytes.fromhex(row["address"])),
                    int(row["next_nonce"]),
                    int(row["balance"]),
                    template,
                    bytes.fromhex(row["state"] or ""),
                )
                before = rows.get(ACCOUNTS, account.address)
                if before is not None:
                    rows.put(EARLIER, (before.address, before.layer), before)
                rows.put(ACCOUNTS, account.address, account)
        for row in self._chain["transactions"]:
            if row["layer"] is not None and first <= row["layer"] < end:
                id = TransactionId(bytes.fromhex(row["id"]))
                rows.put(RESULTS, id, TransactionResult.codec.decode(bytes.fromhex(row["result_encoded"])))
                if rows.has(TRANSACTIONS, id):
                    transactions.set_applied(rows, [transactions.pooled(rows, id)])
        rows.put(LAST_APPLIED, ONLY, LayerId(end - 1))
