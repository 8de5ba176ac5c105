"""Why a ballot or proposal is not taken, and why none can be made."""

from __future__ import annotations

from node.contract.verdicts import Verdict, ignore, reject
from node.errors import NodeError


class BallotRejected(NodeError):
    """A ballot or proposal that no honest node sends.

    reason: missing_epoch_data, missing_beacon, unexpected_epoch_data, empty_active_set, double_vote,
    conflicting_exceptions, too_many_exceptions, no_eligibility_proofs, atx_of_other_smesher, zero_active_set_weight,
    wrong_eligibility_count, ref_ballot_other_atx, ref_ballot_other_smesher, ref_ballot_other_epoch, counter_too_large,
    counters_not_increasing, wrong_layer.
    """


class BallotIgnored(NodeError):
    """A ballot or proposal that cannot be judged here, or not now.

    reason: unavailable, active_set_not_found, active_set_atx_missing, too_many_active_sets, ballots_unavailable,
    too_deep, atx_unavailable, atx_not_in_memory, tortoise_decode, ref_ballot_unknown, bad_vrf, ref_ballot_not_found,
    ref_ballot_without_epoch_data.
    """


class NoActiveSet(NodeError):
    """No active set of our own can be made now.

    reason: empty_or_weightless, not_available_yet, no_applied_block, atx_not_in_memory.
    """


def verdict_of(error: BallotRejected | BallotIgnored) -> Verdict:
    """What becomes of a message of which this is said."""
    return (reject if isinstance(error, BallotRejected) else ignore)(error.reason, str(error))
