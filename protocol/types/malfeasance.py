"""Proofs that an identity broke the rules: two messages signed where one was allowed, or a proof that is wrong.

Version 1 is what the network sends and stores; the envelope and the marriage proofs of version 2 are defined but not
published yet. Whether a proof holds is decided in `node.malfeasance.verdicts`. Protocol 03-encoding-and-types,
section 4.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from protocol.codec.declare import Record, c8, c32, c64, choice, exactly, record, up_to

from .activation import ActivationTxV1, ATXMetadata
from .ballots import BallotMetadata
from .hare import HareEligibilityGossip, HareMetadata
from .ids import (
    AtxId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
)

MAX_PROOF_SIZE = 1 << 20
MAX_MERKLE_NODES = 32


class ProofType(IntEnum):
    """The byte before the data of a proof of version 1."""

    MULTIPLE_ATXS = 1
    MULTIPLE_BALLOTS = 2
    HARE_EQUIVOCATION = 3
    INVALID_POST_INDEX = 4
    INVALID_PREV_ATX = 5


@record
class AtxProofMsg(Record):
    """What was signed for an activation."""

    inner: ATXMetadata
    """What was signed."""
    smesher_id: NodeId
    """Who signed it."""
    signature: EdSignature
    """In the domain ATX."""

    def signed_bytes(self) -> bytes:
        """In the domain ATX."""
        return ATXMetadata.codec.encode(self.inner)


@record
class BallotProofMsg(Record):
    """What was signed for a ballot."""

    inner: BallotMetadata
    """What was signed."""
    smesher_id: NodeId
    """Who signed it."""
    signature: EdSignature
    """In the domain BALLOT."""

    def signed_bytes(self) -> bytes:
        """In the domain BALLOT."""
        return BallotMetadata.codec.encode(self.inner)


@record
class HareProofMsg(Record):
    """What was signed for a message of Hare."""

    inner: HareMetadata
    """What was signed."""
    smesher_id: NodeId
    """Who signed it."""
    signature: EdSignature
    """In the domain HARE."""

    def signed_bytes(self) -> bytes:
        """In the domain HARE."""
        return HareMetadata.codec.encode(self.inner)


@record
class AtxProof(Record):
    """Two activations in one epoch."""

    messages: Annotated[Sequence[AtxProofMsg], exactly(2)]
    """Two."""


@record
class BallotProof(Record):
    """Two ballots in one layer."""

    messages: Annotated[Sequence[BallotProofMsg], exactly(2)]
    """Two."""


@record
class HareProof(Record):
    """Two messages in one round of Hare."""

    messages: Annotated[Sequence[HareProofMsg], exactly(2)]
    """Two."""


@record
class InvalidPostIndexProof(Record):
    """An activation with a proof of space in which one index is wrong."""

    atx: ActivationTxV1
    """The activation."""
    invalid_index: Annotated[int, c32]
    """The position of the wrong one among the proof's indices."""


@record
class InvalidPrevATXProof(Record):
    """Two activations of one identity with the same previous one."""

    atx1: ActivationTxV1
    """One of them."""
    atx2: ActivationTxV1
    """The other; its id differs."""


ProofData = AtxProof | BallotProof | HareProof | InvalidPostIndexProof | InvalidPrevATXProof

PROOF_DATA = choice(
    {
        ProofType.MULTIPLE_ATXS: AtxProof,
        ProofType.MULTIPLE_BALLOTS: BallotProof,
        ProofType.HARE_EQUIVOCATION: HareProof,
        ProofType.INVALID_POST_INDEX: InvalidPostIndexProof,
        ProofType.INVALID_PREV_ATX: InvalidPrevATXProof,
    }
)
"""The type as a raw byte, then the data."""


@record
class MalfeasanceProof(Record):
    """A proof as it is stored and fetched."""

    layer: LayerId
    """When it was made; only for people."""
    proof: Annotated[ProofData, PROOF_DATA]
    """What shows it."""


@record
class MalfeasanceGossip(Record):
    """A proof as it is gossiped. Topic `mp1`."""

    proof: MalfeasanceProof
    """The proof."""
    eligibility: HareEligibilityGossip | None = None
    """Must be absent."""


# Version 2


class ProofTypeV2(IntEnum):
    """What the envelope of version 2 holds."""

    LEGACY_DOUBLE_PUBLISH = 0x00
    LEGACY_INVALID_POST = 0x01
    LEGACY_INVALID_PREVIOUS = 0x02
    DOUBLE_PUBLISH = 0x10
    DOUBLE_MARRY = 0x11
    DOUBLE_MERGE = 0x12
    INVALID_POST = 0x13
    INVALID_PREVIOUS = 0x14


@record
class ATXProofV2(Record):
    """The envelope of a proof about activations."""

    version: Annotated[int, c8]
    """Of the proofs; the first one is 1."""
    proof_type: Annotated[int, c8]
    """A ProofTypeV2, as a compact integer."""
    proof: Annotated[bytes, up_to(MAX_PROOF_SIZE)]
    """The encoded proof."""


@record
class MarryProof(Record):
    """That an activation of version 2 marries an identity: the paths from its certificate up to the id."""

    atx_id: AtxId
    """The activation that marries."""
    marriage_root: Hash32
    """The root over its certificates."""
    marriage_proof: Annotated[Sequence[Hash32], up_to(MAX_MERKLE_NODES)]
    """From the root of the marriages to the id."""
    certificate_reference: AtxId
    """`MarriageCertificate.reference_atx`."""
    certificate_signature: EdSignature
    """`MarriageCertificate.signature`."""
    certificate_index: Annotated[int, c64]
    """The certificate's place."""
    certificate_proof: Annotated[Sequence[Hash32], up_to(MAX_MERKLE_NODES)]
    """From the certificate to the root of the marriages."""
    smesher_id: NodeId
    """Who published the activation, with its signature over the id."""
    signature: EdSignature
    """By the publisher over the id, in the domain ATX."""


@record
class ProofDoubleMarry(Record):
    """That an identity was married twice."""

    node_id: NodeId
    """The identity."""
    proofs: Annotated[Sequence[MarryProof], exactly(2)]
    """Two."""
