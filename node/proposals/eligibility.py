"""Whether a ballot has the slots that it claims in its layer.

The first ballot of a smesher in an epoch says which beacon it believes in and how many slots it has; all its later
ballots of the epoch are judged by that. Protocol 04b, section 6, checks 7 to 11 of ballots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.activation.columns import AtxRow
from node.contract.checks import VrfCheck
from node.eligibility.slots import MinimalWeight, minimal_weight, slot_count
from node.proposals.errors import BallotIgnored, BallotRejected
from node.tortoise.ballots import BallotFacts
from protocol.codec.sharing import known
from protocol.crypto import vrf
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, EpochData
from protocol.types.eligibility import voting_input
from protocol.types.ids import EMPTY_BALLOT_ID, NO_BEACON, Beacon, EpochId


@dataclass(frozen=True, slots=True)
class Standing:
    """What a smesher's slots are judged by."""

    beacon: Beacon
    slots: int


def require_owner(ballot: Ballot, atx: AtxRow | None) -> AtxRow:
    """The ATX that entitles the smesher in the epoch of the ballot. Raises BallotIgnored, BallotRejected."""
    id = ballot.inner.atx_id
    if atx is None:
        raise BallotIgnored(f"ATX {id.hex()} is not known in the epoch of the ballot.", "atx_not_in_memory")
    if atx.node != ballot.smesher_id:
        raise BallotRejected(
            f"ATX {id.hex()} belongs to {atx.node.hex()}, but the ballot is of {ballot.smesher_id.hex()}.",
            "atx_of_other_smesher",
        )
    return atx


def standing(
    ballot: Ballot,
    atx: AtxRow,
    total: int,
    first: BallotFacts | None,
    current: EpochId,
    time: NetworkTime,
    layer_size: int,
    minimal: Sequence[MinimalWeight],
) -> Standing:
    """By what the slots of a ballot are judged. Raises BallotIgnored, BallotRejected.

    total: weight of the active set that the ballot names, 0 where it was not looked at; first: what tortoise has of
    the smesher's first ballot of the epoch, where this is another one; current: the epoch that runs.
    """
    inner, epoch = ballot.inner, time.epoch_of(ballot.inner.layer)
    data = inner.epoch_data
    if data is not None and epoch == current:
        return _claimed(data, atx.weight, total, minimal_weight(minimal, epoch), layer_size, time.layers_per_epoch)
    if inner.ref_ballot == EMPTY_BALLOT_ID:
        if data is None:
            raise BallotRejected("The first ballot of an epoch has no epoch data.", "missing_epoch_data")
        return Standing(data.beacon, data.eligibility_count)
    return _referred(ballot, first, epoch, time)


def _claimed(
    data: EpochData, weight: int, total: int, minimal: int, layer_size: int, layers_per_epoch: int
) -> Standing:
    if data.beacon == NO_BEACON:
        raise BallotRejected("The beacon of a first ballot is zero.", "missing_beacon")
    if total == 0:
        raise BallotRejected("The active set of a first ballot has no weight.", "zero_active_set_weight")
    slots = slot_count(weight, total, minimal, layer_size, layers_per_epoch)
    if data.eligibility_count != slots:
        raise BallotRejected(
            f"A first ballot claims {data.eligibility_count} slots in its epoch, expected {slots}.",
            "wrong_eligibility_count",
        )
    return Standing(data.beacon, slots)


def _referred(ballot: Ballot, first: BallotFacts | None, epoch: EpochId, time: NetworkTime) -> Standing:
    inner, id = ballot.inner, ballot.inner.ref_ballot
    if first is None:
        raise BallotIgnored(f"First ballot {id.hex()} is not known.", "ref_ballot_unknown")
    if first.atx_id != inner.atx_id:
        raise BallotRejected(
            f"The ballot has ATX {inner.atx_id.hex()}, its first ballot {first.atx_id.hex()}.", "ref_ballot_other_atx"
        )
    if first.smesher != ballot.smesher_id:
        raise BallotRejected(f"First ballot {id.hex()} is of another smesher.", "ref_ballot_other_smesher")
    if time.epoch_of(first.layer) != epoch:
        raise BallotRejected(
            f"The ballot is of epoch {epoch}, its first ballot of layer {first.layer}.", "ref_ballot_other_epoch"
        )
    return Standing(first.beacon, first.total_eligibilities)


def proofs_to_check(
    ballot: Ballot, by: Standing, nonce: int, time: NetworkTime
) -> tuple[Sequence[VrfCheck], BallotRejected | None]:
    """The proofs that have to hold before it can be said what is wrong with the ballot, and what that is.

    The network looks at the proofs one after another: a proof that does not hold is told before a fault behind it.
    """
    return known(_proofs_to_check, ballot, by, nonce, time)


def _proofs_to_check(
    ballot: Ballot, by: Standing, nonce: int, time: NetworkTime
) -> tuple[Sequence[VrfCheck], BallotRejected | None]:
    epoch = time.epoch_of(ballot.inner.layer)
    checks: list[VrfCheck] = []
    before = -1
    for proof in ballot.eligibility_proofs:
        if proof.j >= by.slots:
            return checks, BallotRejected(
                f"Slot {proof.j} is claimed, expected one below {by.slots}.", "counter_too_large"
            )
        if proof.j <= before:
            return checks, BallotRejected(f"Slot {proof.j} comes after slot {before}.", "counters_not_increasing")
        before = proof.j
        checks.append(VrfCheck(ballot.smesher_id, voting_input(by.beacon, epoch, nonce, proof.j), proof.sig))
        layer = vrf.slot_layer(proof.sig, epoch, time.layers_per_epoch)
        if layer != ballot.inner.layer:
            return checks, BallotRejected(
                f"Slot {proof.j} lies in layer {layer}, the ballot is of layer {ballot.inner.layer}.", "wrong_layer"
            )
    return checks, None
