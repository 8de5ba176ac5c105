"""Activation transactions of version 2: several identities, joined by marriage, prove their space in one message.

The id is the root of a tree over the fields, so that a proof of fraud can show one of them. All trees pad with raw
zeros at every level; numbers in them are little-endian and of fixed size, unlike those of the message.
Protocol 03-encoding-and-types, sections 4.2, 5, 6.1 and 6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.declare import Record, c32, c64, record, up_to
from protocol.crypto.hashing import hash32
from protocol.crypto.merkle import PADDING, filled_root, prove, root_of

from .activation import PostV1
from .ids import (
    EMPTY_ATX_ID,
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


@record
class NIPostChallengeV2(Record):
    """The plan of an activation: what is registered at a PoET before the proof is made."""

    publish_epoch: EpochId
    """The epoch in which the activation is published."""
    prev_atx: AtxId
    """All zeros in an identity's first activation."""
    positioning_atx: AtxId
    """The activation on whose tick height this one builds."""
    initial_post: PostV1 | None = None
    """In the first activation only."""

    def hash(self) -> Hash32:
        """The challenge that is submitted; the zero byte keeps it apart from nodes of the membership tree."""
        return Hash32(hash32(b"\0", self.codec.encode(self)))


@record
class InitialAtxPartsV2(Record):
    """What only an identity's first activation has."""

    commitment_atx: AtxId
    """The activation that the identity's labels commit to."""
    post: PostV1
    """The proof that the labels were made; its challenge is all zeros."""

    def root(self) -> bytes:
        """The root of its tree."""
        return root_of((self.commitment_atx, post_root(self.post)))


@record
class MarriageCertificate(Record):
    """An identity's consent to be joined with the one that publishes the activation."""

    reference_atx: AtxId
    """An activation of the consenting identity; all zeros for the publisher itself."""
    signature: EdSignature
    """By the consenting identity over the publisher's id, in the domain MARRIAGE."""

    def root(self) -> bytes:
        """The root of its tree."""
        return root_of((self.reference_atx, self.signature))


@record
class MerkleProofV2(Record):
    """That several challenges are among the members of a PoET round, in one proof."""

    nodes: Annotated[Sequence[Hash32], up_to(MAX_MEMBERSHIP_NODES)] = ()
    """Siblings in the order in which checking the proof meets them."""


@record
class SubPostV2(Record):
    """The proof of space of one of the identities."""

    marriage_index: Annotated[int, c32]
    """Which of the married identities."""
    prev_atx_index: Annotated[int, c32]
    """Its previous activation, among those that the message lists."""
    membership_leaf_index: Annotated[int, c64]
    """The place of its plan among the members of the round."""
    post: PostV1
    """The proof."""
    num_units: Annotated[int, c32]
    """Space units of the proof."""

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


@record
class NiPostsV2(Record):
    """Proofs of space with one challenge, and that their plans were members of that PoET round."""

    membership: MerkleProofV2
    """That all the plans were members of the round."""
    challenge: Hash32
    """The reference of the round's proof."""
    posts: Annotated[Sequence[SubPostV2], up_to(MAX_POSTS)]
    """One for each identity."""

    def root(self, previous_atxs: Sequence[AtxId]) -> bytes:
        """The root of its tree. The membership is the one leaf in the encoding of messages."""
        posts = filled_root([post.root(previous_atxs) for post in self.posts], LIST_HEIGHT)
        return root_of((MerkleProofV2.codec.encode(self.membership), self.challenge, posts))


@record
class ActivationTxV2(Record):
    """An activation as it is published."""

    publish_epoch: EpochId
    """The epoch in which it is published; it counts in the next one."""
    positioning_atx: AtxId
    """The activation on whose tick height this one builds."""
    coinbase: Address
    """Where rewards go."""
    initial: InitialAtxPartsV2 | None
    """In an identity's first activation only."""
    previous_atxs: Annotated[Sequence[AtxId], up_to(MAX_PREVIOUS)]
    """The last activations of the identities, without repetition; empty in a first activation."""
    niposts: Annotated[Sequence[NiPostsV2], up_to(MAX_NIPOSTS)]
    """Proofs by the PoET proof that they were challenged by."""
    vrf_nonce: Annotated[int, c64]
    """The index of the label that makes the publisher's VRF key costly."""
    marriages: Annotated[Sequence[MarriageCertificate], up_to(MAX_MARRIAGES)]
    """Marries the identities; the first one is the publisher."""
    marriage_atx: AtxId | None
    """The activation in which the identities were married, when this one merges them."""
    smesher_id: NodeId
    """Who publishes it."""
    signature: EdSignature
    """By the smesher over the id, in the domain ATX."""

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
