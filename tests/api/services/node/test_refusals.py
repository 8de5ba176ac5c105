"""What was refused is remembered, for as long as there is room, and by every service of the node."""

from __future__ import annotations

import asyncio
from pathlib import Path

from api.edge.rpc import Status
from api.services.node.refusals import Refusal, Refusals, refusals_of
from node.contract.verdicts import ACCEPT, ignore
from node.runtime.facts import Facts
from protocol.pb.spacemesh.v1 import tx_types_pb2, types_pb2
from protocol.types.ids import TransactionId
from protocol.types.transactions import transaction_id
from tests.support.imported_chain import SHORT, imported_chain
from tests.support.served_v1 import ServedNode

SERVICE = "spacemesh.v1.TransactionService"
State = tx_types_pb2.TransactionState


def test_the_last_word_on_a_transaction_counts() -> None:
    refusals, id = Refusals(), TransactionId(bytes(32))
    refusals.note(id, ignore("bad_nonce"))
    assert refusals.of(id) is Refusal.CONFLICTING
    refusals.note(id, ignore("insufficient_balance"))
    assert refusals.of(id) is Refusal.INSUFFICIENT_FUNDS
    refusals.note(id, ignore("not_signed"))
    assert refusals.of(id) is Refusal.REJECTED
    refusals.note(id, ACCEPT)
    assert refusals.of(id) is None
    refusals.note(id, ignore("not_synced"))
    assert refusals.of(id) is None, "that says nothing about it"


def test_the_latest_refusals_are_kept() -> None:
    refusals = Refusals(kept=2)
    ids = [TransactionId(bytes([number] * 32)) for number in range(3)]
    for id in ids:
        refusals.note(id, ignore("bad_nonce"))
    assert [refusals.of(id) for id in ids] == [None, Refusal.CONFLICTING, Refusal.CONFLICTING]


def test_who_was_refused_is_told_why(tmp_path: Path) -> None:
    chain = imported_chain(SHORT)
    raws = [bytes.fromhex(row["encoded"]) for row in chain.document["transactions"]]
    spawns = {row["principal"]: raw for row, raw in zip(chain.document["transactions"], raws) if row["nonce"] == "0"}
    with asyncio.Runner() as runner:
        node = ServedNode(chain.config, runner, tmp_path)
        node.backend.at_layer(17)
        funded = {address.hex() for address in node.backend.parameters.accounts}
        good = next(raw for principal, raw in spawns.items() if principal in funded)
        poor = next(raw for principal, raw in spawns.items() if principal not in funded)
        unsigned = good[:-1] + bytes([good[-1] ^ 1])
        genesis = node.backend.parameters.time.effective_genesis
        node.backend.told = Facts(True, True, genesis, genesis, genesis, genesis)
        statuses = []
        for raw in (good, poor, unsigned):
            request = tx_types_pb2.SubmitTransactionRequest(transaction=raw).SerializeToString()
            statuses.append(node.answer(SERVICE, "SubmitTransaction", request).status)
        assert statuses == [Status.OK, Status.INVALID_ARGUMENT, Status.INVALID_ARGUMENT]
        ids = [types_pb2.TransactionId(id=transaction_id(raw)) for raw in (good, poor, unsigned)]
        asked = tx_types_pb2.TransactionsStateRequest(transaction_id=ids).SerializeToString()
        said = [one.state for one in node.answer(SERVICE, "TransactionsState", asked).messages[0].transactions_state]
        assert said == [
            State.TRANSACTION_STATE_MEMPOOL,
            State.TRANSACTION_STATE_INSUFFICIENT_FUNDS,
            State.TRANSACTION_STATE_REJECTED,
        ]
        assert refusals_of(node.backend).of(transaction_id(poor)) is Refusal.INSUFFICIENT_FUNDS
        stream = node.open(SERVICE, "TransactionsStateStream", asked)
        first = [one.transaction_state.state for one in runner.run(stream.more())]
        assert first == said
        runner.run(stream.close())
