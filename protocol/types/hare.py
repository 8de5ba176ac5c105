"""Messages of Hare, the agreement on a layer's proposals: versions 3 and 4, which sends short ids first.

A message is signed over the hash of its body, so a proof of equivocation needs only the metadata.
Protocol 03-encoding-and-types, sections 4.7 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Annotated

from protocol.codec.declare import Record, c8, c16, c32, record, up_to
from protocol.codec.sharing import once
from protocol.crypto.hashing import hash32

from .ids import (
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


@record
class IterRound(Record):
    """A moment of Hare."""

    iter: Annotated[int, c8]
    """The iteration, from 0."""
    round: Annotated[int, c8]
    """A HareRound; the network takes any number below 256."""

    def absolute(self) -> int:
        """Counted from the preround; NOTIFY has the number of the next iteration's round 0."""
        return self.iter * ROUNDS_PER_ITERATION + self.round


@record
class HareEligibility(Record):
    """The right to take part, as often as the count says."""

    proof: VrfSignature
    """The VRF proof over `eligibility.hare_input`."""
    count: Annotated[int, c16]
    """Seats in the committee."""


@record
class HareMetadata(Record):
    """What the signature of a message covers."""

    layer: LayerId
    """The layer that is agreed on."""
    round: Annotated[int, c32]
    """The absolute round."""
    msg_hash: Hash32
    """The hash of the body."""


@record
class Hare3Value(Record):
    """Proposals themselves, or the reference of a set of them (`proposals.proposals_hash`)."""

    proposals: Annotated[Sequence[ProposalId], up_to(MAX_PROPOSALS)] = ()
    """Sorted; empty in the rounds that name a reference."""
    reference: Hash32 | None = None
    """In COMMIT and NOTIFY only."""


@record
class Hare4Value(Record):
    """As in version 3, or short ids instead."""

    proposals: Annotated[Sequence[ProposalId], up_to(MAX_PROPOSALS)] = ()
    """Sorted; empty in the rounds that name a reference, and in a preround as it is sent."""
    reference: Hash32 | None = None
    """In COMMIT and NOTIFY only."""
    compact_proposals: Annotated[Sequence[CompactProposalId], up_to(MAX_PROPOSALS)] = ()
    """In the preround only: of each proposal the first bytes of its first eligibility."""


@record
class Hare3Body(Record):
    """What a smesher says in a round."""

    layer: LayerId
    """The layer that is agreed on."""
    iter_round: IterRound
    """When it is said."""
    value: Hare3Value
    """What is said."""
    eligibility: HareEligibility
    """By what right."""

    @once
    def hash(self) -> Hash32:
        """The hash of the encoding."""
        return Hash32(hash32(self.codec.encode(self)))


@record
class Hare3Message(Record):
    """A message of version 3. Topic `/h/3.0`."""

    body: Hare3Body
    """What is said."""
    sender: NodeId
    """Who says it."""
    signature: EdSignature
    """By the sender over `signed_bytes`, in the domain HARE."""

    def signed_bytes(self) -> bytes:
        """The metadata, which is signed in the domain HARE."""
        return signed_bytes(self.body)

    def is_well_formed(self) -> bool:
        """Whether the reference is there exactly in the rounds that have one."""
        return is_well_formed(self.body)


@record
class Hare4Body(Record):
    """What a smesher says in a round."""

    layer: LayerId
    """The layer that is agreed on."""
    iter_round: IterRound
    """When it is said."""
    value: Hare4Value
    """What is said."""
    eligibility: HareEligibility
    """By what right."""

    @once
    def hash(self) -> Hash32:
        """The hash of the encoding; of a body as it was sent, also the id in the exchange of full lists."""
        return Hash32(hash32(self.codec.encode(self)))

    def in_full(self, proposals: Sequence[ProposalId]) -> Hare4Body:
        """The body that is signed in the preround: full sorted ids in place of the short ones that are sent."""
        value = replace(self.value, proposals=tuple(sorted(proposals)), compact_proposals=())
        return replace(self, value=value)


@record
class Hare4Message(Record):
    """A message of version 4. Topic `/h/4.0`."""

    body: Hare4Body
    """What is said."""
    sender: NodeId
    """Who says it."""
    signature: EdSignature
    """In the preround over the body with the full list, see `Hare4Body.in_full`."""

    def signed_bytes(self) -> bytes:
        """The metadata of this body, which in all rounds but the preround is signed in the domain HARE."""
        return signed_bytes(self.body)

    def is_well_formed(self) -> bool:
        """Whether the reference is there exactly in the rounds that have one."""
        return is_well_formed(self.body)


@record
class CompactIdRequest(Record):
    """Asks for the full ids behind the short ones of a message."""

    msg_id: Hash32
    """`Hare4Body.hash` of the body as it was sent."""


@record
class CompactIdResponse(Record):
    """The full ids."""

    ids: Annotated[Sequence[ProposalId], up_to(MAX_EXCHANGED_IDS)]
    """Of all proposals of the message."""


@record
class HareEligibilityGossip(Record):
    """A relic in gossiped proofs of malfeasance, where it must be absent."""

    layer: LayerId
    """The layer that is agreed on."""
    round: Annotated[int, c32]
    """The absolute round."""
    node_id: NodeId
    """Who may take part."""
    eligibility: HareEligibility
    """By what right."""


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
