"""A recorded chain as the rows of a node's stores, for those who serve it: in memory or in LevelDB.

What `chain/README.md` of the vectors describes, taken as a migration takes the databases of the original.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.config.node import overlay
from node.assembly.parameters import NodeParameters, parameters_of
from node.migration import records
from node.migration.take import Taker, take_all
from node.store.memory import MemoryBackend
from node.store.store import Backend
from node.store.stores import Stores
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.types.blocks import InnerBlock
from tests.support.node_stores import stores_over
from tests.vector_cases.harness import load

SHORT = Path(__file__).parents[1] / "vectors" / "chain" / "devnet_a_63.json.gz"
"""The first 63 layers of the chain, which are among the tests."""
WHOLE = "chain/devnet_a.json.gz"
"""In the folder of all vectors."""


@dataclass(frozen=True, slots=True)
class ImportedChain:
    """A chain that has been taken."""

    document: Any
    """As it was recorded."""
    stores: Stores
    config: Config
    parameters: NodeParameters


def imported_chain(path: Path = SHORT, backends: Sequence[Backend] | None = None) -> ImportedChain:
    """The chain of a file, in new stores: in memory, or over the backends of state and own rows that are given."""
    document = _document(path)
    config = overlay(networks.BY_NAME[document["config"]["preset"]], document["config"])
    stores = stores_over(backends or (MemoryBackend(), MemoryBackend()))
    for _ in take_all(stores, Taker(), chain_records(document)):
        pass
    return ImportedChain(document, stores, config, parameters_of(config))


@functools.cache
def _document(path: Path) -> Any:
    return load(path)


def chain_records(document: Any) -> Iterator[records.StateRecord]:
    """The rows of the record, as those of the database that it was made of, in the order in which they are taken.

    What a short record leaves out follows from others: the transactions of blocks, the addresses of results.
    """
    of = document.__getitem__
    data = bytes.fromhex
    for row in of("marriages"):
        yield records.Marriage(
            data(row["pubkey"]),
            row["id"],
            data(row["marriage_atx"]),
            row["marriage_idx"],
            data(row["marriage_target"]),
            data(row["marriage_sig"]),
        )
    for row in of("malfeasance"):
        yield records.Identity(data(row["smesher"]), data(row["encoded"]), int(row["received_ns"]))
    for row in of("poet_proofs"):
        round_id = row["round_id_text"].encode()
        yield records.Poet(data(row["ref"]), data(row["encoded"]), data(row["service_id"]), round_id)
    for row in sorted(of("atxs"), key=lambda row: row["publish_epoch"]):
        yield records.Atx(
            id=data(row["id"]),
            epoch=row["publish_epoch"],
            effective_num_units=row["effective_num_units"],
            commitment_atx=_optional(row["commitment_atx"]),
            nonce=int(row["vrf_nonce"]),
            base_tick_height=int(row["base_tick_height"]),
            tick_count=int(row["tick_count"]),
            sequence=int(row["sequence"]),
            pubkey=data(row["smesher"]),
            coinbase=data(row["coinbase"]),
            received=int(row["received_ns"]),
            validity=row["validity"],
            marriage_atx=_optional(row["marriage_atx"]),
            weight=int(row["weight"]),
            atx=data(row["encoded"]),
            version=row["version"],
        )
    for row in of("posts"):
        yield records.Post(
            data(row["atxid"]),
            data(row["smesher"]),
            _optional(row["prev_atxid"]),
            row["prev_atx_index"],
            row["units"],
            row["publish_epoch"],
        )
    for row in of("activesets"):
        yield records.ActiveSet(data(row["id"]), data(row["encoded"]), row["epoch"])
    for row in of("beacons"):
        yield records.Beacon(row["epoch"], data(row["beacon"]))
    for row in of("ballots"):
        yield records.Ballot(
            data(row["id"]), data(row["atx"]), row["layer"], data(row["smesher"]), data(row["encoded"])
        )
    for row in of("blocks"):
        yield records.Block(data(row["id"]), row["layer"], row["validity"], data(row["encoded"]))
    for row in of("certificates"):
        yield records.Certificate(row["layer"], data(row["block"]), _optional(row["encoded"]), row["valid"])
    for row in of("transactions"):
        yield records.Transaction(
            data(row["id"]),
            data(row["encoded"]),
            _optional(row["header_encoded"]),
            _optional(row["result_encoded"]),
            row["layer"],
            _optional(row["block"]),
            _optional(row["principal"]),
            None if row["nonce"] is None else int(row["nonce"]),
            int(row["received_ns"]),
        )
    for row in of("blocks"):
        for id in InnerBlock.codec.decode(data(row["encoded"])).tx_ids:
            yield records.BlockTransaction(id, data(row["id"]), row["layer"])
    for row in of("accounts"):
        yield records.Account(
            data(row["address"]),
            int(row["balance"]),
            int(row["next_nonce"]),
            row["layer_updated"],
            _optional(row["template"]),
            _optional(row["state"]),
        )
    for row in of("rewards"):
        yield records.Reward(
            data(row["smesher"]),
            data(row["coinbase"]),
            row["layer"],
            int(row["total_reward"]),
            int(row["layer_reward"]),
        )
    for row in sorted(of("layers"), key=lambda row: row["layer"]):
        yield records.Layer(
            row["layer"],
            row["weak_coin"],
            row["processed"],
            _optional(row["applied_block"]),
            _optional(row["state_hash"]),
            _optional(row["aggregated_hash"]),
        )


def _optional(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
