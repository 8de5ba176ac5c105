"""How recorded answers of `spacemesh.v1` are judged: which node answers, and by which rules an answer is the same.

| rule | where | what holds |
|---|---|---|
| cause | an address, or a transaction, cannot be read | the text begins as recorded, and names the same cause |
| told | peers, this node's addresses, user events | what ports and bus are told comes out; `help` is for people |
| waits | a stream of what is still to come | headers at once, the recorded messages, and it goes on |
| past sets | the active set of a past epoch, which the recorded node has forgotten when it started again | the set |
"""

from __future__ import annotations

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
from node.migration.take import Taker, take_all
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import admin_types_pb2
from protocol.types.activation import EpochActiveSet
from protocol.types.ids import AtxId
from tests.support.calling import Answered
from tests.support.imported_chain import chain_records
from tests.support.node_backend import Company
from tests.support.served_v1 import SERVICES, ServedNode, response_class, shown
from tests.vector_cases.chain_replay import SECTIONS
from tests.vector_cases.harness import Context, NotUnderstood, load

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
            backend.peering = Company(peers=peers(int(expected[0]["status"]["connectedPeers"])))
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


def peers(count: int) -> list[PeerFacts]:
    """So many, of whom nothing else is known."""
    return [PeerFacts(str(number), (), 0, False) for number in range(count)]


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


def in_base64(text: str) -> str:
    """Hexadecimal, as messages have it."""
    return base64.b64encode(bytes.fromhex(text)).decode()
