"""Vectors of the proposals that a node votes for: consensus/hare3_select.json and hare4_select.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.hare.proposals import Selection
from node.malfeasance.tables import MARKS, PROOFS, Mark
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import AtxId, Beacon, LayerId, NodeId, ProposalId
from tests.support.hare_nodes import GENESIS, LAYER, KeptAtx, KeptProposal, Surroundings
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors

LAYERS_PER_EPOCH = 4
"""Which epoch a layer is in changes nothing here: the ATXs are active in all of them."""


@vectors("consensus/hare3_select.json", "consensus/hare4_select.json", variants=False)
def hare_select(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("cases",))
    for case in document["cases"]:
        yield Case(case["name"], lambda case=case: _select(case))


def _select(case: Any) -> None:
    atxs = [
        KeptAtx(AtxId(bytes.fromhex(row["id"])), NodeId(bytes(32)), base_height=row["base_height"])
        for row in case["atxs"] or ()
        if row["loaded"]
    ]
    own = [NodeId(bytes.fromhex(row["node_id"])) for row in case["own"]]
    atxs += [
        KeptAtx(AtxId(bytes.fromhex(row["node_id"])), NodeId(bytes.fromhex(row["node_id"])), height=row["height"])
        for row in case["own"]
        if row["has_atx"]
    ]
    layer, beacon = LayerId(case["layer"]), Beacon(bytes.fromhex(case["beacon"]))
    proposals = [
        KeptProposal(
            ProposalId(bytes.fromhex(row["id"])),
            AtxId(bytes.fromhex(row["atx"])),
            NodeId(bytes.fromhex(row["smesher"])),
            Beacon(bytes.fromhex(row["beacon"])),
            (),
            row["malicious"],
        )
        for row in case["proposals"] or ()
    ]
    store = Store.in_memory(Schema("state", 1, (PROOFS, MARKS)))
    rows = Rows(store.view())
    for identity in case["malicious"] or ():
        rows.put(MARKS, NodeId(bytes.fromhex(identity)), Mark(0))
    store.write(rows)
    around = Surroundings(atxs, {layer: proposals})
    chosen = Selection(NetworkTime(GENESIS, LAYER, LAYERS_PER_EPOCH), around, around).votes(
        store.view(), layer, beacon, own
    )
    assert [id.hex() for id in chosen] == (case["selected_sorted"] or []), [id.hex() for id in chosen]
