"""Messages by which an epoch's beacon is agreed on, and those of its weak coin.

Protocol 03-encoding-and-types, sections 4.8 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protocol.codec.declare import byte_string, c32, fixed, struct, vector
from protocol.crypto.hashing import hash32

from .ids import (
    ED_SIGNATURE,
    NODE_ID,
    VRF_SIGNATURE,
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
BEACON_SIZE = 4
MAX_PROPOSALS = 1000
MAX_VOTES_SIZE = 128


@dataclass(frozen=True, slots=True)
class ProposalMessage:
    """A proposal. Topic `bp1`."""

    epoch: EpochId
    node_id: NodeId
    vrf_signature: VrfSignature

    codec = struct(epoch=c32, node_id=NODE_ID, vrf_signature=VRF_SIGNATURE)

    def proposal(self) -> bytes:
        """The first bytes of the proof."""
        return self.vrf_signature[:PROPOSAL_SIZE]


@dataclass(frozen=True, slots=True)
class FirstVotingMessageBody:
    """Which proposals came in time, and which a little late."""

    epoch: EpochId
    valid_proposals: Sequence[bytes]
    potentially_valid_proposals: Sequence[bytes]

    codec = struct(
        epoch=c32,
        valid_proposals=vector(fixed(PROPOSAL_SIZE), MAX_PROPOSALS),
        potentially_valid_proposals=vector(fixed(PROPOSAL_SIZE), MAX_PROPOSALS),
    )


@dataclass(frozen=True, slots=True)
class FirstVotingMessage:
    """The first vote. Topic `bf1`."""

    body: FirstVotingMessageBody
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(body=FirstVotingMessageBody.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """What is signed in the domain BEACON_FIRST_MSG."""
        return FirstVotingMessageBody.codec.encode(self.body)


@dataclass(frozen=True, slots=True)
class FollowingVotingMessageBody:
    """Votes in a later round, a bit for each proposal of the first vote."""

    epoch: EpochId
    round: RoundId
    votes: bytes

    codec = struct(epoch=c32, round=c32, votes=byte_string(MAX_VOTES_SIZE))


@dataclass(frozen=True, slots=True)
class FollowingVotingMessage:
    """A later vote. Topic `bo1`."""

    body: FollowingVotingMessageBody
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(body=FollowingVotingMessageBody.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """What is signed in the domain BEACON_FOLLOWUP_MSG."""
        return FollowingVotingMessageBody.codec.encode(self.body)


@dataclass(frozen=True, slots=True)
class WeakCoinMessage:
    """A toss of the weak coin. Topic `bw1`."""

    epoch: EpochId
    round: RoundId
    unit: int
    node_id: NodeId
    vrf_signature: VrfSignature

    codec = struct(epoch=c32, round=c32, unit=c32, node_id=NODE_ID, vrf_signature=VRF_SIGNATURE)


def proposals_hash(proposals: Iterable[bytes]) -> Hash32:
    """The hash of the proposals that were agreed on."""
    return Hash32(hash32(*sorted(proposals)))


def beacon_of(proposals: Iterable[bytes]) -> Beacon:
    """The beacon that the proposals give."""
    return Beacon(proposals_hash(proposals)[:BEACON_SIZE])
