"""What the services of `spacemesh.v1` answer to recorded requests, called in process: api/grpc_*.json, checkpoints.

The chains are those of chain/devnet_*.json. Where one has only what the ledger needs, answers about activations and
ballots are left out.

Status, shape and values are those of the record, and the text of an error, but by these rules:

| rule | where | what holds |
|---|---|---|
| cause | an address, or a transaction, cannot be read | the text begins as recorded, and names the same cause |
| told | peers, this node's addresses, user events | what ports and bus are told comes out; `help` is for people |
| waits | a stream of what is still to come | headers at once, the recorded messages, and it goes on |
| past sets | the active set of a past epoch, which the recorded node has forgotten when it started again | the set |
| shape | a running node, at a time that is not recorded | the answer fits: the same fields, lists of the same kind |
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from api.config.node import overlay
from api.edge.rpc import Status
from api.services.node.backend import NetworkFacts, PeerFacts, Traffic
from api.services.node.bus import Bus
from api.services.node.events import UserEvent
from node.activation.tables import StoredAtx, put_atx
from node.malfeasance.tables import PROOFS, StoredProof
from node.migration.take import Taker, take_all
from node.runtime.facts import Facts
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import admin_types_pb2, types_pb2
from protocol.types.activation import EpochActiveSet
from protocol.types.address import from_text
from protocol.types.ids import AtxId, EpochId, NodeId
from tests.support.calling import Answered
from tests.support.imported_chain import chain_records
from tests.support.node_backend import Company
from tests.support.served_v1 import SERVICES, ServedNode, response_class, shown
from tests.vector_cases.chain_replay import SECTIONS
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, load, vectors

Call = dict[str, Any]

CAUSES = (
    "error decoding bech32",
    "unsupported network",
    "wrong address length",
    "missing reserved space",
    "malformed tx",
    "overflows tx limit",
)
"""What is compared of a text that says more than the cause."""
EVENTS = ("spacemesh.v1.AdminService", "EventsStream")
PEERS = ("spacemesh.v1.AdminService", "PeerInfoStream")
NETWORK = ("spacemesh.v1.DebugService", "NetworkInfo")
ACTIVE_SET = ("spacemesh.v1.DebugService", "ActiveSet")
CHECKPOINT = ("spacemesh.v1.AdminService", "CheckpointStream")
STATUS = ("spacemesh.v1.NodeService", "Status")
WAITING = frozenset(
    (
        "StatusStream", "ErrorStream", "AccountMeshDataStream", "LayerStream", "MalfeasanceStream", "AccountDataStream",
        "GlobalStateStream", "TransactionsStateStream", "EventsStream", "ProposalsStream",
    )
)  # fmt: skip
"""Streams of what is still to come."""
MORE_THAN_THE_LEDGER = frozenset(("Status", "EpochStream", "Get", "Highest", "ActiveSet", "CheckpointStream"))
FORGOTTEN = "empty active set"
TAKEN = "file already exist"

# ---- the judgement ----


class Judge:
    """What a node answers beside what a record says."""

    def __init__(self, node: ServedNode, chain: Any) -> None:
        self.node = node
        self._chain = chain

    def same(self, one: Call) -> None:
        """The answer is the recorded one, by the rules above."""
        key, expected = (one["service"], one["method"]), messages_of(one)
        self._tell(key, one, expected)
        answered = self._ask(one, len(expected))
        code = one.get("code") or 0
        if key == ACTIVE_SET and FORGOTTEN in one.get("message", "") and answered.messages:
            self._past_set(answered)
            return
        assert answered.status == code, (
            f"{answered.status.name} {answered.text!r}, expected {code} {one.get('message')}"
        )
        if code:
            same_text(answered.text, one["message"])
        found = [shown(message) for message in answered.messages]
        if key == EVENTS:
            found = [{name: value for name, value in event.items() if name != "help"} for event in found]
        assert found == expected, f"{_cut(found)}, expected {_cut(expected)}"
        if one["method"] in WAITING and not code:
            assert answered.has_headers, "no headers before the first message"
            assert answered.is_open or len(expected) >= 1, "the stream has ended"

    def _ask(self, one: Call, count: int) -> Answered:
        is_cut = one.get("ended_by", "").startswith("client (")
        return self.node.answer(
            one["service"],
            one["method"],
            bytes.fromhex(one["request_hex"]),
            most=count if is_cut else None,
            ends=(one["service"], one["method"]) == CHECKPOINT,
        )

    def _tell(self, key: tuple[str, str], one: Call, expected: list[Any]) -> None:
        """What comes from outside the rows."""
        backend = self.node.backend
        if key == EVENTS:
            backend.bus = Bus(self.node.runner.get_loop())
            backend.bus.publish(UserEvent(json_format.ParseDict(event, admin_types_pb2.Event())) for event in expected)
        elif key == NETWORK:
            backend.peering = Company(_network(expected[0]))
        elif key == PEERS:
            backend.peering = Company(peers=[_peer(peer) for peer in expected])
        elif key == STATUS:
            peers = int(expected[0]["status"]["connectedPeers"])
            backend.peering = Company(peers=[PeerFacts(str(number), (), 0, False) for number in range(peers)])
        elif key == CHECKPOINT and TAKEN in one.get("message", ""):
            folder = Path(backend.config.main.data_folder) / "checkpoint"
            folder.mkdir(exist_ok=True)
            (folder / one["message"].rpartition("/")[2]).touch()

    def _past_set(self, answered: Answered) -> None:
        """The set of an epoch is one of those that the chain has of it."""
        ids = [AtxId(one.id) for one in answered.messages[0].ids]
        sets = [EpochActiveSet.codec.decode(bytes.fromhex(row["encoded"])).set for row in self._chain["activesets"]]
        assert any(set(ids) == set(one) for one in sets), f"{len(ids)} ids, which are no active set of the chain"


def messages_of(one: Call) -> list[Any]:
    """What was answered, as JSON; raw answers are bytes alone."""
    if one.get("kind") == "raw" and not one["code"]:
        answer = response_class(one["service"], one["method"])()
        answer.ParseFromString(bytes.fromhex(one["response_hex"]))
        return [shown(answer)]
    if "responses" in one:
        return [entry["response"] for entry in one["responses"]]
    return [one["response"]] if "response" in one else []


def same_text(found: str, expected: str) -> None:
    """The texts are equal, or name the same cause, after the same words before it."""
    if found == expected:
        return
    lead, mark, _ = expected.partition("`: ")
    cause = next((cause for cause in CAUSES if cause in expected), None)
    begins = found.startswith(lead + mark) if mark else True
    if TAKEN in expected:
        lead, cause, begins = "", TAKEN, found.startswith(expected.partition(TAKEN)[0])
    assert cause is not None and cause in found and begins, f"{found!r}, expected {expected!r}"


def _network(said: Any) -> NetworkFacts:
    return NetworkFacts(
        said["id"],
        tuple(reversed(said["listenAddresses"])),
        tuple(reversed(said["knownAddresses"])),
        said["dhtServerEnabled"],
        {
            name: Traffic(
                sent_bytes=int(of["bytesSent"]),
                received_bytes=int(of["bytesReceived"]),
                send_rates=_rates(of["sendRate"]),
                receive_rates=_rates(of["recvRate"]),
            )
            for name, of in said["stats"].items()
        },
    )


def _peer(said: Any) -> PeerFacts:
    message = json_format.ParseDict(said, admin_types_pb2.PeerInfo())
    client, server = message.client_stats, message.server_stats
    (connection,) = message.connections
    return PeerFacts(
        id=message.id,
        addresses=(connection.address,),
        connected_ns=connection.uptime.ToNanoseconds(),
        is_outbound=connection.outbound,
        tags=tuple(message.tags),
        asked=Traffic(
            sent_bytes=message.bytes_sent,
            receive_rates=_rates(message.recv_rate),
            successes=client.success_count,
            failures=client.failure_count,
            latency_ns=client.latency.ToNanoseconds(),
        ),
        asking=Traffic(
            received_bytes=message.bytes_received,
            send_rates=_rates(message.send_rate),
            successes=server.success_count,
            failures=server.failure_count,
            latency_ns=server.latency.ToNanoseconds(),
        ),
    )


def _rates(said: Iterable[Any]) -> tuple[int, int]:
    found = [int(one) for one in said] or [0, 0]
    return found[0], found[1]


def _cut(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 300 else text[:300] + "..."


# ---- which node ----


def chains(context: Context) -> list[Any]:
    """The recorded chains, those with the most layers first."""
    found = [load(path) for path in (context.root / "chain").glob("devnet_*.json*") if "trace" not in path.name]
    if not found:
        raise NotUnderstood("there is no chain/devnet_*.json, whose configuration the recorded nodes had")
    return sorted(found, key=lambda one: -len(one["layers"]))


def document_of(meta: Any, context: Context) -> Any:
    """The recorded chain of the network that a file is from; where none is there, any other, for its configuration."""
    found = chains(context)
    of_network = [one for one in found if one["meta"]["genesis_id"] == meta["genesis_id"]] or found
    config = next(one["config"] for one in (*of_network, *found) if "config" in one)
    whole = of_network[0]
    return {"config": config, **(whole if "ballots" in whole else {**whole, "atxs": ()})}


def config_of(meta: Any, document: Any) -> Config:
    """The configuration of the node: that of the chain, with the genesis that the file names."""
    config: Config = overlay(networks.BY_NAME[document["config"]["preset"]], document["config"])
    if "genesis_time" not in meta or meta["genesis_time"] == document["config"]["genesis"]["genesis-time"]:
        return config
    other = {**document["config"], "genesis": {**document["config"]["genesis"], "genesis-time": meta["genesis_time"]}}
    return overlay(networks.BY_NAME[document["config"]["preset"]], other)


def take_all_of(node: ServedNode, chain: Any) -> None:
    """Fill the stores of a node with a recorded chain."""
    records = chain_records({**dict.fromkeys(SECTIONS, ()), **chain})
    for _ in take_all(node.backend.stores, Taker(), records):
        pass


def ours(document: Any) -> Iterator[tuple[str, Call]]:
    """The calls of the services that are judged here, by their names; those past a client's own code among them."""
    for place, one in enumerate(document["transcripts"]):
        if one.get("kind") == "raw":
            _, service, method = one["path"].split("/")
            if service not in SERVICES or one["code"] == Status.INTERNAL or "unknown" in one.get("message", ""):
                continue  # which methods there are, and what no message is, is said before a service is called
            one = {**one, "service": service, "method": method}
        if one.get("service") in SERVICES:
            yield f"served[{place}] {one['method']}: {one['name']}", one


# ---- the files ----


@vectors("api/grpc_static_*.json", variants=False)
def static(document: Any, context: Context) -> Iterator[Case | Later]:
    """A node on a finished chain, without peers."""
    chain = document_of(document["meta"], context)
    with asyncio.Runner() as runner:
        node = ServedNode(config_of(document["meta"], chain), runner, context.temporary("node"))
        take_all_of(node, chain)
        node.backend.at_layer(document["meta"]["layer_at_start"])
        for name, one in ours(document):
            if "ballots" in chain or one["method"] not in MORE_THAN_THE_LEDGER:
                yield Case(name, lambda one=one: Judge(node, chain).same(one))
            else:
                yield Later(name)


@vectors("api/grpc_before_genesis*.json", variants=False)
def before_genesis(document: Any, context: Context) -> Iterator[Case | Later]:
    """A node that is synced, since there is nothing yet."""
    meta = document["meta"]
    chain = document_of(meta, context)
    with asyncio.Runner() as runner:
        node = ServedNode(config_of(meta, chain), runner, context.temporary("node"))
        node.backend.at_layer(meta["layer_at_start"])
        assert node.backend.node, "it has started: the accounts of the genesis are there"
        genesis = node.backend.parameters.time.effective_genesis
        node.backend.told = Facts(True, True, genesis, genesis, genesis, genesis)
        for name, one in ours(document):
            yield Case(name, lambda one=one: Judge(node, chain).same(one))


@vectors("api/grpc_malfeasance.json", variants=False)
def malfeasance(document: Any, context: Context) -> Iterator[Case | Later]:
    """What a stored proof makes of answers. The activations of this network are those that the answers show."""
    meta = document["meta"]
    chain = document_of(meta, context)
    with asyncio.Runner() as runner:
        node = ServedNode(config_of(meta, chain), runner, context.temporary("node"))
        for row in meta["stored"]:
            proof = StoredProof(bytes.fromhex(row["proof"]), int(row["received_ns"]))
            smesher = NodeId(bytes.fromhex(row["smesher"]))
            node.backend.write(lambda rows, smesher=smesher, proof=proof: rows.put(PROOFS, smesher, proof))
        for name, one in ours(document):
            if one["method"] in ("MalfeasanceQuery", "MalfeasanceStream"):
                yield Case(name, lambda one=one: Judge(node, chain).same(one))
            elif one["method"] == "Get":
                yield Case(name, lambda one=one: _with_atx(node, chain, one))


def _with_atx(node: ServedNode, chain: Any, one: Call) -> None:
    said = json_format.ParseDict(one["response"]["atx"], types_pb2.Activation())
    stored = StoredAtx(
        smesher=NodeId(said.smesher_id.id),
        publish_epoch=EpochId(said.layer.number),
        sequence=said.sequence,
        coinbase=from_text(said.coinbase.address, node.backend.config.main.network_hrp),
        units=said.num_units,
        commitment_atx=None,
        vrf_nonce=0,
        base_height=0,
        ticks=0,
        weight=0,
        received=0,
        validity=0,
        version=1,
    )
    node.backend.write(lambda rows: put_atx(rows, AtxId(said.id.id), stored, None))
    answered = node.answer(one["service"], one["method"], bytes.fromhex(one["request_hex"]))
    # which activation it follows is not recorded beside it
    left_out = {"prevAtx", "previousAtxs"}
    found, expected = ({**shown_of["atx"]} for shown_of in (shown(answered.messages[0]), one["response"]))
    assert {**found, **dict.fromkeys(left_out)} == {**expected, **dict.fromkeys(left_out)}, f"{found}, {expected}"
    assert shown(answered.messages[0])["malfeasanceProof"] == one["response"]["malfeasanceProof"]


@vectors("api/checkpoint_*.json", variants=False)
def checkpoints(document: Any, context: Context) -> Iterator[Case | Later]:
    """A checkpoint of a chain is the recorded file, byte for byte. The later activations were not there yet."""
    last = max(atx["epoch"] for atx in document["data"]["atxs"])
    fields = json.loads(document["command"].split("'")[1])
    ids = {row["id"] for row in document["data"]["atxs"]}
    made_of = [one for one in chains(context) if "posts" in one and ids <= {_base64(row["id"]) for row in one["atxs"]}]
    if not made_of:
        yield Later("made from rows: no chain here has the activations of this checkpoint")
        return
    chain = made_of[0]
    with asyncio.Runner() as runner:
        node = ServedNode(config_of(chain["meta"], chain), runner, context.temporary("node"))
        known = {name: [row for row in chain[name] if row["publish_epoch"] <= last] for name in ("atxs", "posts")}
        take_all_of(node, {**chain, **known})
        yield Case("made from rows", lambda: _checkpoint(node, fields, document))


def _checkpoint(node: ServedNode, fields: dict[str, int], document: Any) -> None:
    request = json_format.ParseDict(fields, admin_types_pb2.CheckpointStreamRequest())
    answered = node.answer(*CHECKPOINT, request.SerializeToString(), ends=True)
    data = b"".join(message.data for message in answered.messages)
    assert data == json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()
