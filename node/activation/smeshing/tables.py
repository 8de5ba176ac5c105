"""What is kept of an activation in the making: in the own store, since none of it can be had again.

| row | until |
|---|---|
| initial proof | for ever; made anew where it does not fit the space any more |
| certificate | for ever; replaced where a server refuses it |
| challenge, registrations, membership, proofs of a round and of space | it is published, or its epoch over |

Protocol 04-activation-beacon-eligibility, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from node.store.keys import compound, fixed, text_tail
from node.store.table import RAW, Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import Record, boolean, byte, c32, c64, record, up_to
from protocol.codec.declare import u64 as fixed_u64
from protocol.types.activation import NIPostChallengeV1, PostV1
from protocol.types.activation_v2 import NIPostChallengeV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, Hash32, NodeId, PoetProofRef
from protocol.types.poet import MAX_MEMBERSHIP_NODES, MembershipProof

MAX_TEXT = 1 << 10
"""Bytes of a server's name of a round."""
MAX_CERTIFICATE = 1 << 16


@record
class InitialPost(Record):
    """A proof of space over the challenge of zeros: that the labels were made."""

    post: PostV1
    num_units: Annotated[int, c32]
    commitment_atx: AtxId
    labels_per_unit: Annotated[int, c64]
    vrf_nonce: Annotated[int, c64]
    is_verified: Annotated[bool, boolean]


@record
class StoredCertificate(Record):
    """A certifier's word for a PoET server."""

    certificate: Annotated[bytes, up_to(MAX_CERTIFICATE)]
    signature: Annotated[bytes, up_to(MAX_CERTIFICATE)]


@record
class Challenge(Record):
    """The plan of an activation, as it is registered."""

    publish_epoch: EpochId
    version: Annotated[int, byte]
    sequence: Annotated[int, c64]
    """Unused in version 2."""
    prev_atx: AtxId
    """All zeros in a first activation."""
    positioning_atx: AtxId
    commitment_atx: AtxId | None = None
    """In a first activation."""
    initial_post: PostV1 | None = None
    """In a first activation: the proof that is registered, whatever is made anew later."""

    @property
    def is_initial(self) -> bool:
        """Whether it is of a first activation."""
        return self.prev_atx == EMPTY_ATX_ID

    def v1(self) -> NIPostChallengeV1:
        """As version 1 has it."""
        return NIPostChallengeV1(
            self.publish_epoch,
            self.sequence,
            self.prev_atx,
            self.positioning_atx,
            self.commitment_atx,
            self.initial_post,
        )

    def hash(self) -> Hash32:
        """What is registered at a PoET."""
        if self.version == 1:
            return self.v1().hash()
        return NIPostChallengeV2(self.publish_epoch, self.prev_atx, self.positioning_atx, self.initial_post).hash()


@record
class Registration(Record):
    """A server has taken a challenge."""

    challenge: Hash32
    round_id: Annotated[str, up_to(MAX_TEXT)]
    round_end: Annotated[int, fixed_u64]
    """Nanoseconds since 1970, by what the server said."""


@record
class Membership(Record):
    """The proof of a round that was chosen, and that the challenge is among the members of the round."""

    ref: PoetProofRef
    leaf_count: Annotated[int, c64]
    nodes: Annotated[Sequence[Hash32], up_to(MAX_MEMBERSHIP_NODES)]
    """Siblings, the lowest first."""
    leaf_index: Annotated[int, c64]

    @property
    def proof(self) -> MembershipProof:
        """As version 1 has it."""
        return MembershipProof(self.nodes, self.leaf_index)


@record
class Nipost(Record):
    """A proof of space over the proof of a round."""

    post: PostV1
    num_units: Annotated[int, c32]
    labels_per_unit: Annotated[int, c64]
    commitment_atx: AtxId
    vrf_nonce: Annotated[int, c64] | None
    is_verified: Annotated[bool, boolean]
    """Only then it is published."""


INITIAL_POSTS: Table[NodeId, InitialPost] = Table(
    b"si", "initial proofs of space", fixed(32), InitialPost.codec, is_own=True
)
CERTIFICATES: Table[tuple[NodeId, bytes], StoredCertificate] = Table(
    b"sx", "certificates for PoET servers", compound(fixed(32), fixed(32)), StoredCertificate.codec, is_own=True
)
"""By identity and the certifier's key."""
CHALLENGES: Table[NodeId, Challenge] = Table(b"sc", "challenges", fixed(32), Challenge.codec, is_own=True)
REGISTRATIONS: Table[tuple[NodeId, str], Registration] = Table(
    b"sr", "registrations at PoET servers", compound(fixed(32), text_tail), Registration.codec, is_own=True
)
"""By identity and address of the server."""
MEMBERSHIPS: Table[NodeId, Membership] = Table(b"sm", "memberships in rounds", fixed(32), Membership.codec, is_own=True)
ROUND_PROOFS: Table[PoetProofRef, bytes] = Table(b"sp", "proofs of rounds", fixed(32), RAW, is_own=True)
"""Until the activation is out, perhaps nobody else has them."""
NIPOSTS: Table[NodeId, Nipost] = Table(b"sn", "proofs of space to be published", fixed(32), Nipost.codec, is_own=True)

TABLES = (INITIAL_POSTS, CERTIFICATES, CHALLENGES, REGISTRATIONS, MEMBERSHIPS, ROUND_PROOFS, NIPOSTS)


def registrations(view: View, identity: NodeId, challenge: Hash32) -> dict[str, Registration]:
    """Where a challenge is registered, by server; those of earlier challenges are left out."""
    found = view.scan(REGISTRATIONS, Span(within=(identity,)))
    return {server: row for (_, server), row in found if row.challenge == challenge}


def forget(rows: Rows, identity: NodeId) -> None:
    """Everything of an activation in the making goes; initial proof and certificates stay."""
    rows.delete(CHALLENGES, identity)
    for key in list(rows.keys(REGISTRATIONS, Span(within=(identity,)))):
        rows.delete(REGISTRATIONS, key)
    rows.delete(NIPOSTS, identity)
    rows.delete(MEMBERSHIPS, identity)
    used = {row.ref for _, row in rows.scan(MEMBERSHIPS)}
    for ref in [ref for ref in rows.keys(ROUND_PROOFS) if ref not in used]:
        rows.delete(ROUND_PROOFS, ref)
