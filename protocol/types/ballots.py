"""Ballots: one smesher's view of the mesh in one layer, with the slots that entitle it to speak.

The id of a ballot covers its inner part only; votes, eligibilities, smesher and signature stay outside.
Protocol 03-encoding-and-types, sections 4.4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec.declare import c32, c64, option, struct, vector
from protocol.crypto.hashing import hash32

from .ids import (
    ATX_ID,
    BALLOT_ID,
    BEACON,
    BLOCK_ID,
    ED_SIGNATURE,
    HASH32,
    NODE_ID,
    VRF_SIGNATURE,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
    VrfSignature,
)

MAX_VOTES = 10_000
"""In each of the three lists."""
MAX_ELIGIBILITIES = 25_000
MAX_BALLOT_ACTIVE_SET = 1
"""A relic: the list is empty, its length stays on the wire."""
HASH20_SIZE = 20


@dataclass(frozen=True, slots=True)
class EpochData:
    """What a smesher's first ballot of an epoch says about the epoch."""

    active_set_hash: Hash32
    beacon: Beacon
    eligibility_count: int
    """Slots of the smesher in the epoch."""

    codec = struct(active_set_hash=HASH32, beacon=BEACON, eligibility_count=c32)


@dataclass(frozen=True, slots=True)
class InnerBallot:
    """What the id of a ballot covers."""

    layer: LayerId
    atx_id: AtxId
    opinion_hash: Hash32
    ref_ballot: BallotId
    """The smesher's first ballot of the epoch; all zeros in that one itself."""
    epoch_data: EpochData | None = None
    """In the first ballot of the epoch only."""

    codec = struct(
        layer=c32, atx_id=ATX_ID, opinion_hash=HASH32, ref_ballot=BALLOT_ID, epoch_data=option(EpochData.codec)
    )

    def hash(self) -> Hash32:
        """The hash of the encoding."""
        return Hash32(hash32(self.codec.encode(self)))


@dataclass(frozen=True, slots=True)
class Vote:
    """A block that is voted on. `BlockHeader` of the specification."""

    id: BlockId
    layer: LayerId
    height: int
    """Ticks."""

    codec = struct(id=BLOCK_ID, layer=c32, height=c64)


@dataclass(frozen=True, slots=True)
class Votes:
    """How a ballot's opinion differs from that of its base ballot."""

    base: BallotId
    support: Sequence[Vote] = ()
    against: Sequence[Vote] = ()
    abstain: Sequence[LayerId] = ()

    codec = struct(
        base=BALLOT_ID,
        support=vector(Vote.codec, MAX_VOTES),
        against=vector(Vote.codec, MAX_VOTES),
        abstain=vector(c32, MAX_VOTES),
    )


@dataclass(frozen=True, slots=True)
class VotingEligibility:
    """A slot that falls on this layer."""

    j: int
    """Counter of the slot."""
    sig: VrfSignature

    codec = struct(j=c32, sig=VRF_SIGNATURE)


@dataclass(frozen=True, slots=True)
class Opinion:
    """Votes with the hash of the opinion that they give; not sent by itself."""

    hash: Hash32
    votes: Votes

    codec = struct(hash=HASH32, votes=Votes.codec)


@dataclass(frozen=True, slots=True)
class BallotMetadata:
    """What the signature of a ballot or proposal covers."""

    layer: LayerId
    msg_hash: Hash32

    codec = struct(layer=c32, msg_hash=HASH32)


@dataclass(frozen=True, slots=True)
class Ballot:
    """A ballot as it is sent and stored."""

    inner: InnerBallot
    signature: EdSignature
    smesher_id: NodeId
    votes: Votes
    eligibility_proofs: Sequence[VotingEligibility]
    active_set: Sequence[AtxId] = ()
    """Unused."""

    codec = struct(
        inner=InnerBallot.codec,
        signature=ED_SIGNATURE,
        smesher_id=NODE_ID,
        votes=Votes.codec,
        eligibility_proofs=vector(VotingEligibility.codec, MAX_ELIGIBILITIES),
        active_set=vector(ATX_ID, MAX_BALLOT_ACTIVE_SET),
    )

    def id(self) -> BallotId:
        """The first 20 bytes of the hash of the inner part; computed each time."""
        return BallotId(self.inner.hash()[:HASH20_SIZE])

    def signed_bytes(self) -> bytes:
        """What is signed in the domain BALLOT."""
        return BallotMetadata.codec.encode(BallotMetadata(self.inner.layer, self.inner.hash()))
