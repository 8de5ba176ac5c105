"""The machine of blocks: makes one of what hare agreed on, and judges those of peers.

| a layer that hare agreed on | then |
|---|---|
| proposals are missing | they are asked for, and the layer waits |
| no proposals at all | the layer is empty |
| most proposals share no mesh hash | the block is made at once |
| they share ours | it waits until the layer before is applied, is executed, and holds what was executed |
| they share another one | no block is made: it will be got with its certificate |

What was made is put as hare's output, which the certificates watch, and the mesh processes the layer. Protocol
05-consensus, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from node.blocks.errors import BlockRefused
from node.blocks.metadata import AgreedProposal, Atxs, BlockMetadata, metadata
from node.blocks.parameters import BlockParameters
from node.blocks.patrol import LayerPatrol
from node.blocks.received import decoded
from node.blocks.tables import AGREED
from node.certificates.tables import HARE_OUTPUTS
from node.contract.demands import Fetch
from node.contract.effects import Ask, Effect, Emit
from node.contract.inputs import Answer, Change
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.ledger import state
from node.ledger.errors import LayerRefused
from node.ledger.tables import LAST_APPLIED
from node.mempool.handler import BLOCK_TRANSACTIONS
from node.mempool.tables import TRANSACTIONS
from node.mesh.processed import AppliedRows, Processed
from node.mesh.tables import BLOCKS
from node.store.view import Rows, Span, View
from protocol.codec.declare import CodecError
from protocol.numbers.layers import NetworkTime
from protocol.types.blocks import AnyReward, InnerBlock
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BLOCK_ID,
    AtxId,
    BlockId,
    EpochId,
    LayerId,
    ProposalId,
    TransactionId,
    as_hash32,
)
from protocol.types.proposals import Proposal


class Proposals(Protocol):
    """The proposals that came."""

    def proposal(self, view: View, layer: LayerId, id: ProposalId) -> Proposal | None:
        """One of a layer."""


class Layers(Protocol):
    """The mesh, which is called."""

    def start(self, rows: Rows) -> None:
        """Take up what the rows say."""

    def add_block(self, rows: Rows, block: InnerBlock) -> None:
        """A block that was made here or came from a peer."""

    def process_hare_output(self, rows: Rows, layer: LayerId, block: BlockId) -> Processed:
        """Hare came to this block, zeros for none."""


class Optimistic(Protocol):
    """Executes a block to be."""

    def apply_optimistically(
        self, view: View, layer: LayerId, tick_height: int, rewards: Sequence[AnyReward], ids: Sequence[TransactionId]
    ) -> tuple[InnerBlock, AppliedRows]:
        """Raises LayerRefused."""


class ActiveSets(Protocol):
    """Which ATXs tortoise knows."""

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those that are not known in an epoch."""


@dataclass(frozen=True, slots=True)
class BlockMade:
    """An event: what hare came to in a layer; zeros where it is empty."""

    layer: LayerId
    block: BlockId


@dataclass(frozen=True, slots=True)
class BlockNotMade:
    """An event: hare agreed, and no block was made. reason: of the BlockRefused or LayerRefused; too_many_waiting."""

    layer: LayerId
    reason: str


@dataclass(frozen=True, slots=True)
class LayerNotApplied:
    """An event: a block was made, and a layer could not be applied. reason: of the LayerRefused."""

    layer: LayerId
    reason: str


@dataclass(frozen=True, slots=True)
class _ProposalTag:
    layer: LayerId
    id: ProposalId


@dataclass(frozen=True, slots=True)
class _BlockTag:
    id: BlockId


@dataclass(frozen=True, slots=True)
class _Received:
    """A block of a peer, and what was asked for it."""

    id: BlockId
    block: InnerBlock
    has_asked_atxs: bool = False
    has_asked_transactions: bool = False


class BlockMachine(Machine):
    """The blocks of one network."""

    name = "blocks"
    hints = (Hint.BLOCK,)
    watches = (AGREED, LAST_APPLIED)

    def __init__(
        self,
        parameters: BlockParameters,
        time: NetworkTime,
        proposals: Proposals,
        atxs: Atxs,
        active_sets: ActiveSets,
        mesh: Layers,
        executor: Optimistic,
        patrol: LayerPatrol,
    ) -> None:
        self._parameters = parameters
        self._time = time
        self._proposals = proposals
        self._atxs = atxs
        self._active_sets = active_sets
        self._mesh = mesh
        self._executor = executor
        self._patrol = patrol
        self._incomplete: dict[LayerId, set[ProposalId]] = {}
        """Layers that wait for proposals, with those that have not been answered."""
        self._queue: dict[LayerId, BlockMetadata] = {}
        """Layers that wait to be executed."""
        self._fetching: set[BlockId] = set()

    @property
    def queued(self) -> Sequence[LayerId]:
        """Layers that wait to be executed, ascending."""
        return sorted(self._queue)

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says: the mesh is started, and blocks that were still to be made are made."""
        rows = Rows(view)
        self._mesh.start(rows)
        effects: list[Effect] = []
        newest = view.first(AGREED, Span(reverse=True))
        if newest is not None:
            first = max(0, newest[0] - self._parameters.max_waiting + 1)
            for layer, ids in list(view.scan(AGREED, Span(start=LayerId(first)))):
                if not view.has(HARE_OUTPUTS, layer):
                    self._agreed(rows, effects, layer, ids)
        self._execute_queued(rows, effects)
        return Step(rows, effects)

    # ---- of what hare agreed on ----

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says: hare agreed, or a layer was applied."""
        rows = Rows(view)
        effects: list[Effect] = []
        if change.table is AGREED:
            for layer in change.keys:
                ids = view.get(AGREED, layer)
                if ids is not None:
                    self._agreed(rows, effects, layer, ids)
        self._execute_queued(rows, effects)
        return Step(rows, effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a peer was asked for a proposal or a block."""
        tag = answer.tag
        if isinstance(tag, _BlockTag):
            self._fetching.discard(tag.id)
            return NOTHING
        assert isinstance(tag, _ProposalTag)
        unanswered = self._incomplete.get(tag.layer)
        ids = view.get(AGREED, tag.layer)
        if unanswered is None or ids is None:
            return NOTHING
        unanswered.discard(tag.id)
        if unanswered:
            return NOTHING
        del self._incomplete[tag.layer]
        rows = Rows(view)
        effects: list[Effect] = []
        self._make(rows, effects, tag.layer, ids)
        self._execute_queued(rows, effects)
        return Step(rows, effects)

    def _agreed(self, rows: Rows, effects: list[Effect], layer: LayerId, ids: Sequence[ProposalId]) -> None:
        missing = [id for id in ids if self._proposals.proposal(rows, layer, id) is None]
        if not missing:
            return self._make(rows, effects, layer, ids)
        self._incomplete[layer] = set(missing)
        effects += [Ask(Fetch(Hint.PROPOSAL, as_hash32(id)), _ProposalTag(layer, id)) for id in missing]
        self._bound(effects, self._incomplete)
        return None

    def _make(self, rows: Rows, effects: list[Effect], layer: LayerId, ids: Sequence[ProposalId]) -> None:
        if not ids:
            self._finish(rows, effects, layer, None)
            return
        try:
            made = metadata(rows, self._parameters, self._atxs, layer, self._of_layer(rows, layer, ids))
        except BlockRefused as error:
            self._give_up(effects, layer, error.reason)
            return
        if made.is_optimistic:
            self._queue[layer] = made
            self._bound(effects, self._queue)
        else:
            self._finish(rows, effects, layer, made.block())

    def _of_layer(self, view: View, layer: LayerId, ids: Sequence[ProposalId]) -> list[AgreedProposal]:
        found = []
        for id in ids:
            proposal = self._proposals.proposal(view, layer, id)
            if proposal is None:
                raise BlockRefused(f"No peer has proposal {id.hex()} of layer {layer}.", "proposal_missing")
            found.append(AgreedProposal.of(id, proposal))
        return found

    def _execute_queued(self, rows: Rows, effects: list[Effect]) -> None:
        """One layer after another, as far as they are here; what fails is not tried again."""
        layer = max(state.last_applied(rows) or 0, self._time.effective_genesis) + 1
        while (made := self._queue.pop(LayerId(layer), None)) is not None:
            try:
                block, applied = self._executor.apply_optimistically(
                    rows, made.layer, made.tick_height, made.rewards, made.tx_ids
                )
            except LayerRefused as error:
                self._give_up(effects, made.layer, error.reason)
                return
            rows.merge(applied.rows)
            if not self._finish(rows, effects, made.layer, block).is_complete:
                return
            layer += 1

    def _finish(self, rows: Rows, effects: list[Effect], layer: LayerId, block: InnerBlock | None) -> Processed:
        id = EMPTY_BLOCK_ID if block is None else block.id()
        if block is not None:
            self._mesh.add_block(rows, block)
        rows.put(HARE_OUTPUTS, layer, id)
        processed = self._mesh.process_hare_output(rows, layer, id)
        self._patrol.complete(layer)
        effects.append(Emit(BlockMade(layer, id)))
        if processed.refused is not None:
            effects.append(Emit(LayerNotApplied(layer, processed.refused.reason)))
        for missing in processed.missing:
            if missing not in self._fetching and len(self._fetching) < self._parameters.max_fetching:
                self._fetching.add(missing)
                effects.append(Ask(Fetch(Hint.BLOCK, as_hash32(missing)), _BlockTag(missing)))
        return processed

    def _give_up(self, effects: list[Effect], layer: LayerId, reason: str) -> None:
        self._patrol.complete(layer)
        effects.append(Emit(BlockNotMade(layer, reason)))

    def _bound(
        self, effects: list[Effect], waiting: dict[LayerId, set[ProposalId]] | dict[LayerId, BlockMetadata]
    ) -> None:
        if len(waiting) > self._parameters.max_waiting:
            oldest = min(waiting)
            del waiting[oldest]
            self._give_up(effects, oldest, "too_many_waiting")

    # ---- of peers ----

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        try:
            id, block = decoded(message.data, message.expected, self._time.effective_genesis)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        except BlockRefused as error:
            return Judged(reject(error.reason, str(error)))
        return self._judge(_Received(id, block), message, view)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says: ATXs or transactions were asked for, and are here or are not."""
        assert isinstance(ticket.memo, _Received)
        return self._judge(ticket.memo, ticket.message, view)

    def _judge(self, received: _Received, message: Message, view: View) -> Judged | Needs:
        block = received.block
        if view.has(BLOCKS, received.id):
            return Judged(ACCEPT)
        peers = () if message.peer is None else (message.peer,)
        rewarded = [reward.atx_id for reward in block.rewards]
        atxs = self._active_sets.missing_active_set(self._time.epoch_of(block.layer), rewarded)
        if atxs:
            if received.has_asked_atxs:
                return Judged(ignore("missing_atxs"))
            return Needs(
                demands=[Fetch(Hint.ATX, id, peers) for id in atxs], memo=replace(received, has_asked_atxs=True)
            )
        if len(set(block.tx_ids)) != len(block.tx_ids):
            return Judged(ignore("duplicate_transaction"))
        missing = [id for id in block.tx_ids if not view.has(TRANSACTIONS, id)]
        if missing:
            if received.has_asked_transactions:
                return Judged(ignore("missing_transactions"))
            return Needs(
                demands=[Fetch(BLOCK_TRANSACTIONS, id, peers) for id in missing],
                memo=replace(received, has_asked_transactions=True),
            )
        rows = Rows(view)
        self._mesh.add_block(rows, block)
        return Judged(ACCEPT, rows)
