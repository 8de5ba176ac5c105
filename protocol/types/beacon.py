"""Messages by which an epoch's beacon is agreed on, and those of its weak coin.

Protocol 03-encoding-and-types, sections 4.8 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from protocol.codec.declare import Record, c32, exactly, record, up_to
from protocol.crypto.hashing import hash32

from .ids import (
    BEACON_SIZE,
    Beacon,
    EdSignature,
    EpochId,
    Hash32,
    NodeId,
    RoundId,
    VrfSignature,
)

PROPOSAL_SIZE = 4
"""Bytes of a VRF proof that stand for a proposal."""
MAX_PROPOSALS = 1000
MAX_VOTES_SIZE = 128

BeaconProposal = Annotated[bytes, exactly(PROPOSAL_SIZE)]
"""The first bytes of a VRF proof."""


@record
class ProposalMessage(Record):
    """A proposal. Topic `bp1`."""

    epoch: EpochId
    """The epoch in which the beacon is agreed on; it is used in the next one."""
    node_id: NodeId
    """Who proposes."""
    vrf_signature: VrfSignature
    """The VRF proof over `eligibility.beacon_proposal_input`; as a number below the threshold."""

    def proposal(self) -> bytes:
        """The first bytes of the proof."""
        return self.vrf_signature[:PROPOSAL_SIZE]


@record
class FirstVotingMessageBody(Record):
    """Which proposals came in time, and which a little late."""

    epoch: EpochId
    """The epoch in which the beacon is agreed on."""
    valid_proposals: Annotated[Sequence[BeaconProposal], up_to(MAX_PROPOSALS)]
    """Those that came in time."""
    potentially_valid_proposals: Annotated[Sequence[BeaconProposal], up_to(MAX_PROPOSALS)]
    """Those that came late, within the grace period."""


@record
class FirstVotingMessage(Record):
    """The first vote. Topic `bf1`."""

    body: FirstVotingMessageBody
    """What is signed."""
    smesher_id: NodeId
    """Who votes."""
    signature: EdSignature
    """By the smesher over `signed_bytes`, in the domain BEACON_FIRST_MSG."""

    def signed_bytes(self) -> bytes:
        """What is signed in the domain BEACON_FIRST_MSG."""
        return FirstVotingMessageBody.codec.encode(self.body)


@record
class FollowingVotingMessageBody(Record):
    """Votes in a later round, a bit for each proposal of the first vote."""

    epoch: EpochId
    """The epoch in which the beacon is agreed on."""
    round: RoundId
    """The round, from 1; the first vote is round 0."""
    votes: Annotated[bytes, up_to(MAX_VOTES_SIZE)]
    """A bit for each proposal, set where it is voted for."""


@record
class FollowingVotingMessage(Record):
    """A later vote. Topic `bo1`."""

    body: FollowingVotingMessageBody
    """What is signed."""
    smesher_id: NodeId
    """Who votes."""
    signature: EdSignature
    """By the smesher over `signed_bytes`, in the domain BEACON_FOLLOWUP_MSG."""

    def signed_bytes(self) -> bytes:
        """What is signed in the domain BEACON_FOLLOWUP_MSG."""
        return FollowingVotingMessageBody.codec.encode(self.body)


@record
class WeakCoinMessage(Record):
    """A toss of the weak coin. Topic `bw1`."""

    epoch: EpochId
    """The epoch in which the beacon is agreed on."""
    round: RoundId
    """The round whose coin is tossed."""
    unit: Annotated[int, c32]
    """Which of the smesher's tosses, by its weight."""
    node_id: NodeId
    """Who tosses."""
    vrf_signature: VrfSignature
    """The VRF proof over `eligibility.weak_coin_input`; the smallest one of a round decides."""


def proposals_hash(proposals: Iterable[bytes]) -> Hash32:
    """The hash of the proposals that were agreed on."""
    return Hash32(hash32(*sorted(proposals)))


def beacon_of(proposals: Iterable[bytes]) -> Beacon:
    """The beacon that the proposals give."""
    return Beacon(proposals_hash(proposals)[:BEACON_SIZE])
