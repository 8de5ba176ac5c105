"""What the services of spacemesh.v2alpha1 say of a running network: api/grpc_live_*.json and api/streams_*.json.

When each call was made is not recorded, and the chain went on. So of the network whose chain is here:

| recorded | holds of ours |
|---|---|
| refusals, what a network is, what bytes mean | the same |
| rows that do not change: activations, rewards, applied transactions, verified layers, past accounts | the same |
| rows of a list | in the same order among all rows that the filters give |
| messages of a stream that watched | told of the same event in the same words |
| a transaction that the recording client had just handed in, the state of one that waited | left out |

Of another network the refusals of what is impossible, and what the network is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from google.protobuf import json_format, message_factory

from api.config.node import overlay
from api.edge.rpc import Status
from api.services.node.events import AtxAdded, RewardPaid
from api.services.node.v2.package import V2ALPHA1
from node.activation.tables import ATXS
from node.ledger import state
from node.ledger.tables import REWARDS
from node.queries import transactions
from node.runtime.facts import Facts
from protocol.params.config import networks
from protocol.types.address import from_text
from protocol.types.ids import AtxId, LayerId, NodeId, TransactionId
from tests.support.calling import Open
from tests.support.node_backend import StoresBackend
from tests.vector_cases.api_served_v2 import Node, chain_of, shown, static
from tests.vector_cases.harness import Case, Context, Later, vectors

SETTLED = 10
"""So many layers after it a layer does not change any more."""
BY_STATE = frozenset(("SubmitTransaction", "ParseTransaction", "EstimateGas"))
"""Whether they are refused depends on the state."""
OURS = ("TransactionStreamService", "Stream")


@vectors("api/grpc_live_*.json", variants=False)
def live(document: Any, context: Context) -> Iterator[Case | Later]:
    meta = document["meta"]
    chain, config = chain_of(context.root)
    is_here = chain["meta"]["genesis_id"] == meta["genesis_id"]

    @cache
    def node() -> Node:
        if is_here:
            made = static(chain, config, meta)
        else:
            settings = {
                **chain["config"],
                "genesis": {**chain["config"]["genesis"], "genesis-time": meta["genesis_time"]},
            }
            other = overlay(networks.BY_NAME[chain["config"]["preset"]], settings)
            made = Node(lambda loop: StoresBackend(other, loop=loop))
        layer = LayerId(meta["layer_at_start"])
        made.backend.told = Facts(True, True, layer, layer, layer, layer)
        return made

    for position, call in enumerate(document["transcripts"]):
        service, method = call.get("service") or "", call.get("method")
        if not service.startswith(f"{V2ALPHA1.name}."):
            continue
        name = f"settled[{position}] {method}: {call['name']}"
        key = service.rpartition(".")[2], method
        is_constant = key[0] == "NetworkService" or (
            call.get("code") == Status.INVALID_ARGUMENT and method not in BY_STATE
        )
        if key == OURS or method == "SubmitTransaction" or not (is_here or is_constant):
            yield Later(name)
            continue
        yield Case(name, lambda key=key, call=call: Check(node(), *key, call, meta).check())


class Check:
    """One recorded call."""

    def __init__(self, node: Node, service: str, method: str, call: dict[str, Any], meta: dict[str, Any]) -> None:
        self._node, self._service, self._method, self._call = node, service, method, call
        self._settled_before = meta["layer_at_start"] - SETTLED
        self._request = bytes.fromhex(call["request_hex"] or "")

    def check(self) -> None:
        """What was recorded holds of ours."""
        call, node = self._call, self._node
        watches = bool(call["request"].get("watch")) if isinstance(call["request"], dict) else False
        code = call.get("code") or 0
        found = node.call(V2ALPHA1, self._service, self._method, self._request, 100 if watches else None)
        assert found.code == code, f"{Status(found.code).name} {found.message}, expected {call.get('code_name')}"
        if code:
            return
        if "responses" in call:
            self._rows([one["response"] for one in call["responses"]], found.answers)
        elif self._method == "List":
            (field,) = call["response"]
            self._rows(call["response"][field], self._walk(field))
        elif self._method == "Status":
            assert found.answers[0].keys() == call["response"].keys()
        elif self._method == "ActivationsCount":
            count = call["response"]["count"]
            is_settled = "epoch" in call["request"]
            assert found.answers[0]["count"] == count if is_settled else found.answers[0]["count"] >= count
        else:
            assert found.answers == [call["response"]], f"{found.answers}, expected {call['response']}"

    def _walk(self, field: str) -> list[Any]:
        """All rows that the filters give."""
        kind = V2ALPHA1.services[self._service].methods_by_name[self._method].input_type
        request = message_factory.GetMessageClass(kind).FromString(self._request)
        rows: list[Any] = []
        request.offset, request.limit = 0, 100
        while page := self._node.call(V2ALPHA1, self._service, self._method, request.SerializeToString(), None).answers:
            if not page[0][field]:
                break
            rows += page[0][field]
            request.offset += 100
        return rows

    def _rows(self, recorded: list[Any], ours: list[Any]) -> None:
        """Each settled row is ours, and they are in the same order."""
        keyed = {_key(row): (place, row) for place, row in enumerate(ours)}
        places = []
        for row in recorded:
            if self._service.startswith("Account"):
                self._account(row)
                continue
            if self._is_open(row):
                continue
            place, found = keyed[_key(row)]
            places.append(place)
            assert _settled(found) == _settled(row), f"{_settled(found)}, expected {_settled(row)}"
        if self._service.startswith("Reward"):  # those of one layer are in no order
            places = [ours[place]["layer"] for place in places]
            is_descending = self._call["request"].get("sort_order") == "DESC"
            places = [-layer for layer in places] if is_descending else places
        assert places == sorted(places), "the rows are in another order"

    def _is_open(self, row: dict[str, Any]) -> bool:
        """Whether it may be another one by now."""
        if "tx" in row:
            with self._node.backend.view() as view:
                id = json_format.ParseDict({"id": row["tx"]["id"]}, V2ALPHA1.Transaction()).id
                known = transactions.find(view, TransactionId(id))
            return known is None or known.result is None or known.result.layer >= self._settled_before
        return "number" in row and row["number"] >= self._settled_before

    def _account(self, row: dict[str, Any]) -> None:
        """As it was after the layer that it names."""
        backend, current = self._node.backend, row["current"]
        with backend.view() as view:
            address = from_text(row["address"], backend.config.main.network_hrp)
            account = state.account(view, address, LayerId(current["layer"]))
        assert account is not None
        if current["layer"] < self._settled_before:
            assert (account.layer, account.balance) == (current["layer"], int(current["balance"]))
            assert account.next_nonce == int(current["counter"])


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    """By what a row is known."""
    if "tx" in row:
        return (row["tx"]["id"],)
    return tuple(row[name] for name in ("number", "id", "layer", "smesher") if name in row)


def _settled(row: dict[str, Any]) -> dict[str, Any]:
    """Without what may have changed."""
    if row.get("txState") in (None, "TRANSACTION_STATE_PROCESSED") and ("tx" not in row or "txResult" in row):
        return row
    return {"tx": row["tx"]} if "tx" in row else row


# ---- streams ----


@vectors("api/streams_smesher.json", variants=False)
def streams(document: Any, context: Context) -> Iterator[Case]:
    chain, config = chain_of(context.root)
    for name in ("v2-activation", "v2-reward"):
        yield Case(
            f"told: {name}", lambda name=name: _told(static(chain, config, {"layer_at_start": 1}), document[name])
        )
    for name in ("v2-layer-nowatch", "v2-malfeasance"):
        yield Case(
            f"rows: {name}", lambda name=name: _first(static(chain, config, {"layer_at_start": 1}), document[name])
        )


def _told(node: Node, entry: Any) -> None:
    """Each event is told as it was, and none before it happened."""
    backend = node.backend
    service = entry["service"].rpartition(".")[2]
    call = node.method(V2ALPHA1, service, "Stream")
    kind = message_factory.GetMessageClass(V2ALPHA1.services[service].methods_by_name["Stream"].input_type)
    request = kind.FromString(bytes.fromhex(entry["request_hex"]))

    async def listen() -> None:
        stream = Open({"Stream": call}, "Stream", request)
        await stream.more()  # what is stored by now
        for entry_of, event in zip(entry["messages"], map(_event(backend, service), entry["messages"])):
            backend.bus.publish([event])
            assert list(map(shown, await stream.more())) == [entry_of["response"]]
        await stream.close()

    node.run(listen())


def _event(backend: StoresBackend, service: str) -> Callable[[Any], Any]:
    def event(entry: Any) -> Any:
        said = entry["response"]
        with backend.view() as view:
            if service.startswith("Activation"):
                id = json_format.ParseDict(said, V2ALPHA1.Activation()).id
                assert view.has(ATXS, AtxId(id))
                return AtxAdded(AtxId(id))
            key = LayerId(said["layer"]), NodeId(json_format.ParseDict(said, V2ALPHA1.Reward()).smesher)
            reward = view.get(REWARDS, key)
            assert reward is not None
            return RewardPaid(reward)

    return event


def _first(node: Node, entry: Any) -> None:
    """The rows that were there when it was asked are the first ones of all."""
    service, count = entry["service"].rpartition(".")[2], len(entry["messages"])
    found = node.call(V2ALPHA1, service, "Stream", bytes.fromhex(entry["request_hex"]), count or None)
    assert found.answers[:count] == [one["response"] for one in entry["messages"]]
