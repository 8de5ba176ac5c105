"""Activation transactions of version 2: several identities, joined by marriage, prove their space in one message.

The id is the root of a tree over the fields, so that a proof of fraud can show one of them. All trees pad with raw
zeros at every level; numbers in them are little-endian and of fixed size, unlike those of the message.
Protocol 03-encoding-and-types, sections 4.2, 5, 6.1 and 6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec.declare import c32, c64, option, struct, vector
from protocol.crypto.hashing import hash32
from protocol.crypto.merkle import PADDING, filled_root, prove, root_of

from .activation import PostV1
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

MAX_MEMBERSHIP_NODES = 32
LIST_HEIGHT = 8
"""Trees over posts, previous activations and marriages have 2^8 leaves."""
MAX_POSTS = MAX_PREVIOUS = MAX_MARRIAGES = 1 << LIST_HEIGHT
NIPOSTS_HEIGHT = 2
MAX_NIPOSTS = 1 << NIPOSTS_HEIGHT

MARRIAGES_LEAF = 7
"""Which of the nine leaves of an activation's tree is the root of its marriages."""


@dataclass(frozen=True, slots=True)
class NIPostChallengeV2:
    """The plan of an activation: what is registered at a PoET before the proof is made."""

    publish_epoch: EpochId
    prev_atx: AtxId
    positioning_atx: AtxId
    initial_post: PostV1 | None = None
    """In the first activation only."""

    codec = struct(publish_epoch=c32, prev_atx=ATX_ID, positioning_atx=ATX_ID, initial_post=option(PostV1.codec))

    def hash(self) -> Hash32:
        """The challenge that is submitted; the zero byte keeps it apart from nodes of the membership tree."""
        return Hash32(hash32(b"\0", self.codec.encode(self)))


@dataclass(frozen=True, slots=True)
class InitialAtxPartsV2:
    """What only an identity's first activation has."""

    commitment_atx: AtxId
    post: PostV1

    codec = struct(commitment_atx=ATX_ID, post=PostV1.codec)

    def root(self) -> bytes:
        """The root of its tree."""
        return root_of((self.commitment_atx, post_root(self.post)))


@dataclass(frozen=True, slots=True)
class MarriageCertificate:
    """An identity's consent to be joined with the one that publishes the activation."""

    reference_atx: AtxId
    """An activation of the consenting identity; all zeros for the publisher itself."""
    signature: EdSignature
    """By the consenting identity over the publisher's id, in the domain MARRIAGE."""

    codec = struct(reference_atx=ATX_ID, signature=ED_SIGNATURE)

    def root(self) -> bytes:
        """The root of its tree."""
        return root_of((self.reference_atx, self.signature))


@dataclass(frozen=True, slots=True)
class MerkleProofV2:
    """That several challenges are among the members of a PoET round, in one proof."""

    nodes: Sequence[Hash32] = ()

    codec = struct(nodes=vector(HASH32, MAX_MEMBERSHIP_NODES))


@dataclass(frozen=True, slots=True)
class SubPostV2:
    """The proof of space of one of the identities."""

    marriage_index: int
    """Which of the married identities."""
    prev_atx_index: int
    """Its previous activation, among those that the message lists."""
    membership_leaf_index: int
    post: PostV1
    num_units: int

    codec = struct(marriage_index=c32, prev_atx_index=c32, membership_leaf_index=c64, post=PostV1.codec, num_units=c32)

    def root(self, previous_atxs: Sequence[AtxId]) -> bytes:
        """The root of its tree; empty when the previous activation is not listed (such an ATX is not valid)."""
        if self.prev_atx_index >= len(previous_atxs):
            return b""
        return root_of(
            (
                _u32(self.marriage_index),
                previous_atxs[self.prev_atx_index],
                _padded(_u64(self.membership_leaf_index)),
                post_root(self.post),
                _u32(self.num_units),
            )
        )


@dataclass(frozen=True, slots=True)
class NiPostsV2:
    """Proofs of space with one challenge, and that their plans were members of that PoET round."""

    membership: MerkleProofV2
    challenge: Hash32
    """The reference of the round's proof."""
    posts: Sequence[SubPostV2]

    codec = struct(membership=MerkleProofV2.codec, challenge=HASH32, posts=vector(SubPostV2.codec, MAX_POSTS))

    def root(self, previous_atxs: Sequence[AtxId]) -> bytes:
        """The root of its tree. The membership is the one leaf in the encoding of messages."""
        posts = filled_root([post.root(previous_atxs) for post in self.posts], LIST_HEIGHT)
        return root_of((MerkleProofV2.codec.encode(self.membership), self.challenge, posts))


@dataclass(frozen=True, slots=True)
class ActivationTxV2:
    """An activation as it is published."""

    publish_epoch: EpochId
    positioning_atx: AtxId
    coinbase: Address
    initial: InitialAtxPartsV2 | None
    """In an identity's first activation only."""
    previous_atxs: Sequence[AtxId]
    niposts: Sequence[NiPostsV2]
    vrf_nonce: int
    marriages: Sequence[MarriageCertificate]
    """Marries the identities; the first one is the publisher."""
    marriage_atx: AtxId | None
    """The activation in which the identities were married, when this one merges them."""
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(
        publish_epoch=c32,
        positioning_atx=ATX_ID,
        coinbase=ADDRESS,
        initial=option(InitialAtxPartsV2.codec),
        previous_atxs=vector(ATX_ID, MAX_PREVIOUS),
        niposts=vector(NiPostsV2.codec, MAX_NIPOSTS),
        vrf_nonce=c64,
        marriages=vector(MarriageCertificate.codec, MAX_MARRIAGES),
        marriage_atx=option(ATX_ID),
        smesher_id=NODE_ID,
        signature=ED_SIGNATURE,
    )

    def leaves(self) -> tuple[bytes, ...]:
        """The nine leaves of the tree whose root is the id."""
        return (
            _padded(_u32(self.publish_epoch)),
            self.positioning_atx,
            self.coinbase,
            PADDING if self.initial is None else self.initial.root(),
            filled_root(self.previous_atxs, LIST_HEIGHT),
            filled_root([niposts.root(self.previous_atxs) for niposts in self.niposts], NIPOSTS_HEIGHT),
            _padded(_u64(self.vrf_nonce)),
            self.marriages_root(),
            PADDING if self.marriage_atx is None else self.marriage_atx,
        )

    def id(self) -> AtxId:
        """The root over all fields but smesher and signature; computed each time."""
        return AtxId(root_of(self.leaves()))

    def signed_bytes(self) -> bytes:
        """What is signed in the domain ATX: the id."""
        return self.id()

    def marriages_root(self) -> bytes:
        """The root over the marriage certificates."""
        return filled_root([marriage.root() for marriage in self.marriages], LIST_HEIGHT)

    def marriages_proof(self) -> tuple[bytes, ...]:
        """That the root of the marriages is in the activation: the nodes beside leaf 7 and above."""
        return prove(self.leaves(), [MARRIAGES_LEAF])

    def certificate_proof(self, index: int) -> tuple[bytes, ...]:
        """That a certificate is under the root of the marriages: the nodes beside it and above."""
        roots = [marriage.root() for marriage in self.marriages]
        return prove([*roots, *[PADDING] * (MAX_MARRIAGES - len(roots))], [index])

    def total_num_units(self) -> int:
        """The space units of all proofs, modulo 2^32: what the VRF nonce is checked with. An ATX of more is refused."""
        return sum(post.num_units for niposts in self.niposts for post in niposts.posts) & 0xFFFFFFFF

    def challenge_of(self, post: SubPostV2) -> NIPostChallengeV2:
        """The plan that a proof's identity had registered. Raises IndexError for an unlisted previous activation."""
        if self.initial is not None:
            return NIPostChallengeV2(self.publish_epoch, EMPTY_ATX_ID, self.positioning_atx, self.initial.post)
        return NIPostChallengeV2(self.publish_epoch, self.previous_atxs[post.prev_atx_index], self.positioning_atx)


def post_root(post: PostV1) -> bytes:
    """The root of the tree over a proof of space."""
    return root_of((_u32(post.nonce), post.indices, _u64(post.pow)))


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _padded(data: bytes) -> bytes:
    return data.ljust(32, b"\0")
