"""What is kept of activations, and what the rules look up in it. Protocol 04-activation-beacon-eligibility, section 9.

An activation that a checkpoint restored has a row and no bytes.
"""

from __future__ import annotations

import struct as layout
from enum import IntEnum
from typing import Annotated, cast

from node.store.keys import EPOCH, compound, fixed, u32, u64
from node.store.table import RAW, RowCodec, Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import Record, byte, c32, c64, exactly, record
from protocol.codec.declare import u64 as fixed_u64
from protocol.numbers.u64 import MASK
from protocol.types.ids import (
    EMPTY_ATX_ID,
    Address,
    AtxId,
    EdSignature,
    EpochId,
    NodeId,
    PoetProofRef,
)

from .columns import AtxRow


class Validity(IntEnum):
    """Whether all labels of an activation's proofs of space have been checked."""

    UNKNOWN = 0
    VALID = 1
    INVALID = 2


@record
class StoredAtx(Record):
    """What follows from an activation."""

    smesher: NodeId
    publish_epoch: EpochId
    sequence: Annotated[int, c64]
    """0 in version 2."""
    coinbase: Address
    units: Annotated[int, c32]
    """Effective ones."""
    commitment_atx: AtxId | None
    vrf_nonce: Annotated[int, c64]
    """The one that counts, also where the activation names none."""
    base_height: Annotated[int, c64]
    ticks: Annotated[int, c64]
    weight: Annotated[int, c64]
    received: Annotated[int, fixed_u64]
    """Nanoseconds since 1970; 0: restored from a checkpoint."""
    validity: Annotated[int, byte]
    version: Annotated[int, byte]
    marriage_atx: AtxId | None = None

    @property
    def height(self) -> int:
        """Ticks at its end, modulo 2^64."""
        return (self.base_height + self.ticks) & MASK

    @property
    def target_epoch(self) -> EpochId:
        """The epoch in which it counts."""
        return EpochId(self.publish_epoch + 1)

    def row(self, id: AtxId) -> AtxRow:
        """What consensus keeps in memory."""
        return AtxRow(
            id,
            self.smesher,
            self.coinbase,
            self.weight,
            self.base_height,
            self.height,
            self.vrf_nonce,
            self.received,
        )


ATXS: Table[AtxId, StoredAtx] = Table(b"ax", "activations", fixed(32), StoredAtx.codec)
BY_SMESHER = ATXS.index(
    b"as",
    "activations by smesher and epoch",
    compound(fixed(32), u32),
    lambda id, atx: ((atx.smesher, atx.publish_epoch),),
)
BY_MARRIAGE = ATXS.index(
    b"am",
    "merged activations by marriage and epoch",
    compound(fixed(32), u32),
    lambda id, atx: () if atx.marriage_atx is None else ((atx.marriage_atx, atx.publish_epoch),),
)
BY_COINBASE = ATXS.index(
    b"ak",
    "activations by coinbase and epoch",
    compound(fixed(24), u32),
    lambda id, atx: ((atx.coinbase, atx.publish_epoch),),
)
BY_HEIGHT = ATXS.index(
    b"ah", "activations by epoch and height", compound(u32, u64), lambda id, atx: ((atx.publish_epoch, atx.height),)
)
COUNTS: Table[EpochId, int] = Table(b"an", "activations of an epoch", EPOCH, cast(RowCodec[int], c32))
"""How many were published in it."""
BLOBS: Table[AtxId, bytes] = Table(b"ab", "activation bytes", fixed(32), RAW)


@record
class StoredPost(Record):
    """The part of one identity in an activation."""

    previous: AtxId
    """All zeros in its first one."""
    previous_index: Annotated[int, c32]
    units: Annotated[int, c32]
    """As declared."""
    publish_epoch: EpochId


POSTS: Table[tuple[AtxId, NodeId], StoredPost] = Table(
    b"ap", "proofs of space", compound(fixed(32), fixed(32)), StoredPost.codec
)
POSTS_BY_EPOCH = POSTS.index(
    b"ai",
    "proofs of space by identity and epoch",
    compound(fixed(32), u32),
    lambda key, post: ((key[1], post.publish_epoch),),
)
POSTS_BY_PREVIOUS = POSTS.index(
    b"av",
    "proofs of space by identity and previous activation",
    compound(fixed(32), fixed(32)),
    lambda key, post: ((key[1], post.previous),),
)


@record
class Commitment(Record):
    """To what an identity's space is bound, as of its newest activation that says so."""

    publish_epoch: EpochId
    atx: AtxId


COMMITMENTS: Table[NodeId, Commitment] = Table(b"ag", "commitments", fixed(32), Commitment.codec)


class ColumnsCodec:
    """Rows of a fixed size, read in bulk at start: see `load`."""

    def encode(self, value: AtxRow, /) -> bytes:
        """As RowCodec says."""
        numbers = (value.weight, value.base_height, value.height, value.nonce, value.received)
        return value.node + value.coinbase + layout.pack(">5Q", *numbers)

    def decode(self, data: bytes, /) -> AtxRow:
        """As RowCodec says. The id is that of the key."""
        if len(data) != 96:
            raise ValueError(f"the row has {len(data)} bytes, expected 96")
        return AtxRow(EMPTY_ATX_ID, NodeId(data[:32]), Address(data[32:56]), *layout.unpack(">5Q", data[56:]))


COLUMNS: Table[tuple[int, AtxId], AtxRow] = Table(b"ac", "activation columns", compound(u32, fixed(32)), ColumnsCodec())
"""By the epoch in which they count."""


@record
class PoetFacts(Record):
    """What activations ask of a PoET proof."""

    leaf_count: Annotated[int, c64]
    statement: Annotated[bytes, exactly(32)]
    """The root of the round's members, 32 bytes."""


POETS: Table[PoetProofRef, PoetFacts] = Table(b"po", "PoET proofs", fixed(32), PoetFacts.codec)
POET_BLOBS: Table[PoetProofRef, bytes] = Table(b"pb", "PoET proof bytes", fixed(32), RAW)


@record
class StoredMarriage(Record):
    """With whom an identity is joined."""

    set: Annotated[int, c32]
    order: Annotated[int, c32]
    """Which row came before which: the order of a set's members."""
    atx: AtxId
    index: Annotated[int, c32]
    """Of the certificate in the activation."""
    target: NodeId
    """Who published it."""
    signature: EdSignature


MARRIAGES: Table[NodeId, StoredMarriage] = Table(b"ma", "marriages", fixed(32), StoredMarriage.codec)
BY_SET = MARRIAGES.index(b"ms", "marriages by set", compound(u32, u32), lambda id, row: ((row.set, row.order),))
BY_ORDER = MARRIAGES.index(b"mo", "marriages in order", u32, lambda id, row: (row.order,))

TABLES = (ATXS, COUNTS, BLOBS, POSTS, COMMITMENTS, COLUMNS, POETS, POET_BLOBS, MARRIAGES)


def put_atx(rows: Rows, id: AtxId, atx: StoredAtx, data: bytes | None) -> None:
    """Store an activation, without its posts. data: None where a checkpoint restored it."""
    if not rows.has(ATXS, id):
        rows.put(COUNTS, atx.publish_epoch, (rows.get(COUNTS, atx.publish_epoch) or 0) + 1)
    rows.put(ATXS, id, atx)
    rows.put(COLUMNS, (atx.target_epoch, id), atx.row(id))
    if data is not None:
        rows.put(BLOBS, id, data)
    if atx.commitment_atx is not None:
        known = rows.get(COMMITMENTS, atx.smesher)
        if known is None or known.publish_epoch <= atx.publish_epoch:
            rows.put(COMMITMENTS, atx.smesher, Commitment(atx.publish_epoch, atx.commitment_atx))


def exists(view: View, identity: NodeId) -> bool:
    """Whether an activation of an identity is stored."""
    return next(iter(view.find(BY_SMESHER, Span(within=(identity,)))), None) is not None


def commitment_of(view: View, identity: NodeId) -> AtxId | None:
    """The commitment of an identity's stored activations."""
    known = view.get(COMMITMENTS, identity)
    return None if known is None else known.atx


def published(view: View, identity: NodeId, epoch: EpochId) -> list[AtxId]:
    """The activations that an identity has signed for an epoch."""
    return [id for _, id in view.find(BY_SMESHER, Span(within=(identity, epoch)))]


def proved(view: View, identity: NodeId, epoch: EpochId) -> list[AtxId]:
    """The activations of an epoch, whoever published them, that hold a proof of an identity."""
    return [id for _, (id, _) in view.find(POSTS_BY_EPOCH, Span(within=(identity, epoch)))]


def newest_before(view: View, identity: NodeId, epoch: EpochId) -> AtxId:
    """The newest activation with a proof of an identity published before an epoch; all zeros where there is none."""
    span = Span(within=(identity,), stop=(identity, epoch), reverse=True)
    entry = next(iter(view.find(POSTS_BY_EPOCH, span)), None)
    return EMPTY_ATX_ID if entry is None else entry[1][0]


def with_previous(view: View, identity: NodeId, previous: AtxId) -> list[AtxId]:
    """The activations in which an identity's proof follows a given one, or none."""
    return [id for _, (id, _) in view.find(POSTS_BY_PREVIOUS, Span(within=(identity, previous)))]


def merged(view: View, marriage: AtxId, epoch: EpochId) -> list[AtxId]:
    """The activations of an epoch that merge the identities of a marriage."""
    return [id for _, id in view.find(BY_MARRIAGE, Span(within=(marriage, epoch)))]
