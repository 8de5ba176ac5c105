"""Ballots as the tortoise takes them, and how their votes are unfolded: from the base ballot and what differs from it.

Protocol 06-tortoise, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.tortoise.errors import BallotRefused, VotesRefused
from node.tortoise.state import BallotInfo, Reference, State, unit_weight
from node.tortoise.votes import Chain, decode
from protocol.types.ballots import Opinion
from protocol.types.ids import EMPTY_BALLOT_ID, AtxId, BallotId, Beacon, LayerId, NodeId


@dataclass(frozen=True, slots=True)
class EpochClaim:
    """What the first ballot of a smesher in an epoch claims."""

    beacon: Beacon
    total_eligibilities: int


@dataclass(frozen=True, slots=True)
class TortoiseBallot:
    """A ballot as the tortoise needs it."""

    id: BallotId
    smesher: NodeId
    layer: LayerId
    atx_id: AtxId
    eligibilities: int
    """Slots of this layer."""
    opinion: Opinion
    epoch_data: EpochClaim | None = None
    ref: BallotId | None = None
    """The smesher's first ballot of the epoch, where this is not it."""
    is_malicious: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """A ballot whose votes are unfolded; for `Tortoise.store`."""

    info: BallotInfo
    lowest: LayerId
    """The lowest layer with blocks that may be unknown."""


@dataclass(frozen=True, slots=True)
class BallotFacts:
    """What a stored ballot says of its smesher."""

    id: BallotId
    layer: LayerId
    atx_id: AtxId
    smesher: NodeId
    beacon: Beacon
    total_eligibilities: int


def decode_ballot(state: State, ballot: TortoiseBallot, *, is_recovered: bool) -> Decoded:
    """Unfold the votes of a ballot. is_recovered: its base and what it votes on may be outside the window.

    Raises VotesRefused, BallotRefused.
    """
    if ballot.layer <= state.evicted:
        raise BallotRefused(f"ballot {ballot.id.hex()} is of layer {ballot.layer}, which is evicted", "evicted")
    if (known := state.ballots.get(ballot.id)) is not None:
        return Decoded(known, LayerId(0))
    wire = ballot.opinion.votes
    refusal: BallotRefused | None = None
    base_votes: Chain = None
    if wire.base == EMPTY_BALLOT_ID:
        base_layer = state.parameters.effective_genesis
    elif (base := state.ballots.get(wire.base)) is not None:
        base_layer, base_votes = base.layer, base.votes
    else:
        base_layer = state.evicted
        refusal = BallotRefused(f"base ballot {wire.base.hex()} is not known", "unknown_base")
    if base_layer >= ballot.layer:
        raise VotesRefused(
            f"ballot {ballot.id.hex()} of layer {ballot.layer} stands on a base of layer {base_layer}, expected a "
            "lower one",
            "base_not_earlier",
        )
    reference = _reference(state, ballot)
    is_malicious = ballot.is_malicious or ballot.smesher in state.malicious
    weight = 0 if is_malicious else reference.unit_weight * ballot.eligibilities
    votes = state.layer(ballot.layer).opinions.get(ballot.opinion.hash)
    lowest = LayerId(0)
    if votes is None:
        if base_layer <= state.evicted and refusal is None and not is_recovered:
            # the base is the genesis: no need to unfold all layers since then
            raise _evicted_blocks(ballot, base_layer, state.evicted)
        votes, lowest = decode(base_votes, base_layer, ballot.layer, wire)
        if lowest <= state.evicted and refusal is None:
            refusal = _evicted_blocks(ballot, lowest, state.evicted)
    if refusal is not None and not is_recovered:
        raise refusal
    return Decoded(BallotInfo(ballot.id, ballot.layer, reference, votes, weight, is_malicious), lowest)


def _evicted_blocks(ballot: TortoiseBallot, lowest: LayerId, evicted: LayerId) -> BallotRefused:
    return BallotRefused(
        f"ballot {ballot.id.hex()} votes on layer {lowest}, but layers up to {evicted} are evicted", "evicted_blocks"
    )


def _reference(state: State, ballot: TortoiseBallot) -> Reference:
    claim = ballot.epoch_data
    if claim is not None:
        epoch = state.epoch_of(ballot.layer)
        atx = state.atxs.get(epoch, ballot.atx_id)
        if atx is None:
            raise BallotRefused(f"ATX {ballot.atx_id.hex()} is not known in epoch {epoch}", "unknown_atx")
        if claim.total_eligibilities < 1:
            raise BallotRefused(f"ballot {ballot.id.hex()} claims no eligibilities in its epoch", "no_reference")
        return Reference(
            ballot.smesher,
            ballot.atx_id,
            claim.total_eligibilities,
            claim.beacon,
            unit_weight(atx.weight, claim.total_eligibilities),
            atx.height,
        )
    if ballot.ref is None:
        raise BallotRefused(f"ballot {ballot.id.hex()} has neither epoch data nor a first ballot", "no_reference")
    first = state.ballots.get(ballot.ref)
    if first is None:
        raise BallotRefused(f"first ballot {ballot.ref.hex()} is not known", "cannot_decode")
    return first.reference
