"""Streams: headers at once, events in their order, the end of a client that is too slow, nothing lost and nothing
twice between what is stored and what comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from api.edge.rpc import Status
from api.services.node.events import (
    AccountChanged,
    AtxAdded,
    Event,
    LayerStatus,
    LayerUpdated,
    NodeErred,
    ProposalSeen,
    ProposalStatus,
    RewardPaid,
    SmesherConvicted,
    StatusChanged,
    TransactionAdded,
    TransactionDone,
    UserEvent,
)
from api.services.node.v1 import admin, debug, global_state, mesh_streams, transactions
from api.services.node.v1 import node as node_service
from api.services.node.v1.debug import QUEUE
from api.services.node.v1.following import Once
from node.activation.tables import ATXS
from node.ledger.tables import LAYERS, RESULTS, REWARDS
from node.malfeasance.tables import PROOFS, StoredProof
from node.mempool.tables import HELD, IN_BLOCK, PENDING, TRANSACTIONS, UNAPPLIED
from node.mesh.tables import BALLOTS
from node.runtime.facts import Facts
from node.store.view import Rows
from protocol.pb.spacemesh.v1 import (
    admin_types_pb2,
    global_state_types_pb2,
    mesh_types_pb2,
    node_types_pb2,
    tx_types_pb2,
    types_pb2,
)
from protocol.types.address import to_text
from protocol.types.ids import Address, BlockId, Hash32, LayerId, NodeId, ProposalId, TransactionId
from protocol.types.proposals import EdSignature, InnerProposal, Proposal
from tests.support.calling import Open
from tests.support.served_v1 import ServedNode

HRP = "stest"
SERVICE = "spacemesh.v1."
State = tx_types_pb2.TransactionState


def first(node: ServedNode, table: Any) -> Any:
    with node.backend.view() as view:
        found = view.first(table)
    assert found is not None
    return found


def filter_of(address: Address, flags: int, kind: Any, name: str) -> Any:
    wanted = kind(account_id=types_pb2.AccountId(address=to_text(address, HRP)))
    setattr(wanted, name, flags)
    return wanted


def proposal(node: ServedNode) -> Proposal:
    _, ballot = first(node, BALLOTS)
    return Proposal(InnerProposal(ballot, (), Hash32(bytes(32))), EdSignature(bytes(64)))


class Told:
    """A stream, and an event of which it tells."""

    def __init__(self, service: str, method: str, request: Message, event: Event, module: Any, words: str) -> None:
        self.service, self.method, self.request = SERVICE + service, method, request
        self.event, self.module, self.words = event, module, words


def status(node: ServedNode) -> Told:
    request = node_types_pb2.StatusStreamRequest()
    return Told("NodeService", "StatusStream", request, StatusChanged(), node_service, "status buffer is full")


def errors(node: ServedNode) -> Told:
    event = NodeErred(node_types_pb2.LOG_LEVEL_ERROR, "what went wrong")
    request = node_types_pb2.ErrorStreamRequest()
    return Told("NodeService", "ErrorStream", request, event, node_service, "errors buffer is full")


def account_transactions(node: ServedNode) -> Told:
    id, stored = first(node, TRANSACTIONS)
    principal = stored.header.principal
    wanted = filter_of(principal, 1, mesh_types_pb2.AccountMeshDataFilter, "account_mesh_data_flags")
    request = mesh_types_pb2.AccountMeshDataStreamRequest(filter=wanted)
    event = TransactionAdded(id, principal)
    return Told("MeshService", "AccountMeshDataStream", request, event, mesh_streams, "tx buffer is full")


def account_activations(node: ServedNode) -> Told:
    id, stored = first(node, ATXS)
    wanted = filter_of(stored.coinbase, 2, mesh_types_pb2.AccountMeshDataFilter, "account_mesh_data_flags")
    request = mesh_types_pb2.AccountMeshDataStreamRequest(filter=wanted)
    return Told(
        "MeshService", "AccountMeshDataStream", request, AtxAdded(id), mesh_streams, "activations buffer is full"
    )


def layers(node: ServedNode) -> Told:
    event = LayerUpdated(LayerId(40), LayerStatus.APPLIED)
    request = mesh_types_pb2.LayerStreamRequest()
    return Told("MeshService", "LayerStream", request, event, mesh_streams, "layer buffer is full")


def convictions(node: ServedNode) -> Told:
    event = SmesherConvicted(NodeId(bytes(32)), b"no proof")
    request = mesh_types_pb2.MalfeasanceStreamRequest()
    return Told("MeshService", "MalfeasanceStream", request, event, mesh_streams, "buffer is full")


def account(node: ServedNode) -> Told:
    _, stored = first(node, TRANSACTIONS)
    principal = stored.header.principal
    wanted = filter_of(principal, 4, global_state_types_pb2.AccountDataFilter, "account_data_flags")
    request = global_state_types_pb2.AccountDataStreamRequest(filter=wanted)
    event = AccountChanged(principal)
    return Told("GlobalStateService", "AccountDataStream", request, event, global_state, "account buffer is full")


def account_rewards(node: ServedNode) -> Told:
    _, reward = first(node, REWARDS)
    wanted = filter_of(reward.coinbase, 2, global_state_types_pb2.AccountDataFilter, "account_data_flags")
    request = global_state_types_pb2.AccountDataStreamRequest(filter=wanted)
    event = RewardPaid(reward)
    return Told("GlobalStateService", "AccountDataStream", request, event, global_state, "rewards buffer is full")


def roots(node: ServedNode) -> Told:
    request = global_state_types_pb2.GlobalStateStreamRequest(global_state_data_flags=15)
    event = LayerUpdated(LayerId(40), LayerStatus.APPLIED)
    return Told("GlobalStateService", "GlobalStateStream", request, event, global_state, "layer buffer is full")


def results(node: ServedNode) -> Told:
    id, result = first(node, RESULTS)
    request = tx_types_pb2.TransactionResultsRequest(watch=True, start=1000)
    event = TransactionDone(id, replace(result, layer=LayerId(1000)))
    return Told("TransactionService", "StreamResults", request, event, transactions, "buffer overflow")


def proposals(node: ServedNode) -> Told:
    event = ProposalSeen(ProposalId(b"\1" * 20), proposal(node), ProposalStatus.CREATED)
    return Told("DebugService", "ProposalsStream", Empty(), event, debug, "buffer is full")


def user_events(node: ServedNode) -> Told:
    event = UserEvent(admin_types_pb2.Event(beacon=admin_types_pb2.EventBeacon(epoch=7)))
    return Told("AdminService", "EventsStream", admin_types_pb2.EventStreamRequest(), event, admin, "buffer is full")


ALL = (
    status, errors, account_transactions, account_activations, layers, convictions, account, account_rewards, roots,
    results, proposals, user_events,
)  # fmt: skip


def opened(node: ServedNode, told: Told) -> Open:
    return node.open(told.service, told.method, told.request.SerializeToString())


@pytest.mark.parametrize("make", ALL)
def test_a_stream_sends_headers_at_once_and_then_what_happens(
    node: ServedNode, make: Callable[[ServedNode], Told]
) -> None:
    told = make(node)
    stream = opened(node, told)
    assert node.runner.run(stream.more()) == []
    assert stream.answered.has_headers and stream.answered.is_open
    assert node.backend.bus.subscribers(type(told.event)) == 1
    node.backend.bus.publish([told.event, told.event])
    messages = node.runner.run(stream.more())
    assert len(messages) == (1 if isinstance(told.event, SmesherConvicted) else 2)
    assert all(message.ListFields() for message in messages)
    node.runner.run(stream.close())
    assert node.backend.bus.subscribers(type(told.event)) == 0


@pytest.mark.parametrize("make", ALL)
def test_a_client_that_is_too_slow_is_told_so_behind_what_came_in_time(
    node: ServedNode, make: Callable[[ServedNode], Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = make(node)
    for name in ("QUEUE", "RESULTS_QUEUE", "EVENTS_QUEUE"):
        monkeypatch.setattr(told.module, name, 3, raising=False)
    stream = opened(node, told)
    node.runner.run(stream.more())
    events = [told.event] * 4
    if isinstance(told.event, SmesherConvicted):
        events = [replace(told.event, identity=NodeId(bytes([place] * 32))) for place in range(4)]
    node.backend.bus.publish(events)
    assert len(node.runner.run(stream.more())) == 3
    assert (stream.answered.status, stream.answered.text) == (Status.CANCELLED, told.words)
    assert node.backend.bus.subscribers(type(told.event)) == 0, "whoever is too slow takes no more room"
    node.runner.run(stream.close())


def test_queues_are_as_long_as_those_of_the_reference() -> None:
    assert (QUEUE, transactions.RESULTS_QUEUE, admin.EVENTS_QUEUE) == (65_536, 1024, 1000)


def test_accounts_of_others_are_not_told_of(node: ServedNode) -> None:
    for make in (account, account_transactions):
        told = make(node)
        stream = opened(node, told)
        node.runner.run(stream.more())
        other = Address(bytes(23) + b"\1")
        node.backend.bus.publish([AccountChanged(other), TransactionAdded(TransactionId(bytes(32)), other)])
        assert node.runner.run(stream.more()) == [] and stream.answered.is_open
        node.runner.run(stream.close())


def test_a_layer_is_read_again_for_each_of_its_changes(node: ServedNode) -> None:
    stream = opened(node, layers(node))
    node.runner.run(stream.more())
    node.backend.bus.publish(LayerUpdated(LayerId(40), one) for one in LayerStatus)
    said = [message.layer for message in node.runner.run(stream.more())]
    of = types_pb2.Layer
    assert [one.status for one in said] == [
        of.LAYER_STATUS_UNSPECIFIED,
        of.LAYER_STATUS_APPROVED,
        of.LAYER_STATUS_CONFIRMED,
        of.LAYER_STATUS_APPLIED,
    ]
    with node.backend.view() as view:
        applied = view.get(LAYERS, LayerId(40))
    assert applied is not None
    assert all(one.root_state_hash == applied.state_hash and one.blocks[0].id == applied.block for one in said)
    node.runner.run(stream.close())


def test_roots_are_told_of_applied_layers_alone_zeros_where_there_is_none(node: ServedNode) -> None:
    stream = opened(node, roots(node))
    node.runner.run(stream.more())
    events = [LayerUpdated(LayerId(layer), one) for layer in (40, 5000) for one in LayerStatus]
    node.backend.bus.publish(events)
    said = [message.datum.global_state for message in node.runner.run(stream.more())]
    assert [one.layer.number for one in said] == [40, 5000]
    assert any(said[0].root_hash) and said[1].root_hash == bytes(32)
    node.runner.run(stream.close())


@pytest.mark.parametrize("make", [layers, roots, results])
def test_an_event_is_read_once_for_all_who_hear_of_it(node: ServedNode, make: Callable[[ServedNode], Told]) -> None:
    told = make(node)
    streams = [opened(node, told) for _ in range(5)]
    for stream in streams:
        node.runner.run(stream.more())
    taken = counted_views(node)
    node.backend.bus.publish([told.event])
    said = [node.runner.run(stream.more()) for stream in streams]
    assert len(said[0]) == 1 and said == [said[0]] * 5
    assert len(taken) == 1
    node.backend.bus.publish([replace(told.event)])
    assert node.runner.run(streams[0].more()) == said[0] and len(taken) == 2, "another event is read again"
    for stream in streams:
        node.runner.run(stream.close())


def counted_views(node: ServedNode) -> list[object]:
    """Grows with each snapshot that is taken from now on."""
    taken: list[object] = []
    original = node.backend.stores.view

    def counted() -> Any:
        taken.append(None)
        return original()

    node.backend.stores.view = counted  # type: ignore[method-assign]
    return taken


def test_only_the_last_events_are_kept() -> None:
    made: list[Event] = []

    def make(event: Event) -> int:
        made.append(event)
        return len(made)

    once, events = Once(make, kept=2), [LayerUpdated(LayerId(layer), LayerStatus.OPENED) for layer in range(3)]
    assert [once.of(event) for event in (*events, events[2], events[1], events[0])] == [1, 2, 3, 3, 2, 4]


# ---- between what is stored and what comes ----


def test_a_proof_that_comes_while_the_stored_ones_are_read_is_told_once(empty: ServedNode) -> None:
    identities = [NodeId(bytes([number] * 32)) for number in range(1, 6)]
    for identity in identities[:3]:
        empty.backend.write(lambda rows, identity=identity: rows.put(PROOFS, identity, StoredProof(b"x", 1)))
    stream = opened(empty, convictions(empty))
    assert len(empty.runner.run(stream.more(most=1))) == 1
    empty.backend.write(lambda rows: rows.put(PROOFS, identities[3], StoredProof(b"x", 1)))
    empty.backend.bus.publish(SmesherConvicted(one, b"x") for one in (identities[2], identities[3], identities[4]))
    assert len(empty.runner.run(stream.more())) == 4
    assert stream.answered.is_open
    empty.runner.run(stream.close())


def test_stored_proofs_are_read_in_parts(empty: ServedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_streams, "PART", 2)
    for number in range(1, 6):
        identity = NodeId(bytes([number] * 32))
        empty.backend.write(lambda rows, identity=identity: rows.put(PROOFS, identity, StoredProof(b"x", 1)))
    stream = opened(empty, convictions(empty))
    assert len(empty.runner.run(stream.more())) == 5
    empty.runner.run(stream.close())


@pytest.mark.parametrize("part", [1, 2, 7, 250])
def test_results_are_the_same_however_many_are_read_at_once(
    node: ServedNode, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "RESULTS_PART", part)
    request = tx_types_pb2.TransactionResultsRequest().SerializeToString()
    said = node.answer(SERVICE + "TransactionService", "StreamResults", request).messages
    found = [(one.layer, one.tx.id) for one in said]
    with node.backend.view() as view:
        assert found == sorted((result.layer, id) for id, result in view.scan(RESULTS))
    assert len(found) > 50


def test_results_that_come_while_history_is_read_are_told_once(
    node: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "RESULTS_PART", 10)
    with node.backend.view() as view:
        stored = sorted(view.scan(RESULTS), key=lambda one: (one[1].layer, one[0]))
    known, (id, last) = stored[5], stored[-1]
    request = tx_types_pb2.TransactionResultsRequest(watch=True)
    stream = node.open(SERVICE + "TransactionService", "StreamResults", request.SerializeToString())
    node.runner.run(stream.more(most=3))
    later = replace(last, layer=LayerId(last.layer + 1))
    node.backend.bus.publish([TransactionDone(*stored[-2]), TransactionDone(id, last), TransactionDone(id, later)])
    node.runner.run(stream.more())
    found = [(one.layer, one.tx.id) for one in stream.answered.messages]
    assert found == [*((result.layer, id) for id, result in stored), (later.layer, id)]
    node.backend.bus.publish([TransactionDone(*known)])
    again = node.runner.run(stream.more())
    assert [one.tx.id for one in again] == [known[0]], "a layer that is executed once more is told once more"
    node.runner.run(stream.close())


def test_live_results_meet_all_of_the_filters(node: ServedNode) -> None:
    with node.backend.view() as view:
        (id, one), (other, _) = list(view.scan(RESULTS))[:2]
    base = replace(one, layer=LayerId(1000))
    request = tx_types_pb2.TransactionResultsRequest(
        watch=True, id=id, address=to_text(one.addresses[0], HRP), start=1000
    )
    stream = node.open(SERVICE + "TransactionService", "StreamResults", request.SerializeToString())
    node.runner.run(stream.more())
    node.backend.bus.publish(
        [
            TransactionDone(other, base),
            TransactionDone(id, replace(base, addresses=())),
            TransactionDone(id, replace(base, layer=LayerId(999))),
            TransactionDone(id, base),
        ]
    )
    assert [message.tx.id for message in node.runner.run(stream.more())] == [id]
    node.runner.run(stream.close())


# ---- states ----


class Followed:
    """One transaction through all its states, with a stream that follows it."""

    def __init__(self, node: ServedNode) -> None:
        self.node = node
        with node.backend.view() as view:
            self.id, self.result = next(iter(view.scan(RESULTS)))
            stored = view.get(TRANSACTIONS, self.id)
        assert stored is not None and stored.header is not None
        self.stored = stored
        self.facts = node.backend.facts
        node.backend.told = self.facts

    def take_back(self, rows: Rows) -> None:
        """As if it had never come."""
        rows.delete(RESULTS, self.id)
        rows.delete(TRANSACTIONS, self.id)
        for key in list(rows.keys(HELD)):
            if key[0] == self.id:
                rows.delete(HELD, key)

    def comes(self, rows: Rows) -> None:
        """Into the mempool, with a nonce that is still to be used."""
        header = replace(self.stored.header, nonce=1000)
        rows.put(TRANSACTIONS, self.id, replace(self.stored, header=header))
        rows.put(PENDING, (header.principal, 1000, self.stored.received, self.id), None)
        rows.put(UNAPPLIED, self.id, None)

    def into_block(self, rows: Rows) -> None:
        """Of the layer that comes next."""
        rows.put(HELD, (self.id, IN_BLOCK, LayerId(self.facts.applied + 1), BlockId(bytes(20))), None)

    def applied(self, rows: Rows) -> None:
        """In that layer."""
        rows.put(RESULTS, self.id, replace(self.result, layer=LayerId(self.facts.applied + 1)))

    def tell(self, status: LayerStatus) -> None:
        """Of that layer."""
        self.node.backend.bus.publish([LayerUpdated(LayerId(self.facts.applied + 1), status)])


@pytest.mark.parametrize("is_known", [True, False])
def test_a_transaction_is_followed_until_its_layer_is_confirmed(node: ServedNode, is_known: bool) -> None:
    """is_known: whether the node says of itself already that the layer is confirmed when that is told."""
    followed = Followed(node)
    node.backend.write(followed.take_back)
    asked = [types_pb2.TransactionId(id=followed.id), types_pb2.TransactionId(id=b"short")]
    request = tx_types_pb2.TransactionsStateStreamRequest(transaction_id=asked, include_transactions=True)
    stream = node.open(SERVICE + "TransactionService", "TransactionsStateStream", request.SerializeToString())

    def said() -> list[int]:
        messages = node.runner.run(stream.more())
        assert all(message.transaction.id == followed.id for message in messages)
        return [message.transaction_state.state for message in messages]

    assert said() == [] and stream.answered.has_headers
    node.backend.write(followed.comes)
    node.backend.bus.publish([TransactionAdded(followed.id, followed.stored.header.principal)])
    assert said() == [State.TRANSACTION_STATE_MEMPOOL]
    node.backend.write(followed.into_block)
    followed.tell(LayerStatus.OPENED)
    assert said() == []
    followed.tell(LayerStatus.APPROVED)
    assert said() == [State.TRANSACTION_STATE_MESH]
    node.backend.write(followed.applied)
    followed.tell(LayerStatus.APPLIED)
    assert said() == [], "applied, but not confirmed: still in the mesh"
    if is_known:
        facts: Facts = followed.facts
        node.backend.told = replace(facts, applied=LayerId(facts.applied + 1), verified=LayerId(facts.applied + 1))
    followed.tell(LayerStatus.CONFIRMED)
    assert said() == [State.TRANSACTION_STATE_PROCESSED]
    followed.tell(LayerStatus.APPLIED)
    assert said() == [], "nothing is said twice"
    node.runner.run(stream.close())


def test_a_stream_of_states_begins_with_what_is_known(node: ServedNode) -> None:
    followed = Followed(node)
    request = tx_types_pb2.TransactionsStateStreamRequest(transaction_id=[types_pb2.TransactionId(id=followed.id)])
    stream = node.open(SERVICE + "TransactionService", "TransactionsStateStream", request.SerializeToString())
    (message,) = node.runner.run(stream.more())
    assert message.transaction_state.state == State.TRANSACTION_STATE_PROCESSED
    assert not message.HasField("transaction")
    node.runner.run(stream.close())


def test_whose_nonce_another_one_has_used_is_ineffectual(node: ServedNode) -> None:
    followed = Followed(node)

    def used(rows: Rows) -> None:
        followed.take_back(rows)
        followed.comes(rows)
        header = replace(followed.stored.header, nonce=0)
        rows.put(TRANSACTIONS, followed.id, replace(followed.stored, header=header))

    node.backend.write(used)
    request = tx_types_pb2.TransactionsStateRequest(transaction_id=[types_pb2.TransactionId(id=followed.id)])
    answered = node.answer(SERVICE + "TransactionService", "TransactionsState", request.SerializeToString())
    (state,) = answered.messages[0].transactions_state
    assert state.state == State.TRANSACTION_STATE_INEFFECTUAL


def test_recent_user_events_come_first_none_left_out_and_none_twice(node: ServedNode) -> None:
    def event(epoch: int) -> UserEvent:
        return UserEvent(admin_types_pb2.Event(beacon=admin_types_pb2.EventBeacon(epoch=epoch)))

    node.backend.bus.publish(event(epoch) for epoch in range(150))
    stream = opened(node, user_events(node))
    node.runner.run(stream.more(most=30))
    node.backend.bus.publish(event(epoch) for epoch in range(150, 170))
    node.runner.run(stream.more())
    assert [message.beacon.epoch for message in stream.answered.messages] == list(range(50, 170))
    node.runner.run(stream.close())
