"""Messages of Hare, the agreement on a layer's proposals: versions 3 and 4, which sends short ids first.

A message is signed over the hash of its body, so a proof of equivocation needs only the metadata.
Protocol 03-encoding-and-types, sections 4.7 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from protocol.codec.declare import c8, c16, c32, option, struct, vector
from protocol.crypto.hashing import hash32

from .ids import (
    COMPACT_PROPOSAL_ID,
    ED_SIGNATURE,
    HASH32,
    NODE_ID,
    PROPOSAL_ID,
    VRF_SIGNATURE,
    CompactProposalId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    VrfSignature,
)

MAX_PROPOSALS = 2350
MAX_EXCHANGED_IDS = 2050
ROUNDS_PER_ITERATION = 7


class HareRound(IntEnum):
    """The steps of an iteration; messages are sent in PREROUND, PROPOSE, COMMIT and NOTIFY."""

    PREROUND = 0
    HARDLOCK = 1
    SOFTLOCK = 2
    PROPOSE = 3
    WAIT1 = 4
    WAIT2 = 5
    COMMIT = 6
    NOTIFY = 7


@dataclass(frozen=True, slots=True)
class IterRound:
    """A moment of Hare."""

    iter: int
    round: int
    """A HareRound; the network takes any number below 256."""

    codec = struct(iter=c8, round=c8)

    def absolute(self) -> int:
        """Counted from the preround; NOTIFY has the number of the next iteration's round 0."""
        return self.iter * ROUNDS_PER_ITERATION + self.round


@dataclass(frozen=True, slots=True)
class HareEligibility:
    """The right to take part, as often as the count says."""

    proof: VrfSignature
    count: int

    codec = struct(proof=VRF_SIGNATURE, count=c16)


@dataclass(frozen=True, slots=True)
class HareMetadata:
    """What the signature of a message covers."""

    layer: LayerId
    round: int
    """The absolute round."""
    msg_hash: Hash32

    codec = struct(layer=c32, round=c32, msg_hash=HASH32)


@dataclass(frozen=True, slots=True)
class Hare3Value:
    """Proposals themselves, or the reference of a set of them (`proposals.proposals_hash`)."""

    proposals: Sequence[ProposalId] = ()
    reference: Hash32 | None = None

    codec = struct(proposals=vector(PROPOSAL_ID, MAX_PROPOSALS), reference=option(HASH32))


@dataclass(frozen=True, slots=True)
class Hare4Value:
    """As in version 3, or short ids instead."""

    proposals: Sequence[ProposalId] = ()
    reference: Hash32 | None = None
    compact_proposals: Sequence[CompactProposalId] = ()

    codec = struct(
        proposals=vector(PROPOSAL_ID, MAX_PROPOSALS),
        reference=option(HASH32),
        compact_proposals=vector(COMPACT_PROPOSAL_ID, MAX_PROPOSALS),
    )


@dataclass(frozen=True, slots=True)
class Hare3Body:
    """What a smesher says in a round."""

    layer: LayerId
    iter_round: IterRound
    value: Hare3Value
    eligibility: HareEligibility

    codec = struct(layer=c32, iter_round=IterRound.codec, value=Hare3Value.codec, eligibility=HareEligibility.codec)

    def hash(self) -> Hash32:
        """The hash of the encoding."""
        return Hash32(hash32(self.codec.encode(self)))


@dataclass(frozen=True, slots=True)
class Hare3Message:
    """A message of version 3. Topic `/h/3.0`."""

    body: Hare3Body
    sender: NodeId
    signature: EdSignature

    codec = struct(body=Hare3Body.codec, sender=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """The metadata, which is signed in the domain HARE."""
        return signed_bytes(self.body)

    def is_well_formed(self) -> bool:
        """Whether the reference is there exactly in the rounds that have one."""
        return is_well_formed(self.body)


@dataclass(frozen=True, slots=True)
class Hare4Body:
    """What a smesher says in a round."""

    layer: LayerId
    iter_round: IterRound
    value: Hare4Value
    eligibility: HareEligibility

    codec = struct(layer=c32, iter_round=IterRound.codec, value=Hare4Value.codec, eligibility=HareEligibility.codec)

    def hash(self) -> Hash32:
        """The hash of the encoding; of a body as it was sent, also the id in the exchange of full lists."""
        return Hash32(hash32(self.codec.encode(self)))

    def in_full(self, proposals: Sequence[ProposalId]) -> Hare4Body:
        """The body that is signed in the preround: full sorted ids in place of the short ones that are sent."""
        value = replace(self.value, proposals=tuple(sorted(proposals)), compact_proposals=())
        return replace(self, value=value)


@dataclass(frozen=True, slots=True)
class Hare4Message:
    """A message of version 4. Topic `/h/4.0`."""

    body: Hare4Body
    sender: NodeId
    signature: EdSignature
    """In the preround over the body with the full list, see `Hare4Body.in_full`."""

    codec = struct(body=Hare4Body.codec, sender=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """The metadata of this body, which in all rounds but the preround is signed in the domain HARE."""
        return signed_bytes(self.body)

    def is_well_formed(self) -> bool:
        """Whether the reference is there exactly in the rounds that have one."""
        return is_well_formed(self.body)


@dataclass(frozen=True, slots=True)
class CompactIdRequest:
    """Asks for the full ids behind the short ones of a message."""

    msg_id: Hash32

    codec = struct(msg_id=HASH32)


@dataclass(frozen=True, slots=True)
class CompactIdResponse:
    """The full ids."""

    ids: Sequence[ProposalId]

    codec = struct(ids=vector(PROPOSAL_ID, MAX_EXCHANGED_IDS))


@dataclass(frozen=True, slots=True)
class HareEligibilityGossip:
    """A relic in gossiped proofs of malfeasance, where it must be absent."""

    layer: LayerId
    round: int
    node_id: NodeId
    eligibility: HareEligibility

    codec = struct(layer=c32, round=c32, node_id=NODE_ID, eligibility=HareEligibility.codec)


def signed_bytes(body: Hare3Body | Hare4Body) -> bytes:
    """The encoded metadata of a body."""
    return HareMetadata.codec.encode(HareMetadata(body.layer, body.iter_round.absolute(), body.hash()))


def is_well_formed(body: Hare3Body | Hare4Body) -> bool:
    """Whether commit and notify name a reference, and preround and propose do not; nothing else is asked."""
    if body.iter_round.round in (HareRound.COMMIT, HareRound.NOTIFY):
        return body.value.reference is not None
    if body.iter_round.round in (HareRound.PREROUND, HareRound.PROPOSE):
        return body.value.reference is None
    return True
