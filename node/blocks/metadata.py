"""What a block follows from: rewards, tick height and transactions of the proposals that hare agreed on.

All nodes that agreed make the same block of them. Protocol 05-consensus, sections 8 to 8.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from node.blocks.errors import BlockRefused
from node.blocks.parameters import BlockParameters
from node.ledger import state
from node.mempool import transactions
from node.mempool.selection import block_seed, for_block
from node.mempool.transaction import PoolTransaction
from node.mesh.tables import BALLOTS, MESH_HASHES, NO_MESH_HASH
from node.store.view import View
from protocol.numbers.u64 import MASK
from protocol.types.ballots import EpochData
from protocol.types.blocks import AnyReward, InnerBlock, RatNum
from protocol.types.ids import NO_LAYER, AtxId, BallotId, Hash32, LayerId, ProposalId, TransactionId
from protocol.types.proposals import Proposal


class Atx(Protocol):
    """What a block needs to know of an ATX."""

    @property
    def weight(self) -> int:
        """Space units times ticks."""

    @property
    def base_tick_height(self) -> int:
        """Where its ticks begin."""


class Atxs(Protocol):
    """The ATXs by the epoch in which they are active."""

    def atx(self, layer: LayerId, id: AtxId) -> Atx | None:
        """An ATX that is active in the epoch of a layer."""


@dataclass(frozen=True, slots=True)
class AgreedProposal:
    """A proposal, as far as a block follows from it."""

    id: ProposalId
    atx_id: AtxId
    ref_ballot: BallotId
    epoch_data: EpochData | None
    """In a smesher's first ballot of the epoch; else in its reference ballot."""
    eligibilities: int
    mesh_hash: Hash32
    tx_ids: Sequence[TransactionId]

    @classmethod
    def of(cls, id: ProposalId, proposal: Proposal) -> AgreedProposal:
        """A stored proposal."""
        inner, ballot = proposal.inner, proposal.inner.ballot
        return cls(
            id,
            ballot.inner.atx_id,
            ballot.inner.ref_ballot,
            ballot.inner.epoch_data,
            len(ballot.eligibility_proofs),
            inner.mesh_hash,
            inner.tx_ids,
        )


@dataclass(frozen=True, slots=True)
class BlockMetadata:
    """A block to be."""

    layer: LayerId
    tick_height: int
    rewards: tuple[AnyReward, ...]
    """By ATX."""
    tx_ids: tuple[TransactionId, ...]
    is_optimistic: bool
    """Whether it is executed first, and holds what was executed."""

    def block(self) -> InnerBlock:
        """The block that holds everything."""
        return InnerBlock(self.layer, self.tick_height, self.rewards, self.tx_ids)


def metadata(
    view: View, parameters: BlockParameters, atxs: Atxs, layer: LayerId, proposals: Sequence[AgreedProposal]
) -> BlockMetadata:
    """What the proposals of a layer come to, in the order of hare's output. Raises BlockRefused, StoreFault."""
    tick_height, rewards = _rewards(view, atxs, layer, proposals)
    pooled = _transactions(view, proposals)
    agreed = _agreed_mesh_hash(proposals, parameters.optimistic_threshold)
    if agreed is not None and view.get(MESH_HASHES, LayerId(layer - 1)) != agreed:
        raise BlockRefused(
            f"Most proposals of layer {layer} were made on another mesh than ours, {agreed.hex()}.", "bad_mesh_hash"
        )
    gas_limit = parameters.gas_limit if agreed is None else 0
    ordered = for_block(pooled, block_seed(one.id for one in proposals), gas_limit) if pooled else []
    return BlockMetadata(layer, tick_height, rewards, tuple(one.id for one in ordered), agreed is not None)


def _rewards(
    view: View, atxs: Atxs, layer: LayerId, proposals: Iterable[AgreedProposal]
) -> tuple[int, tuple[AnyReward, ...]]:
    tick_height = 0
    weights: dict[AtxId, Fraction] = {}
    for one in proposals:
        atx = atxs.atx(layer, one.atx_id)
        if atx is None:
            raise BlockRefused(f"ATX {one.atx_id.hex()} of a proposal of layer {layer} is not known.", "atx_not_found")
        tick_height = max(tick_height, atx.base_tick_height)
        slots = _slots(view, one)
        if one.atx_id in weights:
            raise BlockRefused(f"ATX {one.atx_id.hex()} has two proposals in layer {layer}.", "duplicate_atx")
        weights[one.atx_id] = Fraction(atx.weight, slots) * one.eligibilities
    return tick_height, tuple(
        # the network cuts numbers that are too large to 64 bits
        AnyReward(id, RatNum(weights[id].numerator & MASK, weights[id].denominator & MASK))
        for id in sorted(weights)
    )


def _slots(view: View, proposal: AgreedProposal) -> int:
    """Slots of the smesher in the epoch."""
    data, id = proposal.epoch_data, proposal.ref_ballot
    if data is None:
        ballot = view.get(BALLOTS, id)
        if ballot is None:
            raise BlockRefused(f"Ballot {id.hex()}, to which a proposal refers, is not known.", "ref_ballot_not_found")
        data = ballot.inner.epoch_data
        if data is None:
            raise BlockRefused(
                f"Ballot {id.hex()}, to which a proposal refers, is not the first one of its epoch.",
                "ref_ballot_without_epoch_data",
            )
    if data.eligibility_count == 0:
        raise BlockRefused(f"Proposal {proposal.id.hex()} is of a smesher without slots.", "no_slots")
    return data.eligibility_count


def _transactions(view: View, proposals: Iterable[AgreedProposal]) -> list[tuple[PoolTransaction, LayerId]]:
    """All transactions, each where it is first, with the layer in which it was applied."""
    found: dict[TransactionId, tuple[PoolTransaction, LayerId]] = {}
    for proposal in proposals:
        for id in proposal.tx_ids:
            if id in found:
                continue
            stored = transactions.get(view, id)
            if stored is None:
                raise BlockRefused(f"Transaction {id.hex()} of a proposal is not known.", "proposal_tx_missing")
            if stored.header is None:
                raise BlockRefused(
                    f"Transaction {id.hex()} of a proposal is known, but not valid.", "proposal_tx_header_missing"
                )
            result = state.result(view, id)
            pooled = PoolTransaction.of_header(id, stored.raw, stored.header, stored.received)
            found[id] = pooled, NO_LAYER if result is None else result.layer
    return list(found.values())


def _agreed_mesh_hash(proposals: Iterable[AgreedProposal], threshold: int) -> Hash32 | None:
    """The mesh hash that so many percent of the eligibilities share; of several the one with most of them."""
    shares: dict[Hash32, int] = {}
    for one in proposals:
        shares[one.mesh_hash] = shares.get(one.mesh_hash, 0) + one.eligibilities
    total = sum(shares.values())
    shares.pop(NO_MESH_HASH, None)
    best = max(shares, key=lambda hash: shares[hash], default=None)
    return best if best is not None and shares[best] * 100 >= threshold * total else None
