"""What the tortoise refuses."""

from __future__ import annotations

from node.errors import NodeError


class TortoiseError(NodeError):
    """Something that the tortoise was told or asked cannot be. `reason` says what, in one word."""


class VotesRefused(TortoiseError):
    """A ballot whose votes contradict themselves or its base.

    reason: conflicting_votes, conflict_abstain, wrong_target, base_not_earlier.
    """


class BallotRefused(TortoiseError):
    """A ballot that cannot be decoded or stored as things stand.

    reason: evicted, cannot_decode, unknown_base, unknown_atx, no_reference, not_a_reference, evicted_blocks,
    hash_mismatch, exists.
    """


class CannotVote(TortoiseError):
    """No votes can be encoded now. reason: not_drained, base_unusable, coin_not_recorded, too_many_exceptions,
    no_ballots, or one of VotesRefused."""
