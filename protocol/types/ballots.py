"""Ballots: one smesher's view of the mesh in one layer, with the slots that entitle it to speak.

The id of a ballot covers its inner part only; votes, eligibilities, smesher and signature stay outside.
Protocol 03-encoding-and-types, sections 4.4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.declare import Record, c32, c64, record, up_to
from protocol.codec.sharing import once
from protocol.crypto.hashing import hash32

from .ids import (
    HASH20_SIZE,
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


@record
class EpochData(Record):
    """What a smesher's first ballot of an epoch says about the epoch."""

    active_set_hash: Hash32
    """`activation.active_set_hash` of the activations that the smesher counts in the epoch."""
    beacon: Beacon
    """The beacon that the smesher believes in."""
    eligibility_count: Annotated[int, c32]
    """Slots of the smesher in the epoch."""


@record
class InnerBallot(Record):
    """What the id of a ballot covers."""

    layer: LayerId
    """The layer that it was made for."""
    atx_id: AtxId
    """The smesher's activation that counts in the epoch."""
    opinion_hash: Hash32
    """The hash of the opinion that votes and base give together, `opinions.opinion_hash`."""
    ref_ballot: BallotId
    """The smesher's first ballot of the epoch; all zeros in that one itself."""
    epoch_data: EpochData | None = None
    """In the first ballot of the epoch only."""

    @once
    def hash(self) -> Hash32:
        """The hash of the encoding."""
        return Hash32(hash32(self.codec.encode(self)))


@record
class Vote(Record):
    """A block that is voted on. `BlockHeader` of the specification."""

    id: BlockId
    """The block."""
    layer: LayerId
    """Its layer."""
    height: Annotated[int, c64]
    """Ticks."""


@record
class Votes(Record):
    """How a ballot's opinion differs from that of its base ballot."""

    base: BallotId
    """The ballot whose opinion is taken over but for the lists that follow."""
    support: Annotated[Sequence[Vote], up_to(MAX_VOTES)] = ()
    """Blocks that are voted for, against the base's opinion."""
    against: Annotated[Sequence[Vote], up_to(MAX_VOTES)] = ()
    """Blocks that are voted against, against the base's opinion."""
    abstain: Annotated[Sequence[LayerId], up_to(MAX_VOTES)] = ()
    """Layers on which there is no opinion, because Hare has not ended there."""


@record
class VotingEligibility(Record):
    """A slot that falls on this layer."""

    j: Annotated[int, c32]
    """Counter of the slot."""
    sig: VrfSignature
    """The VRF proof over `eligibility.voting_input`; its first eight bytes choose the layer."""


@record
class Opinion(Record):
    """Votes with the hash of the opinion that they give; not sent by itself."""

    hash: Hash32
    """The opinion's hash."""
    votes: Votes
    """The votes."""


@record
class BallotMetadata(Record):
    """What the signature of a ballot or proposal covers."""

    layer: LayerId
    """The ballot's layer."""
    msg_hash: Hash32
    """`InnerBallot.hash` or `InnerProposal.hash`."""


@record
class Ballot(Record):
    """A ballot as it is sent and stored."""

    inner: InnerBallot
    """What the id covers."""
    signature: EdSignature
    """By the smesher over `signed_bytes`, in the domain BALLOT."""
    smesher_id: NodeId
    """Who made it."""
    votes: Votes
    """Its opinion, as a difference."""
    eligibility_proofs: Annotated[Sequence[VotingEligibility], up_to(MAX_ELIGIBILITIES)]
    """Slots that entitle it to this layer, by ascending counter; each gives its weight once."""
    active_set: Annotated[Sequence[AtxId], up_to(MAX_BALLOT_ACTIVE_SET)] = ()
    """Unused."""

    def id(self) -> BallotId:
        """The first 20 bytes of the hash of the inner part; computed each time."""
        return BallotId(self.inner.hash()[:HASH20_SIZE])

    @once
    def signed_bytes(self) -> bytes:
        """What is signed in the domain BALLOT."""
        return BallotMetadata.codec.encode(BallotMetadata(self.inner.layer, self.inner.hash()))
