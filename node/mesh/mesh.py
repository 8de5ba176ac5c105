"""The mesh: blocks and ballots as they come, what hare came to, and the state kept in step with tortoise.

Called by other machines, within their units. What is in memory follows from rows, but for layers that were processed
out of order: after a restart sync processes them again. Protocol 05-consensus, section 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.certificates.tables import of_layer, put_hare_output
from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.tables import LAYERS
from node.mesh.plan import applicable, first_changed, target
from node.mesh.processed import AppliedRows, Processed
from node.mesh.tables import BALLOTS, BALLOTS_BY_SMESHER, BLOCKS, MESH_HASHES, PROCESSED, VALIDITY
from node.store.keys import ONLY
from node.store.view import Rows, Span, View
from node.tortoise.results import LayerResult
from protocol.crypto.hashing import hash32
from protocol.types.ballots import Ballot, BallotMetadata, Vote
from protocol.types.blocks import InnerBlock
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, Hash32, LayerId, NodeId, TransactionId
from protocol.types.malfeasance import BallotProof, BallotProofMsg, MalfeasanceProof

GENESIS_MESH_HASH = Hash32(hash32(b""))


class Tortoise(Protocol):
    """What the mesh tells and asks the tortoise."""

    def on_block(self, vote: Vote) -> None:
        """A block is here."""

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        """Hare came to a block, zeros for none."""

    def on_malfeasance(self, node: NodeId) -> None:
        """A smesher contradicted itself."""

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        """A verified layer is in the state."""

    def tally(self, last: LayerId) -> None:
        """Count up to a layer."""

    def updates(self) -> Sequence[LayerResult]:
        """What has come of it, layers ascending."""


class Executor(Protocol):
    """Ledger and mempool."""

    def apply(self, view: View, layer: LayerId, block: InnerBlock | None) -> AppliedRows:
        """Apply a block, or that there is none. Raises LayerRefused."""

    def revert(self, view: View, layer: LayerId) -> Rows:
        """Make a layer the last one that was applied."""


class Links(Protocol):
    """The mempool."""

    def link_block(self, rows: Rows, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
        """A block holds these transactions."""


@dataclass(frozen=True, slots=True)
class MeshParameters:
    """A network, as far as its mesh depends on it."""

    effective_genesis: LayerId
    """The last layer without blocks."""
    max_ahead: int = 10_000
    """Layers that are remembered as processed though ones before them are not."""


class Mesh:
    """The mesh of one node."""

    def __init__(self, parameters: MeshParameters, tortoise: Tortoise, executor: Executor, links: Links) -> None:
        self._parameters = parameters
        self._tortoise = tortoise
        self._executor = executor
        self._links = links
        self._ahead: set[LayerId] = set()
        genesis = parameters.effective_genesis
        self.processed = genesis
        """The last layer before which all are processed."""
        self.latest = genesis
        """The last layer from which something came."""
        self.in_state = genesis
        """The last layer that was processed and is in the state."""
        self.touches = 0

    def start(self, rows: Rows) -> None:
        """Take up what the rows say; rows of the genesis where there are none."""
        genesis = self._parameters.effective_genesis
        self.touches += 1
        if not rows.has(PROCESSED, ONLY):
            rows.put(PROCESSED, ONLY, genesis)
            rows.put(MESH_HASHES, genesis, GENESIS_MESH_HASH)
        self.processed = rows.get(PROCESSED, ONLY) or genesis
        self.in_state = LayerId(max(state.last_applied(rows) or 0, genesis))
        latest = next((key[0] for key, _ in rows.find(BALLOTS_BY_SMESHER, Span(reverse=True))), genesis)
        self.latest = LayerId(max(latest, genesis))
        self._ahead.clear()

    def applied(self, view: View, layer: LayerId) -> BlockId | None:
        """The block that a layer has in the state, zeros for none; None where it was not applied."""
        row = view.get(LAYERS, layer)
        if row is not None:
            return row.block
        return EMPTY_BLOCK_ID if layer == self._parameters.effective_genesis else None

    # ---- what comes ----

    def add_block(self, rows: Rows, block: InnerBlock) -> None:
        """A block that was made here or came from a peer; the same one again changes nothing."""
        id = block.id()
        self._links.link_block(rows, block.layer, id, block.tx_ids)
        if not rows.has(BLOCKS, id):
            rows.put(BLOCKS, id, block)
        self._saw(block.layer)
        self._tortoise.on_block(Vote(id, block.layer, block.tick_height))

    def add_ballot(self, rows: Rows, ballot: Ballot, *, is_malicious: bool) -> MalfeasanceProof | None:
        """A valid ballot; the proof if it is the one by which its smesher contradicts itself.

        is_malicious: whether that is known of the smesher, so that no further proof is wanted.
        """
        id, layer, smesher = ballot.id(), ballot.inner.layer, ballot.smesher_id
        proof = None
        if not is_malicious:
            for _, other in rows.find(BALLOTS_BY_SMESHER, Span(within=(layer, smesher))):
                if other != id:
                    proof = MalfeasanceProof(layer, BallotProof((_said(rows.get(BALLOTS, other)), _said(ballot))))
                    break
        if not rows.has(BALLOTS, id):
            rows.put(BALLOTS, id, ballot)
        self._saw(layer)
        if proof is not None:
            self._tortoise.on_malfeasance(smesher)
        return proof

    def save_hare_output(self, rows: Rows, layer: LayerId, block: BlockId) -> None:
        """Hare came to a block here. A certificate that came before, for another block, counts more."""
        known = of_layer(rows, layer)
        for other, row in known:
            if other == block:
                break
            if row.is_valid:
                put_hare_output(rows, layer, block, is_valid=False)
                break
        else:
            put_hare_output(rows, layer, block, is_valid=True)
        if len(known) <= 1:  # else tortoise has been told that nobody knows
            self.touches += 1
            self._tortoise.on_hare_output(layer, block)

    def _saw(self, layer: LayerId) -> None:
        self.touches += 1
        self.latest = max(self.latest, layer)

    # ---- what follows ----

    def process_hare_output(self, rows: Rows, layer: LayerId, block: BlockId) -> Processed:
        """Hare came to a block in a layer, which may be in the state already."""
        self.save_hare_output(rows, layer, block)
        return self.process_layer(rows, layer)

    def process_layer(self, rows: Rows, layer: LayerId) -> Processed:
        """Count votes up to a layer, and bring the state in step with what has come of it. Raises StoreFault."""
        self.touches += 1
        self._tortoise.tally(layer)
        self._set_processed(rows, layer)
        results, missing = applicable(self._tortoise.updates(), LayerId(self.in_state + 1))
        changed = first_changed(results, lambda layer: self.applied(rows, layer))
        if changed is not None:
            self._revert(rows, LayerId(changed - 1))
        try:
            self._apply(rows, results)
        except LayerRefused as error:
            return Processed(missing, error)
        return Processed(missing)

    def pass_over(self, rows: Rows, layer: LayerId) -> None:
        """A layer is here whose votes are counted with those of a later one."""
        self.touches += 1
        self._set_processed(rows, layer)

    def _set_processed(self, rows: Rows, layer: LayerId) -> None:
        if layer <= self.processed:
            return
        self._ahead.add(layer)
        last = self.processed
        while LayerId(last + 1) in self._ahead:
            last = LayerId(last + 1)
            self._ahead.discard(last)
        if len(self._ahead) > self._parameters.max_ahead:
            self._ahead.discard(min(self._ahead))
        if last != self.processed:
            rows.put(PROCESSED, ONLY, last)
            self.processed = last

    def _revert(self, rows: Rows, layer: LayerId) -> None:
        rows.merge(self._executor.revert(rows, layer))
        for above in list(rows.keys(MESH_HASHES, Span(start=LayerId(layer + 1)))):
            rows.delete(MESH_HASHES, above)
        self.in_state = layer

    def _apply(self, rows: Rows, results: Sequence[LayerResult]) -> None:
        """Raises LayerRefused; the layers before are in the rows then."""
        for result in results:
            layer, block = result.layer, target(result)
            if not result.is_verified and block == EMPTY_BLOCK_ID:
                return
            if self.applied(rows, layer) != block:
                rows.merge(self._executor.apply(rows, layer, self._block(rows, layer, block)).rows)
            rows.put(MESH_HASHES, layer, result.opinion)
            for one in result.blocks:
                if one.has_data and (one.is_valid or one.is_invalid):
                    rows.put(VALIDITY, one.vote.id, one.is_valid)
            if result.is_verified:
                self._tortoise.on_applied(layer, result.opinion)
            self.in_state = max(self.in_state, layer)

    def _block(self, view: View, layer: LayerId, id: BlockId) -> InnerBlock | None:
        if id == EMPTY_BLOCK_ID:
            return None
        block = view.get(BLOCKS, id)
        if block is None:
            raise LayerRefused(f"Block {id.hex()} of layer {layer} is not here.", "missing_block")
        return block


def _said(ballot: Ballot | None) -> BallotProofMsg:
    assert ballot is not None, "an index leads to rows"
    metadata = BallotMetadata(ballot.inner.layer, ballot.inner.hash())
    return BallotProofMsg(metadata, ballot.smesher_id, ballot.signature)
