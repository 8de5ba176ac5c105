"""What the services of `spacemesh.v1` answer to recorded requests, called in process: a node on a finished chain, one
before its genesis, a proof of malfeasance, checkpoints.

Status, shape and values are those of the record, by the rules of `api_served_support`. The chains are those of
chain/devnet_*.json. Where one has only what the ledger needs, answers about activations and ballots are left out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from api.services.node.v1.admin import END_AFTER_S
from node.activation.tables import StoredAtx, put_atx
from node.malfeasance.tables import PROOFS, StoredProof
from node.runtime.facts import Facts
from protocol.pb.spacemesh.v1 import admin_types_pb2, types_pb2
from protocol.types.address import from_text
from protocol.types.ids import AtxId, EpochId, NodeId
from tests.support.served_v1 import ServedNode, shown
from tests.vector_cases.api_served_support import (
    CHECKPOINT,
    Call,
    Judge,
    chains,
    config_of,
    document_of,
    in_base64,
    ours,
    take_all_of,
)
from tests.vector_cases.harness import Case, Context, Later, vectors

MORE_THAN_THE_LEDGER = frozenset(("Status", "EpochStream", "Get", "Highest", "ActiveSet", "CheckpointStream"))


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
    made_of = [
        one for one in chains(context) if "posts" in one and ids <= {in_base64(row["id"]) for row in one["atxs"]}
    ]
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


@vectors("api/grpc_smeshing_control.json", variants=False)
def recover(document: Any, context: Context) -> Iterator[Case | Later]:
    """A node that is told to end, so that whoever starts it again restores a checkpoint."""
    with asyncio.Runner() as runner:
        chain = chains(context)[0]
        node = ServedNode(config_of({}, document_of(chain["meta"], context)), runner, context.temporary("node"))
        for name, one in ours(document):
            yield Case(name, lambda one=one: _ends(node, one))


def _ends(node: ServedNode, one: Call) -> None:
    Judge(node, {}).same(one)
    assert node.backend.ended_after == END_AFTER_S
