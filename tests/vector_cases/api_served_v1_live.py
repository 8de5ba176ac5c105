"""What the services of `spacemesh.v1` say of a running network: api/grpc_live_*.json and api/streams_*.json.

When each call was made is not recorded, so only some answers are the same; all others are of the same shape.

| answers | are |
|---|---|
| what a network is, and what ports are told | the same |
| refusals of requests that say something impossible | the same |
| of the past: earlier layers and epochs, activations, what was applied | the same, where the chain is here |
| transactions that the recording client had just handed in | left out: they are in no chain |
| all others | OK, with the same fields |

A stream is given the events of which it told, one after the other, and says the same of each. An account as it stood
then is put into the rows first; one with transactions that wait is left out, since those are not recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import json_format

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
    StatusChanged,
    TransactionAdded,
    TransactionDone,
    UserEvent,
)
from node.activation.tables import ATXS
from node.ledger import state
from node.ledger.tables import ACCOUNTS, LAST_APPLIED, LAYERS, RESULTS, REWARDS
from node.mempool.tables import PENDING, TRANSACTIONS
from node.mesh.tables import BALLOTS
from node.runtime.facts import Facts
from node.store.keys import ONLY
from node.store.view import Rows
from protocol.pb.spacemesh.v1 import (
    admin_types_pb2,
    debug_types_pb2,
    global_state_types_pb2,
    mesh_types_pb2,
    node_types_pb2,
    tx_types_pb2,
    types_pb2,
)
from protocol.types.address import from_text
from protocol.types.ids import (
    EMPTY_BLOCK_ID,
    AtxId,
    BallotId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    TransactionId,
)
from protocol.types.proposals import InnerProposal, Proposal
from protocol.types.transactions import Account, TransactionResult
from tests.support.calling import Open
from tests.support.node_backend import Company
from tests.support.served_v1 import SERVICES, ServedNode, response_class, shown
from tests.vector_cases.api_served_support import Call, Judge, chains, config_of, messages_of, ours, peers, take_all_of
from tests.vector_cases.harness import Case, Context, Later, not_understood, vectors

CONSTANT = frozenset(
    (
        "Echo", "Version", "Build", "NodeInfo", "GenesisTime", "GenesisID", "EpochNumLayers", "LayerDuration",
        "MaxTransactionsPerSecond", "NetworkInfo", "PeerInfoStream", "EventsStream", "ChangeLogLevel",
        "SmesherDataQuery", "SmesherRewardStream", "AppEventStream", "MalfeasanceQuery",
    )
)  # fmt: skip
"""Answers that do not depend on how far the chain is."""
IMPOSSIBLE = (Status.INVALID_ARGUMENT, Status.UNKNOWN)
BY_STATE = frozenset(("SubmitTransaction", "ParseTransaction"))
"""Who is refused depends on the state."""
SETTLED = 10
"""So many layers after it a layer does not change any more."""


@vectors("api/grpc_live_*.json", variants=False)
def live(document: Any, context: Context) -> Iterator[Case | Later]:
    """A node of a running network, asked everything within some layers."""
    meta = document["meta"]
    known = [one for one in chains(context) if one["meta"]["genesis_id"] == meta["genesis_id"] and "ballots" in one]
    chain = known[0] if known else None
    document_of_config = chain or next(one for one in chains(context) if "config" in one)
    with asyncio.Runner() as runner:
        node = ServedNode(config_of(meta, document_of_config), runner, context.temporary("node"))
        if chain is not None:
            take_all_of(node, chain)
        start = LayerId(meta["layer_at_start"])
        node.backend.at_layer(start)
        before = LayerId(start - 1)
        node.backend.told = Facts(True, True, start, before, before, before)
        for name, one in ours(document):
            if _is_of_session(one, chain):
                yield Later(name)
            elif one["method"] in CONSTANT or _is_impossible(one) or (chain is not None and _is_past(one, start)):
                yield Case(name, lambda one=one: Judge(node, chain or {}).same(one))
            elif chain is not None:
                yield Case(name, lambda one=one: _fits(node, one))


def _is_impossible(one: Call) -> bool:
    return one.get("code") in IMPOSSIBLE and one["method"] not in BY_STATE


def _is_of_session(one: Call, chain: Any) -> bool:
    """Whether it is about a transaction that was handed in a moment before."""
    if one["method"] == "SubmitTransaction":
        return True
    asked = one["request"].get("transaction_id", []) if isinstance(one.get("request"), dict) else []
    if one.get("code") or not asked or chain is None:
        return False
    said = [
        row for entry in messages_of(one) for row in entry.get("transactionsState", [entry.get("transactionState")])
    ]
    return any(row and row["state"] == "TRANSACTION_STATE_MEMPOOL" for row in said) or "Stream" in one["method"]


def _is_past(one: Call, start: LayerId) -> bool:
    """Whether the answer was settled when the calls began."""
    asked = one["request"]
    match one["method"]:
        case "LayersQuery":
            return int(asked.get("end_layer", {}).get("number", 0)) < start - SETTLED
        case "EpochStream":
            return int(asked.get("epoch", 0)) < 3
        case "Accounts":
            return 0 < int(asked.get("layer", 0)) < start - SETTLED
        case "Get" | "ParseTransaction" | "TransactionsState":
            return True
        case "StreamResults":
            return "id" in asked or 0 < int(asked.get("end", 0)) < start - SETTLED
        case _:
            return False


def _fits(node: ServedNode, one: Call) -> None:
    """The status is the same, and so are the fields."""
    is_live = one.get("ended_by", "").startswith("client") and not one.get("code")
    answered = node.answer(
        one["service"], one["method"], bytes.fromhex(one["request_hex"]), most=3 if is_live else None
    )
    code = one.get("code") or 0
    assert answered.status == code or code == Status.INTERNAL, f"{answered.status} {answered.text}, expected {code}"
    for found, expected in zip(answered.messages, messages_of(one)):
        _same_fields(shown(found), expected, one["method"])


def _same_fields(found: Any, expected: Any, path: str) -> None:
    assert type(found) is type(expected), f"{path}: {found!r}, expected {expected!r}"
    if isinstance(found, dict):
        # a transaction that no layer has applied has no layer
        names = (found.keys() ^ expected.keys()) - {"layerId"}
        assert not names, f"{path}: {', '.join(sorted(names))} in one only"
        for name in found.keys() & expected.keys():
            _same_fields(found[name], expected[name], f"{path}.{name}")
    elif isinstance(found, list):
        for one, other in zip(found, expected):
            _same_fields(one, other, f"{path}[]")


# ---- streams ----


@vectors("api/streams_*.json", variants=False)
def streams(document: Any, context: Context) -> Iterator[Case]:
    """Nine minutes of every stream: what is told of each event."""
    said = {bytes.fromhex(m["response_hex"]) for m in document["results-watch"]["messages"]}
    ids = {_parsed("TransactionService", "StreamResults", data).tx.id.hex() for data in said}
    known = [one for one in chains(context) if "ballots" in one and ids <= {row["id"] for row in one["transactions"]}]
    if not known:
        yield not_understood("streams", "no chain/devnet_*.json has the transactions of which these streams tell")
        return
    config = config_of({}, known[0])
    with asyncio.Runner() as runner:
        for name, entry in document.items():
            if entry.get("service") in SERVICES:
                node = ServedNode(config, runner, context.temporary(name))
                take_all_of(node, known[0])
                yield Case(f"told: {name}", lambda node=node, entry=entry: Followed(node, entry).check())


def _parsed(service: str, method: str, data: bytes) -> Any:
    message = response_class(f"spacemesh.v1.{service}", method)()
    message.ParseFromString(data)
    return message


class Followed:
    """A stream, and the events of which a record tells."""

    def __init__(self, node: ServedNode, entry: Any) -> None:
        self._node = node
        self._entry = entry
        self._results: dict[TransactionId, TransactionResult] = {}

    def check(self) -> None:
        """Each event is told as it was."""
        node, entry = self._node, self._entry
        node.backend.write(self._take_history_away)
        stream = node.open(entry["service"], entry["method"], bytes.fromhex(entry.get("request_hex") or ""))
        try:
            node.runner.run(stream.more())
            assert stream.answered.has_headers and not stream.answered.messages
            told = sum(self._tell(stream, row["response"]) for row in entry["messages"])
            assert stream.answered.is_open
            assert told or not entry["messages"], "none of the events is in the rows"
        finally:
            node.runner.run(stream.close())

    def _take_history_away(self, rows: Rows) -> None:
        """Results came while the stream was open, and no transaction waited of which it told."""
        for id, result in list(rows.scan(RESULTS)):
            self._results[id] = result
            rows.delete(RESULTS, id)
        for key in list(rows.keys(PENDING)):
            rows.delete(PENDING, key)
        if self._entry["method"] == "StreamResults":
            for layer in list(rows.keys(LAYERS)):
                rows.delete(LAYERS, layer)
            rows.delete(LAST_APPLIED, ONLY)

    def _tell(self, stream: Open, expected: Any) -> bool:
        """Whether the event is in the rows; then it is told as it was."""
        kind = response_class(self._entry["service"], self._entry["method"])
        event = self._event(json_format.ParseDict(expected, kind()))
        if event is None:
            return False
        self._node.backend.bus.publish([event])
        found = [shown(message) for message in self._node.runner.run(stream.more())]
        for one in found:
            one.pop("help", None)  # is for people
            one.get("error", {}).pop("module", None)  # never set
        assert found == [expected], f"{found}, expected {expected}"
        return True

    def _event(self, message: Any) -> Event | None:
        """Of which a message tells; None: it is not in the rows."""
        match message:
            case node_types_pb2.StatusStreamResponse():
                return self._status(message.status)
            case node_types_pb2.ErrorStreamResponse():
                error = message.error
                return NodeErred(error.level, error.msg, error.stack_trace)
            case mesh_types_pb2.LayerStreamResponse():
                return self._layer(message.layer)
            case mesh_types_pb2.AccountMeshDataStreamResponse():
                return self._mesh_data(message.datum)
            case (
                global_state_types_pb2.AccountDataStreamResponse() | global_state_types_pb2.GlobalStateStreamResponse()
            ):
                return self._state_data(message.datum)
            case tx_types_pb2.TransactionResult():
                id = TransactionId(message.tx.id)
                return TransactionDone(id, self._results[id]) if id in self._results else None
            case debug_types_pb2.Proposal():
                return self._proposal(message)
            case admin_types_pb2.Event():
                return UserEvent(message)
        raise AssertionError(f"{type(message).__name__} is not told of here")

    def _stored(self, table: Any, key: Any, make: Callable[[Any, Any], Event]) -> Event | None:
        with self._node.backend.view() as view:
            row = view.get(table, key)
        return None if row is None else make(key, row)

    def _status(self, said: node_types_pb2.NodeStatus) -> Event:
        backend = self._node.backend
        backend.peering = Company(peers=peers(said.connected_peers))
        backend.at_layer(said.top_layer.number)
        applied = LayerId(said.verified_layer.number)
        backend.told = Facts(said.is_synced, True, LayerId(said.synced_layer.number), applied, applied, applied)
        return StatusChanged()

    def _layer(self, said: types_pb2.Layer) -> Event | None:
        """What was not in the state yet is so where nothing is."""
        layer = LayerId(said.number.number)
        status = {
            types_pb2.Layer.LAYER_STATUS_UNSPECIFIED: LayerStatus.OPENED,
            types_pb2.Layer.LAYER_STATUS_APPROVED: LayerStatus.APPROVED,
            types_pb2.Layer.LAYER_STATUS_CONFIRMED: LayerStatus.CONFIRMED,
            types_pb2.Layer.LAYER_STATUS_APPLIED: LayerStatus.APPLIED,
        }[said.status]
        with self._node.backend.view() as view:
            applied = view.get(LAYERS, layer)
        is_there = applied is not None and applied.block != EMPTY_BLOCK_ID
        return LayerUpdated(layer, status) if is_there == bool(said.blocks) else None

    def _mesh_data(self, said: mesh_types_pb2.AccountMeshData) -> Event | None:
        if said.HasField("activation"):
            id = AtxId(said.activation.id.id)
            return self._stored(ATXS, id, lambda key, row: AtxAdded(key))
        transaction = said.mesh_transaction.transaction
        principal = from_text(transaction.principal.address, self._node.backend.config.main.network_hrp)
        id_of = TransactionId(transaction.id)
        return self._stored(TRANSACTIONS, id_of, lambda key, row: TransactionAdded(key, principal))

    def _state_data(self, said: Any) -> Event | None:
        match said.WhichOneof("datum"):
            case "reward":
                reward = said.reward
                key = LayerId(reward.layer.number), NodeId(reward.smesher.id)
                return self._stored(REWARDS, key, lambda key, row: RewardPaid(row))
            case "global_state":
                event = LayerUpdated(LayerId(said.global_state.layer.number), LayerStatus.APPLIED)
                with self._node.backend.view() as view:
                    root = state.state_hash(view, event.layer) or Hash32(bytes(32))
                return event if root == said.global_state.root_hash else None
            case _:
                return self._account(said.account_wrapper)

    def _account(self, said: global_state_types_pb2.Account) -> Event | None:
        """As it stood then."""
        if said.state_current != said.state_projected:
            return None
        address = from_text(said.account_id.address, self._node.backend.config.main.network_hrp)
        account = Account(LayerId(0), address, said.state_current.counter, said.state_current.balance.value)
        self._node.backend.write(lambda rows: rows.put(ACCOUNTS, address, account))
        return AccountChanged(address)

    def _proposal(self, said: debug_types_pb2.Proposal) -> Event | None:
        status = ProposalStatus.CREATED if said.status == debug_types_pb2.Proposal.Created else ProposalStatus.INCLUDED

        def seen(key: BallotId, ballot: Any) -> Event:
            proposal = Proposal(InnerProposal(ballot, (), Hash32(bytes(32))), EdSignature(bytes(64)))
            return ProposalSeen(ProposalId(said.id[:20]), proposal, status)

        return self._stored(BALLOTS, BallotId(said.ballot[:20]), seen)
