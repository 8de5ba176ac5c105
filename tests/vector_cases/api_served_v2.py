"""What a node of ours answers to the requests of `api/grpc_*.json` that go to spacemesh.v2alpha1, and the same requests
to v2beta1, whose answers are to be the same: code, shape and values. Protocol 10-api, section 4.

The finished chain is imported, a node before genesis has nothing but its genesis, and whoever was convicted is stored;
the clock stands at the layer at which the recording began.

| where we differ on purpose | rule |
|---|---|
| methods that the reference does not have | `Highest`, `TransactionStreamService`, all of v2beta1: answered here |
| `tx_state` of a transaction whose nonce another one has used | INEFFECTUAL; the reference says MEMPOOL for ever |
| the order of rewards of one layer | by smesher; the reference has none |
| a stream that watches | goes on until its client leaves; the reference ends some of them |
| texts of errors | ours, but for those that 10-api names |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import json_format, message_factory

from api.config.node import overlay
from api.edge.rpc import Failed, Status
from api.services.node.backend import PeerFacts
from api.services.node.v2.package import V2ALPHA1, V2BETA1, Package
from api.services.node.v2.services import SERVICES
from node.ledger import state
from node.malfeasance.tables import PROOFS, StoredProof
from node.mempool import transactions
from node.migration.records import Atx
from node.migration.take import Taker, take_all
from node.queries import layers
from node.runtime.facts import Facts
from node.store.view import Rows
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.types.ids import LayerId, NodeId, TransactionId
from tests.support.calling import Open
from tests.support.imported_chain import WHOLE, chain_records
from tests.support.node_backend import Company, StoresBackend
from tests.vector_cases.harness import Case, Context, Later, load, vectors

BEGINNING = "chain/devnet_a_63.json.gz"
SECTIONS = ("posts", "poet_proofs", "ballots", "activesets", "beacons", "certificates", "malfeasance", "marriages",
            "block_transactions")  # fmt: skip
FIRST = "spacemesh.v2alpha1."
PACKAGES = (V2ALPHA1, V2BETA1)
TEXTS = (
    "limit must be set to <= 100",
    "limit is capped at 100",
    "transaction is empty",
    "signature is invalid",
    "account is not spawned",
    "Cannot submit transaction, node is not in sync yet, try again later",
    "Failed to verify transaction: insufficient balance",
    "Failed to verify transaction: bad nonce",
    "Failed to verify transaction: tx already exists",
)
"""What clients show, or what is said of a request's form."""
OURS = {("ActivationService", "Highest"), ("TransactionStreamService", "Stream")}
"""Methods that only we have."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Served:
    """What one call came to."""

    code: int
    message: str
    answers: list[dict[str, Any]]
    is_open: bool = False
    """Whether a stream waits for more."""


class Node:
    """The services of both packages over one backend."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], StoresBackend]) -> None:
        self._loop = asyncio.new_event_loop()
        self.backend = make(self._loop)
        self._calls = {
            (package.name, service): calls(self.backend, package)
            for package in PACKAGES
            for service, calls in SERVICES.items()
        }

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """A coroutine to its end."""
        return self._loop.run_until_complete(work)

    def method(self, package: Package, service: str, method: str) -> Any:
        """One of the methods."""
        return self._calls[package.name, service][method]

    def call(self, package: Package, service: str, method: str, request: bytes, most: int | None) -> Served:
        """The answer to a request. most: messages of a stream after which its client leaves."""
        descriptor = package.services[service].methods_by_name[method]
        message = message_factory.GetMessageClass(descriptor.input_type).FromString(request)
        call = self.method(package, service, method)
        try:
            if not descriptor.server_streaming:
                return Served(Status.OK, "", [shown(self.run(call(message)))])
            return self.run(_taken(Open({method: call}, method, message), most))
        except Failed as error:
            return Served(error.status, error.message, [])


async def _taken(stream: Open, most: int | None) -> Served:
    """What comes of a stream until it waits, or so many messages."""
    await stream.more(most)
    await stream.close()
    answered = stream.answered
    return Served(answered.status, answered.text, list(map(shown, answered.messages)), answered.is_open)


def shown(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


# ---- the nodes that were recorded ----


def chain_of(root: Path) -> tuple[Any, Config]:
    """The recorded chain and its settings. Where only what the ledger needs is there, its beginning has them."""
    document = load(_file(root, WHOLE))
    if "config" not in document:
        document = {**dict.fromkeys(SECTIONS, ()), **document, "config": load(_file(root, BEGINNING))["config"]}
        document["atxs"] = [{**row, "encoded": ""} for row in document["atxs"]]
    return document, overlay(networks.BY_NAME[document["config"]["preset"]], document["config"])


def _file(root: Path, name: str) -> Path:
    """A file with ".gz" or without."""
    return next(path for path in (root / name, root / f"{name}.gz", root / name.removesuffix(".gz")) if path.is_file())


def static(document: Any, config: Config, meta: dict[str, Any]) -> Node:
    def make(loop: asyncio.AbstractEventLoop) -> StoresBackend:
        backend = StoresBackend(config, loop=loop)
        given = (one._replace(atx=one.atx or None) if isinstance(one, Atx) else one for one in chain_records(document))
        for _ in take_all(backend.stores, Taker(), given):
            pass
        backend.at_layer(meta["layer_at_start"])
        with backend.view() as view:  # also where the ballots of the last layers are not there
            newest = layers.newest(view, LayerId(backend.parameters.time.effective_genesis))
        backend.told = replace(backend.facts, latest=newest)
        return backend

    return Node(make)


def _before_genesis(config: Config, meta: dict[str, Any]) -> Node:
    def make(loop: asyncio.AbstractEventLoop) -> StoresBackend:
        peers = [PeerFacts(f"peer {number}", (), 0, True) for number in range(3)]
        backend = StoresBackend(config, loop=loop, company=Company(peers=peers))
        backend.at_layer(meta["layer_at_start"])
        assert backend.node.parameters, "it has started, and its genesis is stored"
        genesis = LayerId(backend.parameters.time.effective_genesis)
        backend.told = Facts(True, True, genesis, genesis, genesis, genesis)
        return backend

    return Node(make)


def _convicted(config: Config, meta: dict[str, Any]) -> Node:
    def make(loop: asyncio.AbstractEventLoop) -> StoresBackend:
        backend = StoresBackend(config, loop=loop)

        def put(rows: Rows) -> None:
            for row in meta["stored"]:
                rows.put(PROOFS, NodeId(bytes.fromhex(row["smesher"])), StoredProof(bytes.fromhex(row["proof"]), 1))

        backend.write(put)
        return backend

    return Node(make)


# ---- the cases ----


@vectors(
    "api/grpc_static_chain_a.json",
    "api/grpc_before_genesis.json",
    "api/grpc_before_genesis_observer.json",
    "api/grpc_malfeasance.json",
    variants=False,
)
def served(document: Any, context: Context) -> Iterator[Case | Later]:
    meta = document["meta"]

    @cache
    def node() -> Node:
        chain, config = chain_of(context.root)
        if meta.get("phase") == "static":
            return static(chain, config, meta)
        return _before_genesis(config, meta) if meta.get("phase") == "pregenesis" else _convicted(config, meta)

    for position, call in enumerate(document["transcripts"]):
        service, method = call.get("service"), call.get("method")
        if service is None and "path" in call:
            _, service, method = call["path"].split("/")
        if service is None or not service.startswith((FIRST, f"{V2BETA1.name}.")):
            continue
        for package in PACKAGES:
            name = f"transcripts[{position}] by {package.name}"
            if "stored" in meta and "Malfeasance" not in service:
                yield Later(name)  # of that network nothing but the proofs was recorded
                continue
            yield Case(
                name,
                lambda package=package, call=call, service=service, method=method: _check(
                    node(), package, service.rpartition(".")[2], method, call, meta
                ),
            )


def _check(node: Node, package: Package, service: str, method: str, call: dict[str, Any], meta: dict[str, Any]) -> None:
    is_stream = "responses" in call
    most = len(call["responses"]) if is_stream and call.get("ended_by") != "server" else None
    is_ours = (service, method) in OURS or call.get("path", "").startswith(f"/{V2BETA1.name}")
    found = node.call(package, service, method, bytes.fromhex(call["request_hex"] or ""), most or None)
    code = call.get("code") or 0
    if is_ours:
        assert code == Status.UNIMPLEMENTED and found.code == Status.OK, found
        return
    assert found.code == code, f"{Status(found.code).name} {found.message}, expected {call.get('code_name')}"
    if call.get("message") in TEXTS:
        assert found.message == call["message"]
    if is_stream:
        if call.get("ended_by") == "server":
            assert found.is_open == bool(call["request"].get("watch")) or code
        elif not call["responses"]:
            assert found.is_open, "the stream is at its end"
        expected = [one["response"] for one in call["responses"]]
        _compare(node, service, found.answers, expected, meta)
    elif code == Status.OK:
        field, *_ = [*found.answers[0], ""]
        if isinstance(found.answers[0].get(field), list):
            assert found.answers[0].keys() == call["response"].keys()
            _compare(node, service, found.answers[0][field], call["response"][field], meta)
        else:
            _compare(node, service, found.answers, [call["response"]], meta)


def _compare(node: Node, service: str, found: list[Any], expected: list[Any], meta: dict[str, Any]) -> None:
    if service.startswith("Reward"):
        _compare_rewards(node, found, expected)
        return
    for one in expected:
        _take_state(node, one)
    assert len(found) == len(expected), f"{len(found)} answers, expected {len(expected)}"
    for place, (ours, theirs) in enumerate(zip(found, expected)):
        if "currentLayer" in theirs:  # the clock of the recording went on
            ours, theirs = dict(ours), dict(theirs)
            assert meta["layer_at_start"] == ours.pop("currentLayer") <= theirs.pop("currentLayer")
        assert ours == theirs, f"answer {place}: {ours}, expected {theirs}"


def _take_state(node: Node, expected: dict[str, Any]) -> None:
    """What we say of a transaction that waits for ever."""
    if expected.get("txState") != "TRANSACTION_STATE_MEMPOOL":
        return
    with node.backend.view() as view:
        id = TransactionId(json_format.ParseDict({"id": expected["tx"]["id"]}, V2ALPHA1.Transaction()).id)
        known = transactions.get(view, id)
        assert known is not None and known.header is not None
        if state.nonce_and_balance(view, known.header.principal)[0] > known.header.nonce:
            expected["txState"] = "TRANSACTION_STATE_INEFFECTUAL"


def _compare_rewards(node: Node, found: list[Any], expected: list[Any]) -> None:
    """Layers in their order; of a layer that is whole, the same rewards; of one that is cut, rewards of it."""
    layers = [reward["layer"] for reward in found]
    assert layers == [reward["layer"] for reward in expected]
    by_layer = {layer: list(group) for layer, group in groupby(found, key=lambda reward: reward["layer"])}
    for layer, group in groupby(expected, key=lambda reward: reward["layer"]):
        theirs = list(group)
        with node.backend.view() as view:
            whole = len(state.rewards(view, LayerId(layer)))
        if len(theirs) == whole:
            assert sorted(by_layer[layer], key=str) == sorted(theirs, key=str)
        else:
            known = {str(sorted(reward.items())) for reward in theirs}
            assert len({str(sorted(reward.items())) for reward in by_layer[layer]}) == len(known)
