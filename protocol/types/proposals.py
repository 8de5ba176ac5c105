"""Proposals: a ballot with the transactions that its smesher would put into the layer's block.

A proposal's id is the hash of its metadata, not of itself. Protocol 03-encoding-and-types, sections 4.4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from protocol.codec.declare import Record, record, up_to
from protocol.codec.sharing import once
from protocol.crypto.hashing import hash32, hash_of_list

from .ballots import Ballot, BallotMetadata
from .ids import (
    HASH20_SIZE,
    EdSignature,
    Hash32,
    ProposalId,
    TransactionId,
    as_hash32,
)

MAX_TRANSACTIONS = 100_000


@record
class InnerProposal(Record):
    """What the signature of a proposal covers, by its hash: the whole ballot is in it."""

    ballot: Ballot
    """The ballot."""
    tx_ids: Annotated[Sequence[TransactionId], up_to(MAX_TRANSACTIONS)]
    """Transactions in the order of their choice, which is not that of the block."""
    mesh_hash: Hash32
    """The hash of the mesh up to the layer before."""

    @once
    def hash(self) -> Hash32:
        """The hash of the encoding."""
        return Hash32(hash32(self.codec.encode(self)))


@record
class Proposal(Record):
    """A proposal as it is sent."""

    inner: InnerProposal
    """What the signature covers."""
    signature: EdSignature
    """By the ballot's smesher over `signed_bytes`, in the domain PROPOSAL."""

    @once
    def id(self) -> ProposalId:
        """The first 20 bytes of the hash of the metadata; computed each time."""
        return ProposalId(hash32(self.signed_bytes())[:HASH20_SIZE])

    @once
    def signed_bytes(self) -> bytes:
        """The metadata, which is signed in the domain PROPOSAL."""
        return BallotMetadata.codec.encode(BallotMetadata(self.inner.ballot.inner.layer, self.inner.hash()))


def proposals_hash(ids: Iterable[ProposalId]) -> Hash32:
    """The reference of a set of proposals in Hare, and the seed of a block: the hash of their sorted ids."""
    return Hash32(hash_of_list(as_hash32(one) for one in sorted(ids)))
