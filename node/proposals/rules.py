"""What is said of a ballot without looking anything up: what belongs into which ballot, and how it may vote.

Protocol 04b, section 6, checks 2 and 6 of ballots, and 06-tortoise, section 5.3.
"""

from __future__ import annotations

from node.proposals.errors import BallotRejected
from node.tortoise.ballots import EpochClaim, TortoiseBallot
from protocol.types.ballots import Ballot, EpochData, Opinion, Votes
from protocol.types.ids import EMPTY_BALLOT_ID, NO_BEACON, BlockId, LayerId


def epoch_data_of(ballot: Ballot) -> EpochData | None:
    """What a first ballot says of its epoch; None where it is a later one.

    Raises BallotRejected (missing_epoch_data, missing_beacon, unexpected_epoch_data).
    """
    data = ballot.inner.epoch_data
    if ballot.inner.ref_ballot != EMPTY_BALLOT_ID:
        if data is not None:
            raise BallotRejected("A ballot that names its first ballot has epoch data.", "unexpected_epoch_data")
        return None
    if data is None:
        raise BallotRejected("The first ballot of an epoch has no epoch data.", "missing_epoch_data")
    if data.beacon == NO_BEACON:
        raise BallotRejected("The beacon of a first ballot is zero.", "missing_beacon")
    return data


def check_votes(votes: Votes, layer: LayerId, hdist: int, max_exceptions: int) -> None:
    """Whether the votes of a ballot of a layer go together.

    Raises BallotRejected (double_vote, conflicting_exceptions, too_many_exceptions). Votes against are not counted, as
    on the network, and votes of the base ballot are not looked at.
    """
    supported: set[BlockId] = set()
    voted: dict[LayerId, BlockId] = {}
    for vote in votes.support:
        supported.add(vote.id)
        if voted.setdefault(vote.layer, vote.id) != vote.id and vote.layer + hdist > layer:
            raise BallotRejected(
                f"Two blocks of layer {vote.layer} are supported, though hare came to one of them at most.",
                "double_vote",
            )
    for vote in votes.against:
        if vote.id in supported:
            raise BallotRejected(
                f"Block {vote.id.hex()} is both supported and voted against.", "conflicting_exceptions"
            )
    if len(supported) > max_exceptions:
        raise BallotRejected(
            f"{len(supported)} blocks are supported, at most {max_exceptions} may be.", "too_many_exceptions"
        )
    stated = {*voted, *(vote.layer for vote in votes.against)}
    for abstained in votes.abstain:
        if abstained in stated:
            raise BallotRejected(f"Layer {abstained} is both abstained and voted on.", "conflicting_exceptions")


def for_tortoise(ballot: Ballot, *, is_malicious: bool) -> TortoiseBallot:
    """A ballot as tortoise takes it. is_malicious: whether that is known of its smesher."""
    inner, data = ballot.inner, ballot.inner.epoch_data
    return TortoiseBallot(
        ballot.id(),
        ballot.smesher_id,
        inner.layer,
        inner.atx_id,
        len(ballot.eligibility_proofs),
        Opinion(inner.opinion_hash, ballot.votes),
        None if data is None else EpochClaim(data.beacon, data.eligibility_count),
        None if inner.ref_ballot == EMPTY_BALLOT_ID else inner.ref_ballot,
        is_malicious,
    )
