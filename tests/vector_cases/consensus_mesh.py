"""Vectors of the mesh: consensus/mesh.json.

Tortoise answers what the vectors say, and a stand-in for ledger and mempool notes what it is told; which block a layer
has in the state is the ledger's row, as in the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from node.certificates.tables import CERTIFICATES, StoredCertificate, hare_output, put_hare_output
from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.tables import LAST_APPLIED, LAYERS, AppliedLayer
from node.mesh.mesh import GENESIS_MESH_HASH, Mesh, MeshParameters
from node.mesh.tables import BLOCKS, MESH_HASHES, PROCESSED, VALIDITY
from node.store.keys import ONLY
from node.store.view import Rows, View
from node.tortoise.results import BlockResult, LayerResult
from protocol.crypto.signing import Domain, verify
from protocol.types.ballots import Ballot, Vote
from protocol.types.blocks import InnerBlock
from protocol.types.certificates import Certificate, CertifyContent, CertifyMessage
from protocol.types.ids import (
    EMPTY_BLOCK_ID,
    BlockId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
    TransactionId,
    VrfSignature,
)
from protocol.types.malfeasance import BallotProof, MalfeasanceProof
from tests.support.node_stores import Kept
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

NO_HASH = Hash32(bytes(32))
HARE_LAYER = LayerId(10)
"""Of the cases of hare outputs."""
VALIDITIES = {None: "undecided", True: "valid", False: "invalid"}


class _Tortoise:
    """Says what the vectors say, and notes what it is told."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.results: Sequence[LayerResult] = ()

    def on_block(self, vote: Vote) -> None:
        self.calls.append(
            {"block": vote.id.hex(), "call": "tortoise_on_block", "height": vote.height, "layer": vote.layer}
        )

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.calls.append({"block": block.hex(), "call": "tortoise_on_hare_output", "layer": layer})

    def on_malfeasance(self, node: NodeId) -> None:
        self.calls.append({"call": "tortoise_on_malfeasance", "node_id": node.hex()})

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        self.calls.append({"call": "tortoise_on_applied", "layer": layer, "opinion": opinion.hex()})
        return True

    def tally(self, last: LayerId) -> None:
        self.calls.append({"call": "tortoise_tally", "layer": last})

    def updates(self) -> Sequence[LayerResult]:
        return self.results


class _Applied:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows


class _State:
    """Ledger and mempool: the ledger's row of a layer, and nothing else."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.fails_at = 0

    def apply(self, view: View, layer: LayerId, block: InnerBlock | None) -> _Applied:
        rewards, txs = (0, 0) if block is None else (len(block.rewards), len(block.tx_ids))
        self.calls.append({"call": "vm_apply", "layer": layer, "rewards": rewards, "txs": txs})
        if layer == self.fails_at:
            raise LayerRefused("It was made to fail.", "failed")
        id = EMPTY_BLOCK_ID if block is None else block.id()
        self.calls.append({"block": id.hex(), "call": "cache_update", "layer": layer})
        rows = Rows(view)
        put_applied(rows, layer, id)
        return _Applied(rows)

    def revert(self, view: View, layer: LayerId) -> Rows:
        self.calls.append({"call": "vm_revert", "to_layer": layer})
        self.calls.append({"call": "cache_revert", "to_layer": layer})
        rows = Rows(view)
        state.revert(rows, layer)
        return rows

    def link_block(self, rows: Rows, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
        pass


def put_applied(rows: Rows, layer: LayerId, block: BlockId) -> None:
    rows.put(LAYERS, layer, AppliedLayer(NO_HASH, block, (), ()))
    rows.put(LAST_APPLIED, ONLY, layer)


class _Node:
    """A mesh on a store of its own."""

    def __init__(self, genesis: int) -> None:
        self.calls: list[Any] = []
        self.tortoise = _Tortoise(self.calls)
        self.state = _State(self.calls)
        self.kept = Kept()
        self.genesis = LayerId(genesis)
        self.mesh = Mesh(MeshParameters(self.genesis), self.tortoise, self.state, self.state)
        self.kept.unit(self.mesh.start)


@vectors("consensus/mesh.json", variants=False)
def mesh(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("scenarios", "save_hare_output", "ballots", "genesis_mesh_hash"))
    yield Case("genesis_mesh_hash", lambda: _genesis(document))
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda scenario=scenario: _scenario(scenario))
    for position, case in enumerate(document["save_hare_output"]):
        yield Case(f"save_hare_output[{position}]", lambda case=case: _hare_output(case))
    for position, case in enumerate(document["ballots"]):
        yield Case(f"ballots[{position}]", lambda case=case: _ballots(case))


def _genesis(document: Any) -> None:
    assert document["genesis_mesh_hash"] == GENESIS_MESH_HASH.hex()


# ---- layers ----


def _scenario(scenario: Any) -> None:
    node = _Node(scenario["effective_genesis"])
    for position, step in enumerate(scenario["steps"]):
        where = f"step {position} ({step['op']} {step['layer']})"
        node.calls.clear()
        layer = LayerId(step["layer"])
        node.tortoise.results = tuple(_result(row) for row in step.get("tortoise_results") or ())
        node.state.fails_at = step.get("vm_fails_at_layer") or 0
        match step["op"]:
            case "add_block":
                block = InnerBlock.codec.decode(bytes.fromhex(step["bytes"]))
                node.kept.unit(lambda rows, block=block: node.mesh.add_block(rows, block))
                assert step["error"] is None, where
            case "process_layer":
                processed = node.kept.unit(lambda rows, layer=layer: node.mesh.process_layer(rows, layer))
                _check_processed(processed, step, where)
            case "process_layer_per_hare_output":
                id = BlockId(bytes.fromhex(step["block"]))
                if step["executed"]:
                    node.kept.unit(lambda rows, layer=layer, id=id: put_applied(rows, layer, id))
                processed = node.kept.unit(
                    lambda rows, layer=layer, id=id: node.mesh.process_hare_output(rows, layer, id)
                )
                _check_processed(processed, step, where)
                assert bool(processed.missing) is bool(step.get("missing_sent_to_fetcher")), where
            case _:
                raise NotUnderstood(f"{where}: unknown")
        assert node.calls == (step["calls"] or []), f"{where}: {node.calls}"
        _check_after(node, step["after"], where)


def _result(row: Any) -> LayerResult:
    layer = LayerId(row["layer"])
    blocks = tuple(
        BlockResult(
            Vote(BlockId(bytes.fromhex(block["id"])), layer, 0),
            is_valid=block["valid"],
            is_invalid=block["invalid"],
            is_hare_output=block["hare"],
            has_data=block["data"],
            is_locally_supported=block["local"],
        )
        for block in row["blocks"] or ()
    )
    return LayerResult(layer, row["verified"], Hash32(bytes.fromhex(row["opinion"])), blocks)


def _check_processed(processed: Any, step: Any, where: str) -> None:
    if processed.refused is not None:
        error = "execution_failed"
    else:
        error = "missing_blocks" if processed.missing else None
    assert error == step["error"], f"{where}: {error} {processed.refused}"
    if error == "missing_blocks":
        assert [id.hex() for id in processed.missing] == step["missing"], where


def _check_after(node: _Node, after: Any, where: str) -> None:
    with node.kept.view() as view:
        hashes = dict(view.scan(MESH_HASHES))
        applied = {layer: row.block.hex() for layer, row in view.scan(LAYERS)}
        applied.setdefault(node.genesis, EMPTY_BLOCK_ID.hex())
        found = {
            "applied": [
                {
                    "applied": applied[layer],
                    "layer": layer,
                    "mesh_hash": hashes[layer].hex() if layer in hashes else None,
                }
                for layer in sorted(applied)
            ],
            "block_validity": [
                {"block": id.hex(), "validity": VALIDITIES[view.get(VALIDITY, id)]} for id in view.keys(BLOCKS)
            ],
            "certificates": [
                {"block": block.hex(), "layer": layer, "valid": row.is_valid}
                for (layer, block), row in view.scan(CERTIFICATES)
            ],
            "latest": node.mesh.latest,
            "latest_in_state": node.mesh.in_state,
            "processed": view.get(PROCESSED, ONLY),
            "processed_in_memory": node.mesh.processed,
        }
    for name, value in found.items():
        expected = after[name] or [] if isinstance(value, list) else after[name]
        if name == "block_validity":  # recorded in the order in which they were stored
            expected = sorted(expected, key=lambda row: str(row["block"]))
        assert value == expected, f"{where}: {name} {value}, expected {expected}"
    assert found.keys() == after.keys(), where


# ---- hare outputs ----


def _hare_output(case: Any) -> None:
    node = _Node(5)
    for one in case["operations_before"] or ():
        node.kept.unit(lambda rows, one=one: _prepare(rows, one))
    assert _rows(node) == _recorded_rows(case["rows_before"])
    block = BlockId(bytes.fromhex(case["output"]))
    node.kept.unit(lambda rows: node.mesh.save_hare_output(rows, HARE_LAYER, block))
    assert _rows(node) == _recorded_rows(case["rows_after"]), _rows(node)
    assert node.calls == (case["calls"] or []), node.calls
    found = node.kept.read(lambda view: hare_output(view, HARE_LAYER))
    assert (None if found is None else found.hex()) == case["hare_output_read_back"], found


def _prepare(rows: Rows, one: Any) -> None:
    block = BlockId(bytes.fromhex(one["block"]))
    match one["kind"]:
        case "hare_output" | "hare_output_invalid":
            put_hare_output(rows, HARE_LAYER, block, is_valid=one["kind"] == "hare_output")
        case "certificate":
            content = CertifyContent(HARE_LAYER, block, 1, VrfSignature(bytes(80)))
            entry = CertifyMessage(content, EdSignature(bytes(64)), NodeId(bytes(32)))
            certificate = Certificate(block, (entry,) * one["signatures"])
            rows.put(CERTIFICATES, (HARE_LAYER, block), StoredCertificate(certificate, True))
        case kind:
            raise NotUnderstood(f"operation {kind}")


def _rows(node: _Node) -> dict[str, Any]:
    return node.kept.read(
        lambda view: {
            block.hex(): (None if row.certificate is None else len(row.certificate.signatures), row.is_valid)
            for (_, block), row in view.scan(CERTIFICATES)
        }
    )


def _recorded_rows(rows: Any) -> dict[str, Any]:
    return {row["block"]: (row["signatures"], row["valid"]) for row in rows or ()}


# ---- ballots ----


def _ballots(case: Any) -> None:
    node = _Node(5)
    is_malicious = False
    for step in case["steps"]:
        where = f"ballot {step['i']}"
        node.calls.clear()
        ballot = Ballot.codec.decode(bytes.fromhex(step["ballot"]))
        assert ballot.id().hex() == step["ballot_id"], where
        proof = node.kept.unit(
            lambda rows, ballot=ballot, is_malicious=is_malicious: node.mesh.add_ballot(
                rows, ballot, is_malicious=is_malicious
            )
        )
        is_malicious = is_malicious or proof is not None
        assert is_malicious == step["flagged_malicious"], where
        assert node.calls == (step["calls"] or []), f"{where}: {node.calls}"
        encoded = None if proof is None else MalfeasanceProof.codec.encode(proof).hex()
        assert encoded == step["proof"], f"{where}: {encoded}"
        if proof is not None:
            assert isinstance(proof.proof, BallotProof)
            for one in proof.proof.messages:
                genesis_id = bytes.fromhex(case["genesis_id"])
                assert verify(Domain.BALLOT, one.smesher_id, one.signed_bytes(), one.signature, genesis_id), where
