"""Activation transactions of version 1, and what both versions share. `activation_v2` has the other version.

An ATX says that an identity holds space, proved over the time that a PoET round took. Its id covers everything but the
smesher and the signature. Protocol 03-encoding-and-types, sections 4.1 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from protocol.codec.declare import Record, c32, c64, record, up_to
from protocol.codec.sharing import once
from protocol.crypto.hashing import hash32, hash_of_list

from .ids import (
    EMPTY_ATX_ID,
    Address,
    AtxId,
    EdSignature,
    EpochId,
    Hash32,
    NodeId,
)
from .poet import MembershipProof

MAX_POST_INDICES_SIZE = 800
MAX_CHALLENGE_SIZE = 32
MAX_ACTIVE_SET = 8_000_000

MembershipProofV1 = MembershipProof
"""`MerkleProofV1` of the specification."""


@record
class PostV1(Record):
    """A proof of space."""

    nonce: Annotated[int, c32]
    """The nonce of the proof: which of the ciphers that were tried gave enough good labels."""
    indices: Annotated[bytes, up_to(MAX_POST_INDICES_SIZE)]
    """Indices of labels, packed."""
    pow: Annotated[int, c64]
    """The nonce of the k2pow of its nonce group."""


@record
class NIPostChallengeV1(Record):
    """The plan of an activation: what is registered at a PoET before the proof is made."""

    publish_epoch: EpochId
    """The epoch in which the activation is published."""
    sequence: Annotated[int, c64]
    """How many activations the identity published before this one."""
    prev_atx: AtxId
    """All zeros in an identity's first activation."""
    positioning_atx: AtxId
    """The activation on whose tick height this one builds."""
    commitment_atx: AtxId | None = None
    """In the first activation only."""
    initial_post: PostV1 | None = None
    """In the first activation only."""

    def hash(self) -> Hash32:
        """The challenge that is submitted; the zero byte keeps it apart from nodes of the membership tree."""
        return Hash32(hash32(b"\0", self.codec.encode(self)))


@record
class PostMetadataV1(Record):
    """Of what a proof of space is."""

    challenge: Annotated[bytes, up_to(MAX_CHALLENGE_SIZE)]
    """The reference of the PoET proof."""
    labels_per_unit: Annotated[int, c64]
    """Labels of a space unit."""


@record
class NIPostV1(Record):
    """A proof of space with the membership in the PoET round whose proof it was challenged by."""

    membership: MembershipProofV1
    """That the challenge was a member of the round."""
    post: PostV1 | None
    """The proof of space; an activation without it is not valid."""
    post_metadata: PostMetadataV1 | None
    """Its challenge and its unit; an activation without it is not valid."""


@record
class InnerActivationTxV1(Record):
    """What the id of an activation covers."""

    challenge: NIPostChallengeV1
    """The plan."""
    coinbase: Address
    """Where rewards go."""
    num_units: Annotated[int, c32]
    """Space units of the proof."""
    nipost: NIPostV1 | None
    """The proof; an activation without it is not valid."""
    node_id: NodeId | None = None
    """The smesher, in its first activation only."""
    vrf_nonce: Annotated[int, c64] | None = None
    """In the first activation, and where it changed."""

    def id(self) -> AtxId:
        """The hash of the encoding."""
        return AtxId(hash32(self.codec.encode(self)))


@record
class ATXMetadata(Record):
    """What the signature of an activation of version 1 covers."""

    publish_epoch: EpochId
    """The activation's."""
    msg_hash: Hash32
    """The activation's id."""


@record
class ActivationTxV1(Record):
    """An activation as it is published."""

    inner: InnerActivationTxV1
    """What the id covers."""
    smesher_id: NodeId
    """Who publishes it."""
    signature: EdSignature
    """By the smesher over `signed_bytes`, in the domain ATX."""

    @property
    def publish_epoch(self) -> EpochId:
        """The epoch in which it is published; it counts in the next one."""
        return self.inner.challenge.publish_epoch

    @property
    def is_initial(self) -> bool:
        """Whether it is its identity's first."""
        return self.inner.challenge.prev_atx == EMPTY_ATX_ID

    @once
    def id(self) -> AtxId:
        """The hash of all but smesher and signature; computed each time."""
        return self.inner.id()

    def signed_bytes(self) -> bytes:
        """What is signed in the domain ATX."""
        return ATXMetadata.codec.encode(ATXMetadata(self.publish_epoch, Hash32(self.id())))


@record
class EpochActiveSet(Record):
    """The activations that count in an epoch, as the store holds them."""

    epoch: EpochId
    """The epoch in which they count."""
    set: Annotated[Sequence[AtxId], up_to(MAX_ACTIVE_SET)]
    """Their ids, in ascending order where we made the set."""


def active_set_hash(ids: Sequence[AtxId]) -> Hash32:
    """The hash of an active set in the given order; who makes one sorts it."""
    return Hash32(hash_of_list(ids))


def publish_epoch_of(blob: bytes) -> EpochId:
    """The publish epoch in the first bytes of an activation of any version. Raises CodecError."""
    return EpochId(c32.read(blob)[0])


def version_of(publish_epoch: int, versions: Mapping[int, int]) -> int:
    """The version of activations of an epoch: that of the highest epoch at or before it in `versions`, else 1.

    versions: `main.atx-versions`, from publish epochs to versions.
    """
    reached = [epoch for epoch in versions if epoch <= publish_epoch]
    return versions[max(reached)] if reached else 1
