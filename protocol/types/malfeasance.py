"""Proofs that an identity broke the rules: two messages signed where one was allowed, or a proof that is wrong.

Version 1 is what the network sends and stores; the envelope and the marriage proofs of version 2 are defined but not
published yet. Whether a proof holds is decided in `node.malfeasance.verdicts`. Protocol 03-encoding-and-types,
section 4.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from protocol.codec.declare import array, byte_string, c8, c32, c64, choice, option, struct, vector

from .activation import ActivationTxV1, ATXMetadata
from .ballots import BallotMetadata
from .hare import HareEligibilityGossip, HareMetadata
from .ids import (
    ATX_ID,
    ED_SIGNATURE,
    HASH32,
    NODE_ID,
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


@dataclass(frozen=True, slots=True)
class AtxProofMsg:
    """What was signed for an activation."""

    inner: ATXMetadata
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(inner=ATXMetadata.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """In the domain ATX."""
        return ATXMetadata.codec.encode(self.inner)


@dataclass(frozen=True, slots=True)
class BallotProofMsg:
    """What was signed for a ballot."""

    inner: BallotMetadata
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(inner=BallotMetadata.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """In the domain BALLOT."""
        return BallotMetadata.codec.encode(self.inner)


@dataclass(frozen=True, slots=True)
class HareProofMsg:
    """What was signed for a message of Hare."""

    inner: HareMetadata
    smesher_id: NodeId
    signature: EdSignature

    codec = struct(inner=HareMetadata.codec, smesher_id=NODE_ID, signature=ED_SIGNATURE)

    def signed_bytes(self) -> bytes:
        """In the domain HARE."""
        return HareMetadata.codec.encode(self.inner)


@dataclass(frozen=True, slots=True)
class AtxProof:
    """Two activations in one epoch."""

    messages: Sequence[AtxProofMsg]
    """Two."""

    codec = struct(messages=array(AtxProofMsg.codec, 2))


@dataclass(frozen=True, slots=True)
class BallotProof:
    """Two ballots in one layer."""

    messages: Sequence[BallotProofMsg]
    """Two."""

    codec = struct(messages=array(BallotProofMsg.codec, 2))


@dataclass(frozen=True, slots=True)
class HareProof:
    """Two messages in one round of Hare."""

    messages: Sequence[HareProofMsg]
    """Two."""

    codec = struct(messages=array(HareProofMsg.codec, 2))


@dataclass(frozen=True, slots=True)
class InvalidPostIndexProof:
    """An activation with a proof of space in which one index is wrong."""

    atx: ActivationTxV1
    invalid_index: int
    """The position of the wrong one among the proof's indices."""

    codec = struct(atx=ActivationTxV1.codec, invalid_index=c32)


@dataclass(frozen=True, slots=True)
class InvalidPrevATXProof:
    """Two activations of one identity with the same previous one."""

    atx1: ActivationTxV1
    atx2: ActivationTxV1

    codec = struct(atx1=ActivationTxV1.codec, atx2=ActivationTxV1.codec)


ProofData = AtxProof | BallotProof | HareProof | InvalidPostIndexProof | InvalidPrevATXProof

PROOF_DATA = choice(
    {
        ProofType.MULTIPLE_ATXS: AtxProof.codec,
        ProofType.MULTIPLE_BALLOTS: BallotProof.codec,
        ProofType.HARE_EQUIVOCATION: HareProof.codec,
        ProofType.INVALID_POST_INDEX: InvalidPostIndexProof.codec,
        ProofType.INVALID_PREV_ATX: InvalidPrevATXProof.codec,
    }
)
"""The type as a raw byte, then the data."""


@dataclass(frozen=True, slots=True)
class MalfeasanceProof:
    """A proof as it is stored and fetched."""

    layer: LayerId
    """When it was made; only for people."""
    proof: ProofData

    codec = struct(layer=c32, proof=PROOF_DATA)


@dataclass(frozen=True, slots=True)
class MalfeasanceGossip:
    """A proof as it is gossiped. Topic `mp1`."""

    proof: MalfeasanceProof
    eligibility: HareEligibilityGossip | None = None
    """Must be absent."""

    codec = struct(proof=MalfeasanceProof.codec, eligibility=option(HareEligibilityGossip.codec))


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


@dataclass(frozen=True, slots=True)
class ATXProofV2:
    """The envelope of a proof about activations."""

    version: int
    proof_type: int
    """A ProofTypeV2, as a compact integer."""
    proof: bytes

    codec = struct(version=c8, proof_type=c8, proof=byte_string(MAX_PROOF_SIZE))


@dataclass(frozen=True, slots=True)
class MarryProof:
    """That an activation of version 2 marries an identity: the paths from its certificate up to the id."""

    atx_id: AtxId
    marriage_root: Hash32
    marriage_proof: Sequence[Hash32]
    """From the root of the marriages to the id."""
    certificate_reference: AtxId
    certificate_signature: EdSignature
    certificate_index: int
    certificate_proof: Sequence[Hash32]
    """From the certificate to the root of the marriages."""
    smesher_id: NodeId
    """Who published the activation, with its signature over the id."""
    signature: EdSignature

    codec = struct(
        atx_id=ATX_ID,
        marriage_root=HASH32,
        marriage_proof=vector(HASH32, MAX_MERKLE_NODES),
        certificate_reference=ATX_ID,
        certificate_signature=ED_SIGNATURE,
        certificate_index=c64,
        certificate_proof=vector(HASH32, MAX_MERKLE_NODES),
        smesher_id=NODE_ID,
        signature=ED_SIGNATURE,
    )


@dataclass(frozen=True, slots=True)
class ProofDoubleMarry:
    """That an identity was married twice."""

    node_id: NodeId
    proofs: Sequence[MarryProof]
    """Two."""

    codec = struct(node_id=NODE_ID, proofs=array(MarryProof.codec, 2))
