"""Activation transactions of version 1, and what both versions share. `activation_v2` has the other version.

An ATX says that an identity holds space, proved over the time that a PoET round took. Its id covers everything but the
smesher and the signature. Protocol 03-encoding-and-types, sections 4.1 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocol.codec.declare import byte_string, c32, c64, option, struct, vector
from protocol.crypto.hashing import hash32, hash_of_list
from protocol.poet.records import MembershipProof

from .ids import (
    ADDRESS,
    ATX_ID,
    ED_SIGNATURE,
    EMPTY_ATX_ID,
    HASH32,
    NODE_ID,
    Address,
    AtxId,
    EdSignature,
    EpochId,
    Hash32,
    NodeId,
)

MAX_POST_INDICES_SIZE = 800
MAX_CHALLENGE_SIZE = 32
MAX_ACTIVE_SET = 8_000_000

MembershipProofV1 = MembershipProof
"""`MerkleProofV1` of the specification."""


@dataclass(frozen=True, slots=True)
class PostV1:
    """A proof of space."""

    nonce: int
    indices: bytes
    """Indices of labels, packed."""
    pow: int

    codec = struct(nonce=c32, indices=byte_string(MAX_POST_INDICES_SIZE), pow=c64)


@dataclass(frozen=True, slots=True)
class NIPostChallengeV1:
    """The plan of an activation: what is registered at a PoET before the proof is made."""

    publish_epoch: EpochId
    sequence: int
    prev_atx: AtxId
    """All zeros in an identity's first activation."""
    positioning_atx: AtxId
    commitment_atx: AtxId | None = None
    """In the first activation only."""
    initial_post: PostV1 | None = None
    """In the first activation only."""

    codec = struct(
        publish_epoch=c32,
        sequence=c64,
        prev_atx=ATX_ID,
        positioning_atx=ATX_ID,
        commitment_atx=option(ATX_ID),
        initial_post=option(PostV1.codec),
    )

    def hash(self) -> Hash32:
        """The challenge that is submitted; the zero byte keeps it apart from nodes of the membership tree."""
        return Hash32(hash32(b"\0", self.codec.encode(self)))


@dataclass(frozen=True, slots=True)
class PostMetadataV1:
    """Of what a proof of space is."""

    challenge: bytes
    labels_per_unit: int

    codec = struct(challenge=byte_string(MAX_CHALLENGE_SIZE), labels_per_unit=c64)


@dataclass(frozen=True, slots=True)
class NIPostV1:
    """A proof of space with the membership in the PoET round whose proof it was challenged by."""

    membership: MembershipProofV1
    post: PostV1 | None
    post_metadata: PostMetadataV1 | None

    codec = struct(
        membership=MembershipProofV1.codec, post=option(PostV1.codec), post_metadata=option(PostMetadataV1.codec)
    )


@dataclass(frozen=True, slots=True)
class InnerActivationTxV1:
    """What the id of an activation covers."""

    challenge: NIPostChallengeV1
    coinbase: Address
    num_units: int
    nipost: NIPostV1 | None
    node_id: NodeId | None = None
    """The smesher, in its first activation only."""
    vrf_nonce: int | None = None
    """In the first activation, and where it changed."""

    codec = struct(
        challenge=NIPostChallengeV1.codec,
        coinbase=ADDRESS,
        num_units=c32,
        nipost=option(NIPostV1.codec),
        node_id=option(NODE_ID),
        vrf_nonce=option(c64),
    )

    def id(self) -> AtxId:
        """The hash of the encoding."""
        return AtxId(hash32(self.codec.encode(self)))


@dataclass(frozen=True, slots=True)
class ATXMetadata:
    """What the signature of an activation of version 1 covers."""

    publish_epoch: EpochId
    msg_hash: Hash32
    """The activation's id."""

    codec = struct(publish_epoch=c32, msg_hash=HASH32)


@dataclass(frozen=True, slots=True)
class ActivationTxV1:
    """An activation as it is published."""

    inner: InnerActivationTxV1
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(inner=InnerActivationTxV1.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    @property
    def publish_epoch(self) -> EpochId:
        """The epoch in which it is published; it counts in the next one."""
        return self.inner.challenge.publish_epoch

    @property
    def is_initial(self) -> bool:
        """Whether it is its identity's first."""
        return self.inner.challenge.prev_atx == EMPTY_ATX_ID

    def id(self) -> AtxId:
        """The hash of all but smesher and signature; computed each time."""
        return self.inner.id()

    def signed_bytes(self) -> bytes:
        """What is signed in the domain ATX."""
        return ATXMetadata.codec.encode(ATXMetadata(self.publish_epoch, Hash32(self.id())))


@dataclass(frozen=True, slots=True)
class EpochActiveSet:
    """The activations that count in an epoch, as the store holds them."""

    epoch: EpochId
    set: Sequence[AtxId]

    codec = struct(epoch=c32, set=vector(ATX_ID, MAX_ACTIVE_SET))


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
