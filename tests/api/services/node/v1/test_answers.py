"""Pages, bounds of what one answer holds, and what the records do not show."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from api.edge.rpc import Status
from api.services.node.v1 import malfeasance, mesh
from api.services.node.v1.requests import page
from node.ledger.tables import ACCOUNTS, PAID_BY, RESULTS, REWARDS
from node.malfeasance.tables import MARKS, PROOFS, Mark, StoredProof
from node.mempool.tables import PENDING, TRANSACTIONS, UNAPPLIED
from node.store.view import Rows
from protocol.pb.spacemesh.v1 import (
    activation_types_pb2,
    debug_types_pb2,
    global_state_types_pb2,
    mesh_types_pb2,
    node_types_pb2,
    tx_types_pb2,
    types_pb2,
)
from protocol.types.address import to_text
from protocol.types.ids import Address, LayerId, NodeId, TransactionId
from protocol.types.malfeasance import MalfeasanceGossip, ProofType
from tests.support.calling import Answered
from tests.support.imported_chain import SHORT
from tests.support.served_v1 import ServedNode

MOST = (1 << 32) - 1


def ask(node: ServedNode, service: str, method: str, request: Message) -> Answered:
    return node.answer(f"spacemesh.v1.{service}", method, request.SerializeToString())


def account_id(address: bytes) -> types_pb2.AccountId:
    return types_pb2.AccountId(address=to_text(address, "stest"))


def busiest(node: ServedNode) -> Address:
    """The account that has paid the most transactions."""
    with node.backend.view() as view:
        principals = [address for (address, _), _ in view.find(PAID_BY)]
    return Address(max(set(principals), key=principals.count))


# ---- pages ----


@pytest.mark.parametrize(
    ("total", "offset", "most", "places"),
    [
        (0, 0, 0, range(0, 0)),
        (5, 0, 0, range(0, 5)),
        (5, 2, 2, range(2, 4)),
        (5, 4, 9, range(4, 5)),
        (5, 5, 1, range(5, 5)),
        (5, 6, 1, None),
        (5, 1, MOST, range(1, 5)),
        (5, MOST, MOST, None),
    ],
)
def test_a_page_ends_with_what_there_is(total: int, offset: int, most: int, places: range | None) -> None:
    assert page(total, offset, most) == places


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000, MOST])
def test_pages_of_transactions_together_are_all_of_them_by_nonce(node: ServedNode, most: int) -> None:
    address = busiest(node)
    wait(node, address, count=3)
    wanted = mesh_types_pb2.AccountMeshDataFilter(account_id=account_id(address), account_mesh_data_flags=1)
    found: list[types_pb2.MeshTransaction] = []
    while True:
        request = mesh_types_pb2.AccountMeshDataQueryRequest(filter=wanted, max_results=most, offset=len(found))
        (answer,) = ask(node, "MeshService", "AccountMeshDataQuery", request).messages
        if not answer.data:
            break
        found += [one.mesh_transaction for one in answer.data]
    assert answer.total_results == len(found)
    applied = [one.transaction.nonce.counter for one in found if one.HasField("layer_id")]
    waiting = [one.transaction.nonce.counter for one in found if not one.HasField("layer_id")]
    assert applied == sorted(applied) and len(applied) > 10
    assert waiting == sorted(waiting) and waiting[-3:] == [1000, 1001, 1002]
    assert [one.transaction.nonce.counter for one in found] == applied + waiting


def wait(node: ServedNode, address: Address, count: int) -> None:
    """So many transactions of an account that no layer has applied."""
    with node.backend.view() as view:
        stored = next(row for _, row in view.scan(TRANSACTIONS) if row.header and row.header.principal == address)
    assert stored.header is not None

    def put(rows: Rows) -> None:
        assert stored.header is not None
        for number in range(count):
            id, header = TransactionId(bytes([number] * 32)), replace(stored.header, nonce=1000 + number)
            rows.put(TRANSACTIONS, id, replace(stored, header=header))
            rows.put(PENDING, (address, header.nonce, stored.received, id), None)
            rows.put(UNAPPLIED, id, None)

    node.backend.write(put)


@pytest.mark.parametrize("most", [1, 2, 5, MOST])
def test_pages_of_rewards_end_with_the_account(node: ServedNode, most: int) -> None:
    with node.backend.view() as view:
        rewards = [reward for _, reward in view.scan(REWARDS)]
    coinbase = rewards[0].coinbase
    wanted = global_state_types_pb2.AccountDataFilter(account_id=account_id(coinbase), account_data_flags=6)
    found: list[global_state_types_pb2.AccountData] = []
    while True:
        request = global_state_types_pb2.AccountDataQueryRequest(filter=wanted, max_results=most, offset=len(found))
        (answer,) = ask(node, "GlobalStateService", "AccountDataQuery", request).messages
        if not answer.account_item:
            break
        found += answer.account_item
    assert answer.total_results == len(found)
    assert [one.WhichOneof("datum") for one in found] == ["reward"] * (len(found) - 1) + ["account_wrapper"]
    expected = [(one.layer, one.total_reward, one.smesher_id) for one in rewards if one.coinbase == coinbase]
    said = [(one.reward.layer.number, one.reward.total.value, one.reward.smesher.id) for one in found[:-1]]
    assert said == expected


# ---- accounts ----


def test_an_account_is_projected_behind_what_waits(node: ServedNode) -> None:
    address = busiest(node)
    request = global_state_types_pb2.AccountRequest(account_id=account_id(address))
    before = ask(node, "GlobalStateService", "Account", request).messages[0].account_wrapper
    assert before.state_current == before.state_projected
    wait(node, address, count=2)
    after = ask(node, "GlobalStateService", "Account", request).messages[0].account_wrapper
    assert after.state_current == before.state_current
    assert after.state_projected.counter == 1002
    with node.backend.view() as view:
        header = view.get(TRANSACTIONS, TransactionId(bytes(32))).header  # type: ignore[union-attr]
    assert header is not None
    spent = 2 * (header.max_gas * header.gas_price + header.max_spend)
    assert before.state_current.balance.value - after.state_projected.balance.value == spent


def test_account_reads_one_snapshot_and_asks_nobody(node: ServedNode) -> None:
    request = global_state_types_pb2.AccountRequest(account_id=account_id(busiest(node)))
    taken = 0
    original = node.backend.stores.view

    def counted() -> Any:
        nonlocal taken
        taken += 1
        return original()

    node.backend.stores.view = counted  # type: ignore[method-assign]
    assert ask(node, "GlobalStateService", "Account", request).status is Status.OK
    assert taken == 1
    assert "node" not in vars(node.backend), "no node was started to answer this"


def test_all_accounts_of_a_layer(node: ServedNode) -> None:
    with node.backend.view() as view:
        newest = list(view.scan(ACCOUNTS))
    for layer in (0, 5000):
        (answer,) = ask(node, "DebugService", "Accounts", debug_types_pb2.AccountsRequest(layer=layer)).messages
        said = [(one.account_id.address, one.state_current.balance.value) for one in answer.account_wrapper]
        assert said == [(to_text(address, "stest"), account.balance) for address, account in newest]
        assert not any(one.HasField("state_projected") for one in answer.account_wrapper)


# ---- bounds ----


def limited(node: ServedNode, most: int) -> ServedNode:
    config = node.backend.config
    node.backend.config = replace(config, api=replace(config.api, grpc_send_msg_size=most))
    return node


def test_no_answer_is_larger_than_what_is_sent(node: ServedNode) -> None:
    limited(node, 500)
    layers = mesh_types_pb2.LayersQueryRequest(end_layer=types_pb2.LayerNumber(number=60))
    address = busiest(node)
    paid = mesh_types_pb2.AccountMeshDataFilter(account_id=account_id(address), account_mesh_data_flags=1)
    with node.backend.view() as view:
        (_, reward), ids = next(view.scan(REWARDS)), list(view.keys(TRANSACTIONS))
    earned = global_state_types_pb2.AccountDataFilter(account_id=account_id(reward.coinbase), account_data_flags=2)
    asked = [types_pb2.TransactionId(id=id) for id in ids]
    for service, method, request in (
        ("MeshService", "AccountMeshDataQuery", mesh_types_pb2.AccountMeshDataQueryRequest(filter=paid)),
        ("GlobalStateService", "AccountDataQuery", global_state_types_pb2.AccountDataQueryRequest(filter=earned)),
        ("TransactionService", "TransactionsState", tx_types_pb2.TransactionsStateRequest(transaction_id=asked)),
        ("MeshService", "LayersQuery", layers),
        ("DebugService", "Accounts", debug_types_pb2.AccountsRequest()),
    ):
        answered = ask(node, service, method, request)
        assert answered.status is Status.RESOURCE_EXHAUSTED and "500 bytes" in answered.text, answered.text


def test_a_range_of_all_layers_is_refused_at_once(node: ServedNode) -> None:
    request = mesh_types_pb2.LayersQueryRequest(end_layer=types_pb2.LayerNumber(number=MOST))
    answered = ask(node, "MeshService", "LayersQuery", request)
    assert answered.status is Status.RESOURCE_EXHAUSTED and str(mesh.MAX_LAYERS) in answered.text


def test_other_clients_have_their_turn_while_layers_are_read(node: ServedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh, "LAYERS_AT_ONCE", 5)
    calls = mesh.calls(node.backend)
    order: list[str] = []

    async def asked(name: str, last: int) -> None:
        request = mesh_types_pb2.LayersQueryRequest(end_layer=types_pb2.LayerNumber(number=last))
        await calls["LayersQuery"](request)  # type: ignore[misc,arg-type]
        order.append(name)

    async def both() -> None:
        await asyncio.gather(asked("long", 60), asked("short", 1))

    node.runner.run(both())
    assert order == ["short", "long"]


def test_an_epoch_beyond_the_last_layer_has_no_active_set(node: ServedNode) -> None:
    answered = ask(node, "DebugService", "ActiveSet", debug_types_pb2.ActiveSetRequest(epoch=MOST))
    assert answered.status is Status.INTERNAL and "beacon is not calculated" in answered.text


# ---- malfeasance ----

CAUSES = {
    ProofType.MULTIPLE_ATXS: "multiple ATXs in epoch",
    ProofType.MULTIPLE_BALLOTS: "multiple ballots in layer",
    ProofType.HARE_EQUIVOCATION: "multiple hare messages in layer",
    ProofType.INVALID_POST_INDEX: "with invalid post index",
    ProofType.INVALID_PREV_ATX: "with invalid previous ATX",
}


def test_proofs_of_all_types_say_what_was_done() -> None:
    path = Path(SHORT).parents[1] / "consensus" / "malfeasance.json.gz"
    seen = set()
    for case in json.loads(gzip.decompress(path.read_bytes()))["cases"]:
        try:
            proof = MalfeasanceGossip.codec.decode(bytes.fromhex(case["bytes"])).proof
        except Exception as error:
            assert "bytes" in str(error) or error, "damaged on purpose"
            continue
        data = type(proof).codec.encode(proof)
        message = malfeasance.message(NodeId(bytes(32)), data, with_proof=True)
        kind = ProofType(message.kind)
        seen.add(kind)
        assert CAUSES[kind] in message.debug_info and message.proof == data
        lines = message.debug_info.splitlines()
        assert lines[:2] == [f"generate layer: {proof.layer}", f"smesher id: {'00' * 32}"]
        assert len(lines) == (3 if kind >= ProofType.INVALID_POST_INDEX else 7)
        assert malfeasance.message(NodeId(bytes(32)), data, with_proof=False).proof == b""
    assert seen == set(ProofType)


def test_a_proof_that_cannot_be_read_is_an_empty_message(empty: ServedNode) -> None:
    identity = NodeId(b"\1" * 32)
    empty.backend.write(lambda rows: rows.put(PROOFS, identity, StoredProof(b"no proof", 1)))
    request = mesh_types_pb2.MalfeasanceRequest(smesher_hex=identity.hex(), include_proof=True)
    (answer,) = ask(empty, "MeshService", "MalfeasanceQuery", request).messages
    assert answer.HasField("proof") and answer.proof == types_pb2.MalfeasanceProof()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "encoding/hex: odd length hex string"),
        ("abcx", "encoding/hex: invalid byte: U+0078 'x'"),
        ("ä", "encoding/hex: invalid byte: U+00C3 'Ã'"),
        ("\n", "encoding/hex: invalid byte: U+000A"),
        ("ab" * 33, "invalid smesher id length (33), expected (32)"),
    ],
)
def test_what_is_no_identity_is_named(empty: ServedNode, text: str, words: str) -> None:
    answered = ask(empty, "MeshService", "MalfeasanceQuery", mesh_types_pb2.MalfeasanceRequest(smesher_hex=text))
    assert (answered.status, answered.text) == (Status.INVALID_ARGUMENT, words)


def test_activations_of_malicious_smeshers_are_left_out_of_their_epoch(node: ServedNode) -> None:
    request = mesh_types_pb2.EpochStreamRequest(epoch=3)
    every = ask(node, "MeshService", "EpochStream", request).messages
    found = ask(node, "ActivationService", "Get", activation_types_pb2.GetRequest(id=every[0].id.id)).messages[0]
    smesher = NodeId(found.atx.smesher_id.id)
    assert not found.HasField("malfeasance_proof")
    node.backend.write(lambda rows: rows.put(MARKS, smesher, Mark(1)))
    left = ask(node, "MeshService", "EpochStream", request).messages
    assert [one.id.id for one in left] == [one.id.id for one in every[1:]]
    assert len(every) > 1


# ---- a node ----


def test_a_node_in_time(node: ServedNode) -> None:
    node.backend.version, node.backend.build = "v1", "c0ffee"
    (version,) = ask(node, "NodeService", "Version", node_types_pb2.StatusRequest()).messages
    (build,) = ask(node, "NodeService", "Build", node_types_pb2.StatusRequest()).messages
    assert (version.version_string.value, build.build_string.value) == ("v1", "c0ffee")


@pytest.mark.parametrize(("duration_ns", "rate"), [(4_000_000_000, 250), (1_500_000_000, 1000), (500_000_000, 2000)])
def test_layers_shorter_than_a_second_have_a_rate_too(node: ServedNode, duration_ns: int, rate: int) -> None:
    parameters = node.backend.parameters
    node.backend.parameters = replace(parameters, time=replace(parameters.time, layer_duration_ns=duration_ns))
    answer = node.runner.run(mesh.MeshService(node.backend).max_transactions_per_second(None))
    assert answer.max_txs_per_second.value == rate  # type: ignore[attr-defined]


def test_a_transaction_that_is_missing_is_an_error_and_not_an_empty_layer(node: ServedNode) -> None:
    with node.backend.view() as view:
        id, result = next(iter(view.scan(RESULTS)))
    node.backend.write(lambda rows: rows.delete(TRANSACTIONS, id))
    number = types_pb2.LayerNumber(number=LayerId(result.layer))
    answered = ask(
        node, "MeshService", "LayersQuery", mesh_types_pb2.LayersQueryRequest(start_layer=number, end_layer=number)
    )
    assert (answered.status, answered.text) == (Status.INTERNAL, "error retrieving tx data")
